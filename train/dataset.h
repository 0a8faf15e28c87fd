// Token shards: tokenised documents on disk, read through memory maps.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "formats/checkpoint.h"
#include "images/tiles.h"
#include "tokenizer/chat.h"

namespace fulmen {

// An image among the tokens of a document.
struct DocumentImage {
  int64_t first = 0;  // the first of the geometry.tokens tokens of the document that stand for it
  TileGeometry geometry;
  // 8 bits a channel, as in Image::rgb: the thumbnail, and behind it the canvas.
  std::span<const uint8_t> thumbnail;
  std::span<const uint8_t> canvas;
};
// A copy of the pixels, without the digest.
TiledImage TiledImageOf(const DocumentImage& image);

// A view into a dataset, valid as long as it.
struct Document {
  std::span<const int32_t> tokens;
  // 1 where the token counts in the loss (is predicted from the tokens before it), 0 where it is
  // only read; empty: every token counts. As long as `tokens` otherwise.
  std::span<const uint8_t> loss_mask;
  std::span<const DocumentImage> images = {};  // by `first`; no two overlap
};

// What dataset.json states.
struct DatasetInfo {
  int64_t documents = 0;
  int64_t tokens = 0;
  int64_t loss_tokens = 0;
  int64_t vocabulary = 0;  // every id lies below
  std::string tokenizer;   // TokenizerFingerprint of the one that made the ids
  int64_t shards = 0;
  // How the chats in it are written, and a model trained on it is to be talked to; nullopt: it is
  // no data of chats.
  std::optional<ChatFormat> chat_format;
  int64_t images = 0;
  TileRules tiles = {};  // how they were cut, where there are images
};

inline constexpr const char* kDatasetInfoName = "dataset.json";
inline constexpr const char* kImageStarts = "image_starts";
inline constexpr const char* kImageSizes = "image_sizes";
inline constexpr const char* kImagePixels = "image_pixels";
// "shard-00007.safetensors"
std::string ShardName(int64_t shard);

// Both parse untrusted values; `where` names them in errors.
Result<DatasetInfo> ParseDatasetInfo(std::string_view json, const std::string& where);
// The borders rise from 0 to the number of tokens, no document is empty, every id lies in
// [0, vocabulary), and `loss_mask` is empty or has a 0 or 1 for every token.
Status CheckShard(std::span<const int32_t> tokens, std::span<const int64_t> starts,
                  std::span<const uint8_t> loss_mask, int64_t vocabulary, const std::string& where);

// The images of a shard as it stores them.
struct StoredImages {
  std::span<const int64_t> starts;  // [I]: the first token of each, in the shard
  std::span<const int32_t> sizes;   // [2 I]: width and height of each before it was resized
  std::span<const uint8_t> pixels;  // of each in turn: the thumbnail, then the canvas
};
// Those images in order, the places of their tokens told in their documents. They do not overlap,
// each lies in one document, and there are pixels for each and no more. `starts` passed CheckShard.
Result<std::vector<DocumentImage>> CheckImages(const StoredImages& stored, const TileRules& tiles,
                                               std::span<const int64_t> starts,
                                               const std::string& where);

// A folder that `fulmen train data` wrote: dataset.json (totals, vocabulary, the tokenizer's
// fingerprint) and shards shard-NNNNN.safetensors with `tokens` I32 [N], `starts` I64 [D + 1] (the
// borders of documents, rising from 0 to N) and, where some tokens are only read, the loss mask as
// `learnt` U8 [N]. Where there are images, dataset.json states how many and how they were cut, and
// a shard that has some holds StoredImages as `image_starts` I64, `image_sizes` I32 and
// `image_pixels` U8. Immutable; thread safe. Movable.
class Dataset {
 public:
  // Checks every border and that every id lies in the vocabulary dataset.json states.
  static Result<Dataset> Open(const std::string& folder);

  int64_t documents() const { return info_.documents; }
  int64_t tokens() const { return info_.tokens; }
  int64_t vocabulary() const { return info_.vocabulary; }
  int64_t images() const { return info_.images; }
  const TileRules& tiles() const { return info_.tiles; }
  const std::string& tokenizer() const { return info_.tokenizer; }
  std::optional<ChatFormat> chat_format() const { return info_.chat_format; }
  // index in [0, documents()).
  Document document(int64_t index) const;

 private:
  struct Shard {
    Checkpoint file;
    std::span<const int32_t> tokens;
    std::span<const int64_t> starts;
    std::span<const uint8_t> loss_mask;
    std::span<const int64_t> image_starts;
    std::vector<DocumentImage> images;
  };

  static Result<Shard> OpenShard(const std::string& path, const DatasetInfo& info);

  DatasetInfo info_;
  std::vector<Shard> shards_;
  std::vector<int64_t> first_;  // the first document of each shard
};

}  // namespace fulmen
