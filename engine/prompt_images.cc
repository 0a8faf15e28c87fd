#include "engine/prompt_images.h"

#include <algorithm>

#include "base/random.h"
#include "model/vision.h"

namespace fulmen {

Result<std::vector<PromptImage>> ExpandImages(
    std::span<const std::shared_ptr<const TiledImage>> images, int32_t image_token,
    std::vector<int32_t>& ids) {
  const auto places = static_cast<size_t>(std::ranges::count(ids, image_token));
  if (places != images.size()) {
    return Fail(ErrorCode::kInvalidArgument,
                "{} images are given for {} image tokens in the prompt", images.size(), places);
  }
  std::vector<PromptImage> placed;
  std::vector<int32_t> expanded;
  for (const int32_t id : ids) {
    if (id != image_token) {
      expanded.push_back(id);
      continue;
    }
    placed.push_back({std::ssize(expanded), images[placed.size()]});
    expanded.resize(static_cast<size_t>(placed.back().end()), image_token);
  }
  ids = std::move(expanded);
  return placed;
}

void AddImageRows(const PromptImage& image, ConstMatrix features, int64_t first, int64_t last,
                  int64_t row, ForwardBatch& batch) {
  if (!image.IsIn(first, last)) return;
  const int64_t from = std::max(first, image.first);
  std::vector<int64_t> rows(static_cast<size_t>(std::min(last, image.end()) - from));
  FeatureRows(image.image->geometry, from - image.first, rows);
  batch.images.push_back({row + from - first, features, std::move(rows)});
}

PrefixKey ImageKey(const TiledImage& image, int64_t index) {
  constexpr PrefixKey kNoToken = PrefixKey{1} << 63;
  const uint64_t row = MixBits(image.digest.high + static_cast<uint64_t>(index));
  return MixBits(image.digest.low ^ row) | kNoToken;
}

}  // namespace fulmen
