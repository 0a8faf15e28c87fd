// libFuzzer target: any bytes as a dataset.json, and as the tensors of a shard, with images or not.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "train/dataset.h"

namespace {

template <class T>
std::vector<T> Take(const uint8_t*& data, size_t& size, size_t count) {
  std::vector<T> values(std::min(count, size / sizeof(T)));
  if (!values.empty()) std::memcpy(values.data(), data, values.size() * sizeof(T));
  data += values.size() * sizeof(T);
  size -= values.size() * sizeof(T);
  return values;
}

// What is accepted lies in its document and has all its pixels.
void CheckShardImages(const std::vector<int64_t>& starts, size_t count, const uint8_t* data,
                      size_t size) {
  const fulmen::TileRules tiles = {.tile = 2, .patch = 1, .pinpoints = {{2, 2}, {4, 2}}};
  const auto image_starts = Take<int64_t>(data, size, count);
  const auto sizes = Take<int32_t>(data, size, 2 * count);
  const auto pixels = Take<uint8_t>(data, size, size);
  const auto images = fulmen::CheckImages({image_starts, sizes, pixels}, tiles, starts, "input");
  if (!images) return;
  size_t bytes = 0;
  for (size_t i = 0; i < images->size(); ++i) {
    const fulmen::DocumentImage& image = (*images)[i];
    const int64_t begin = image_starts[i] - image.first;
    const auto document = std::find(starts.begin(), starts.end(), begin);
    FULMEN_CHECK(
        document + 1 < starts.end() && image_starts[i] + image.geometry.tokens <= *(document + 1),
        "image {} at {}", i, image_starts[i]);
    bytes += fulmen::TiledImageOf(image).canvas.rgb.size() + image.thumbnail.size();
  }
  FULMEN_CHECK(bytes == pixels.size(), "{} bytes of {}", bytes, pixels.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto info = fulmen::ParseDatasetInfo(text, "input")) {
    FULMEN_CHECK(info->documents >= 0 && info->tokens >= 0 && info->shards >= 0, "negative counts");
  }
  if (size < 4) return 0;
  const size_t borders = data[0];
  const size_t count = data[1];
  const bool masked = data[2] % 2 == 1;
  const size_t images = data[3];
  data += 4;
  size -= 4;
  const auto starts = Take<int64_t>(data, size, borders);
  const auto tokens = Take<int32_t>(data, size, count);
  const auto loss_mask = Take<uint8_t>(data, size, masked ? count : 0);
  if (!fulmen::CheckShard(tokens, starts, loss_mask, 256, "input")) return 0;
  // What is accepted must be safe to read.
  for (size_t i = 1; i < starts.size(); ++i) {
    FULMEN_CHECK(starts[i] > starts[i - 1] && starts[i] <= static_cast<int64_t>(tokens.size()),
                 "border {}", starts[i]);
  }
  for (const int32_t id : tokens) FULMEN_CHECK(id >= 0 && id < 256, "id {}", id);
  FULMEN_CHECK(loss_mask.empty() || loss_mask.size() == tokens.size(), "{} flags",
               loss_mask.size());
  CheckShardImages(starts, images, data, size);
  return 0;
}
