// Writes a Dataset (train/dataset.h), document by document.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "train/dataset.h"

namespace fulmen {

// Holds one shard in memory at a time. Not thread safe.
class ShardWriter {
 public:
  // `folder` exists and is empty of shards. A shard is written when the next document would take it
  // past `shard_tokens`, or its images past 256 MB of pixels; a longer document has a shard of its
  // own. `tiles`: how the images are cut, if there are any.
  ShardWriter(std::string folder, int64_t shard_tokens, int64_t vocabulary, std::string tokenizer,
              TileRules tiles = {});

  // The document is not empty, its ids lie in the vocabulary.
  Status Add(const Document& document);
  // Writes the last shard and dataset.json, with DatasetInfo::chat_format. Nothing may be added
  // afterwards.
  Status Finish(std::optional<ChatFormat> chat_format = std::nullopt);

  const DatasetInfo& info() const { return info_; }

 private:
  Status WriteShard();

  std::string folder_;
  int64_t shard_tokens_;
  DatasetInfo info_;
  std::vector<int32_t> tokens_;
  std::vector<int64_t> starts_{0};
  std::vector<uint8_t> loss_mask_;
  std::vector<int64_t> image_starts_;
  std::vector<int32_t> image_sizes_;
  std::vector<uint8_t> image_pixels_;
};

}  // namespace fulmen
