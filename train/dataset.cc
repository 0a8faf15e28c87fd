#include "train/dataset.h"

#include <algorithm>
#include <filesystem>
#include <limits>

#include "base/check.h"
#include "base/file_io.h"
#include "base/json.h"
#include "model/tile_rules.h"

namespace fulmen {
namespace {

Result<int64_t> ReadCount(const Json& json, const char* key, const std::string& where) {
  const auto found = json.find(key);
  if (found == json.end() || !found->is_number_unsigned() ||
      found->get<uint64_t>() > uint64_t{std::numeric_limits<int64_t>::max()}) {
    return Fail(ErrorCode::kCorrupt, "{}: '{}' should be a whole number, found {}", where, key,
                found == json.end() ? "nothing" : Shown(*found));
  }
  return found->get<int64_t>();
}

// The tensor as elements of T; empty when it is absent and optional.
template <class T>
Result<std::span<const T>> ReadVector(const Checkpoint& file, const std::string& name, DType dtype,
                                      bool optional, const std::string& where) {
  const auto found = file.tensors().find(name);
  if (found == file.tensors().end()) {
    if (optional) return std::span<const T>();
    return Fail(ErrorCode::kCorrupt, "{}: expected the tensor '{}', found none", where, name);
  }
  const TensorView& view = found->second;
  if (view.dtype != dtype || view.shape.size() != 1) {
    return Fail(ErrorCode::kCorrupt, "{}: '{}' should be a list of {}, found {} {}", where, name,
                DTypeName(dtype), DTypeName(view.dtype), ShapeString(view.shape));
  }
  return std::span(reinterpret_cast<const T*>(view.data), static_cast<size_t>(view.elements()));
}

}  // namespace

std::string ShardName(int64_t shard) { return fmt::format("shard-{:05}.safetensors", shard); }

Result<DatasetInfo> ParseDatasetInfo(std::string_view json, const std::string& where) {
  FULMEN_ASSIGN(const Json parsed, ParseJson(json, where));
  if (!parsed.is_object()) {
    return Fail(ErrorCode::kCorrupt, "{}: an object is expected, found {}", where,
                parsed.type_name());
  }
  DatasetInfo info;
  FULMEN_ASSIGN(info.documents, ReadCount(parsed, "documents", where));
  FULMEN_ASSIGN(info.tokens, ReadCount(parsed, "tokens", where));
  FULMEN_ASSIGN(info.loss_tokens, ReadCount(parsed, "learnt_tokens", where));
  FULMEN_ASSIGN(info.vocabulary, ReadCount(parsed, "vocabulary", where));
  FULMEN_ASSIGN(info.shards, ReadCount(parsed, "shards", where));
  const auto tokenizer = parsed.find("tokenizer");
  if (tokenizer == parsed.end() || !tokenizer->is_string()) {
    return Fail(ErrorCode::kCorrupt, "{}: 'tokenizer' should be a string", where);
  }
  info.tokenizer = tokenizer->get<std::string>();
  if (const auto format = parsed.find("chat_format"); format != parsed.end()) {
    if (format->is_string()) info.chat_format = ChatFormatFromName(format->get<std::string>());
    if (!info.chat_format) {
      return Fail(ErrorCode::kCorrupt, "{}: 'chat_format' should be a known one, found {}", where,
                  Shown(*format));
    }
  }
  if (const auto images = parsed.find("images"); images != parsed.end()) {
    FULMEN_ASSIGN(info.tiles, ParseTileRules(*images, where + ": images"));
    FULMEN_ASSIGN(info.images, ReadCount(*images, "count", where + ": images"));
  }
  return info;
}

Status CheckShard(std::span<const int32_t> tokens, std::span<const int64_t> starts,
                  std::span<const uint8_t> loss_mask, int64_t vocabulary,
                  const std::string& where) {
  const auto count = static_cast<int64_t>(tokens.size());
  if (starts.size() < 2 || starts.front() != 0 || starts.back() != count) {
    return Fail(ErrorCode::kCorrupt, "{}: 'starts' should rise from 0 to {}, found {}", where,
                count,
                starts.empty() ? "nothing" : fmt::format("{} to {}", starts[0], starts.back()));
  }
  for (size_t i = 1; i < starts.size(); ++i) {
    if (starts[i] <= starts[i - 1]) {
      return Fail(ErrorCode::kCorrupt, "{}: document {} begins at token {} and ends at {}", where,
                  i - 1, starts[i - 1], starts[i]);
    }
  }
  const auto wrong = std::find_if(tokens.begin(), tokens.end(),
                                  [&](int32_t id) { return id < 0 || id >= vocabulary; });
  if (wrong != tokens.end()) {
    return Fail(ErrorCode::kCorrupt, "{}: token {} is {}, which is not in the vocabulary of {}",
                where, wrong - tokens.begin(), *wrong, vocabulary);
  }
  if (!loss_mask.empty() && loss_mask.size() != tokens.size()) {
    return Fail(ErrorCode::kCorrupt, "{}: 'learnt' should have {} elements, found {}", where, count,
                loss_mask.size());
  }
  if (std::any_of(loss_mask.begin(), loss_mask.end(), [](uint8_t flag) { return flag > 1; })) {
    return Fail(ErrorCode::kCorrupt, "{}: 'learnt' should hold 0 and 1 only", where);
  }
  return {};
}

Result<std::vector<DocumentImage>> CheckImages(const StoredImages& stored, const TileRules& tiles,
                                               std::span<const int64_t> starts,
                                               const std::string& where) {
  if (stored.sizes.size() != 2 * stored.starts.size()) {
    return Fail(ErrorCode::kCorrupt, "{}: 'image_sizes' should have {} elements, found {}", where,
                2 * stored.starts.size(), stored.sizes.size());
  }
  std::vector<DocumentImage> images;
  std::span<const uint8_t> left = stored.pixels;
  const auto take = [&](int64_t width, int64_t height) {
    const auto bytes = std::min(left.size(), static_cast<size_t>(3 * width * height));
    const std::span<const uint8_t> taken = left.first(bytes);
    left = left.subspan(bytes);
    return taken;
  };
  for (size_t i = 0, end = 0; i < stored.starts.size(); ++i) {
    const Size size = {.width = stored.sizes[2 * i], .height = stored.sizes[2 * i + 1]};
    if (size.width < 1 || size.height < 1) {
      return Fail(ErrorCode::kCorrupt, "{}: image {} has {} x {} pixels", where, i, size.width,
                  size.height);
    }
    auto plan = PlanTiles(tiles, size);
    if (!plan) return Fail(ErrorCode::kCorrupt, "{}: image {}: {}", where, i, plan.error().message);
    const int64_t first = stored.starts[i];
    const auto next = std::upper_bound(starts.begin(), starts.end(), first);
    if (first < static_cast<int64_t>(end) || next == starts.begin() || next == starts.end() ||
        *next - first < plan->tokens) {
      return Fail(
          ErrorCode::kCorrupt,
          "{}: image {} of {} tokens should lie in one document behind token {}, found it at "
          "token {}",
          where, i, plan->tokens, end, first);
    }
    end = static_cast<size_t>(first + plan->tokens);
    const auto thumbnail = take(plan->tile, plan->tile);
    const auto canvas = take(plan->grid.width, plan->grid.height);
    if (std::ssize(canvas) != 3 * plan->grid.width * plan->grid.height) {
      return Fail(ErrorCode::kCorrupt, "{}: 'image_pixels' ends within image {}", where, i);
    }
    images.push_back({first - *std::prev(next), *std::move(plan), thumbnail, canvas});
  }
  if (!left.empty()) {
    return Fail(ErrorCode::kCorrupt, "{}: 'image_pixels' has {} bytes of no image", where,
                left.size());
  }
  return images;
}

TiledImage TiledImageOf(const DocumentImage& image) {
  const TileGeometry& plan = image.geometry;
  return {.geometry = plan,
          .canvas = {plan.grid.width, plan.grid.height,
                     std::vector(image.canvas.begin(), image.canvas.end())},
          .thumbnail = {plan.tile, plan.tile,
                        std::vector(image.thumbnail.begin(), image.thumbnail.end())},
          .digest = {}};
}

Result<Dataset::Shard> Dataset::OpenShard(const std::string& path, const DatasetInfo& info) {
  FULMEN_ASSIGN(Checkpoint file, Checkpoint::Open(path));
  FULMEN_ASSIGN(const auto tokens, ReadVector<int32_t>(file, "tokens", DType::kI32, false, path));
  FULMEN_ASSIGN(const auto starts, ReadVector<int64_t>(file, "starts", DType::kI64, false, path));
  FULMEN_ASSIGN(const auto loss_mask, ReadVector<uint8_t>(file, "learnt", DType::kU8, true, path));
  FULMEN_TRY(CheckShard(tokens, starts, loss_mask, info.vocabulary, path));
  Shard shard{std::move(file), tokens, starts, loss_mask, {}, {}};
  if (!shard.file.tensors().contains(kImageStarts)) return shard;
  if (info.images == 0) {
    return Fail(ErrorCode::kCorrupt, "{}: images are in it, and {} states none", path,
                kDatasetInfoName);
  }
  StoredImages stored;
  FULMEN_ASSIGN(stored.starts,
                ReadVector<int64_t>(shard.file, kImageStarts, DType::kI64, false, path));
  FULMEN_ASSIGN(stored.sizes,
                ReadVector<int32_t>(shard.file, kImageSizes, DType::kI32, false, path));
  FULMEN_ASSIGN(stored.pixels,
                ReadVector<uint8_t>(shard.file, kImagePixels, DType::kU8, false, path));
  FULMEN_ASSIGN(shard.images, CheckImages(stored, info.tiles, starts, path));
  shard.image_starts = stored.starts;
  return shard;
}

Result<Dataset> Dataset::Open(const std::string& folder) {
  const std::string path = folder + "/" + kDatasetInfoName;
  std::error_code absent;
  if (std::filesystem::exists(folder + "/train/" + kDatasetInfoName, absent)) {
    return Fail(ErrorCode::kNotFound,
                "{0} is no dataset but holds two: {0}/train and {0}/held-out are expected", folder);
  }
  FULMEN_ASSIGN(const std::string text, ReadFile(path));
  Dataset dataset;
  FULMEN_ASSIGN(dataset.info_, ParseDatasetInfo(text, path));
  const DatasetInfo& info = dataset.info_;
  int64_t documents = 0;
  int64_t tokens = 0;
  int64_t images = 0;
  for (int64_t i = 0; i < info.shards; ++i) {
    FULMEN_ASSIGN(Shard shard, OpenShard(folder + "/" + ShardName(i), info));
    dataset.first_.push_back(documents);
    documents += static_cast<int64_t>(shard.starts.size()) - 1;
    tokens += static_cast<int64_t>(shard.tokens.size());
    images += std::ssize(shard.images);
    dataset.shards_.push_back(std::move(shard));
  }
  if (documents != info.documents || tokens != info.tokens) {
    return Fail(ErrorCode::kCorrupt,
                "{} states {} documents of {} tokens, its {} shards hold {} of {}", path,
                info.documents, info.tokens, info.shards, documents, tokens);
  }
  if (images != info.images) {
    return Fail(ErrorCode::kCorrupt, "{} states {} images, its shards hold {}", path, info.images,
                images);
  }
  return dataset;
}

Document Dataset::document(int64_t index) const {
  FULMEN_CHECK(index >= 0 && index < info_.documents, "document {} of {}", index, info_.documents);
  const auto after = std::upper_bound(first_.begin(), first_.end(), index);
  const auto number = static_cast<size_t>(after - first_.begin()) - 1;
  const Shard& shard = shards_[number];
  const auto local = static_cast<size_t>(index - first_[number]);
  const auto begin = static_cast<size_t>(shard.starts[local]);
  const size_t length = static_cast<size_t>(shard.starts[local + 1]) - begin;
  Document document{shard.tokens.subspan(begin, length), {}};
  if (!shard.loss_mask.empty()) document.loss_mask = shard.loss_mask.subspan(begin, length);
  const auto image_at = [&](size_t token) {
    const auto found = std::ranges::lower_bound(shard.image_starts, static_cast<int64_t>(token));
    return static_cast<size_t>(found - shard.image_starts.begin());
  };
  const size_t image = image_at(begin);
  document.images = std::span(shard.images).subspan(image, image_at(begin + length) - image);
  return document;
}

}  // namespace fulmen
