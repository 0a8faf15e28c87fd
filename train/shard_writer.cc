#include "train/shard_writer.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/file_io.h"
#include "base/json.h"
#include "formats/safetensors.h"
#include "model/tile_rules.h"

namespace fulmen {
namespace {

constexpr size_t kShardPixelBytes = size_t{256} << 20;

}  // namespace

ShardWriter::ShardWriter(std::string folder, int64_t shard_tokens, int64_t vocabulary,
                         std::string tokenizer, TileRules tiles)
    : folder_(std::move(folder)), shard_tokens_(shard_tokens) {
  info_.vocabulary = vocabulary;
  info_.tokenizer = std::move(tokenizer);
  info_.tiles = std::move(tiles);
}

Status ShardWriter::Add(const Document& document) {
  FULMEN_CHECK(!document.tokens.empty(), "a document without tokens");
  size_t pixel_bytes = image_pixels_.size();
  for (const DocumentImage& image : document.images) {
    pixel_bytes += image.thumbnail.size() + image.canvas.size();
  }
  if (static_cast<int64_t>(tokens_.size() + document.tokens.size()) > shard_tokens_ ||
      pixel_bytes > kShardPixelBytes) {
    FULMEN_TRY(WriteShard());
  }
  for (const DocumentImage& image : document.images) {
    image_starts_.push_back(std::ssize(tokens_) + image.first);
    image_sizes_.push_back(static_cast<int32_t>(image.geometry.image.width));
    image_sizes_.push_back(static_cast<int32_t>(image.geometry.image.height));
    for (const auto& pixels : {image.thumbnail, image.canvas}) {
      image_pixels_.insert(image_pixels_.end(), pixels.begin(), pixels.end());
    }
  }
  tokens_.insert(tokens_.end(), document.tokens.begin(), document.tokens.end());
  starts_.push_back(static_cast<int64_t>(tokens_.size()));
  if (document.loss_mask.empty()) {
    loss_mask_.resize(tokens_.size(), 1);
  } else {
    loss_mask_.insert(loss_mask_.end(), document.loss_mask.begin(), document.loss_mask.end());
  }
  FULMEN_CHECK(loss_mask_.size() == tokens_.size(), "{} flags for {} tokens", loss_mask_.size(),
               tokens_.size());
  return {};
}

Status ShardWriter::WriteShard() {
  if (tokens_.empty()) return {};
  const auto in_loss = std::count(loss_mask_.begin(), loss_mask_.end(), 1);
  const auto tokens = static_cast<int64_t>(tokens_.size());
  const auto borders = static_cast<int64_t>(starts_.size());
  // The widest type first, so that all lie at addresses their types can be read from.
  const auto images = std::ssize(image_starts_);
  std::vector<SafetensorsWriter::Declaration> tensors;
  std::vector<std::span<const std::byte>> contents;
  const auto add = [&](const char* name, DType type, const auto& values) {
    tensors.push_back({name, type, {std::ssize(values)}});
    contents.push_back(std::as_bytes(std::span(values)));
  };
  add("starts", DType::kI64, starts_);
  if (images > 0) add(kImageStarts, DType::kI64, image_starts_);
  add("tokens", DType::kI32, tokens_);
  if (images > 0) add(kImageSizes, DType::kI32, image_sizes_);
  if (in_loss < tokens) add("learnt", DType::kU8, loss_mask_);
  if (images > 0) add(kImagePixels, DType::kU8, image_pixels_);
  FULMEN_ASSIGN(SafetensorsWriter file,
                SafetensorsWriter::Create(folder_ + "/" + ShardName(info_.shards), tensors));
  for (const std::span<const std::byte> bytes : contents) FULMEN_TRY(file.Write(bytes));
  FULMEN_TRY(file.Finish());
  info_.shards += 1;
  info_.documents += borders - 1;
  info_.tokens += tokens;
  info_.loss_tokens += in_loss;
  info_.images += images;
  tokens_.clear();
  starts_.resize(1);
  loss_mask_.clear();
  image_starts_.clear();
  image_sizes_.clear();
  image_pixels_.clear();
  return {};
}

Status ShardWriter::Finish(std::optional<ChatFormat> chat_format) {
  FULMEN_TRY(WriteShard());
  info_.chat_format = chat_format;
  Json json = {{"documents", info_.documents},       {"tokens", info_.tokens},
               {"learnt_tokens", info_.loss_tokens}, {"vocabulary", info_.vocabulary},
               {"tokenizer", info_.tokenizer},       {"shards", info_.shards}};
  if (chat_format) json["chat_format"] = ChatFormatName(*chat_format);
  if (info_.images > 0) {
    json["images"] = TileRulesToJson(info_.tiles);
    json["images"]["count"] = info_.images;
  }
  return WriteFileAtomically(folder_ + "/" + kDatasetInfoName, json.dump(1) + "\n");
}

}  // namespace fulmen
