// Token shards: tokenised documents on disk, read through memory maps.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "formats/safetensors.h"

namespace fulmen {

// A view into a dataset, valid as long as it.
struct Document {
  std::span<const int32_t> tokens;
  // 1 where the token is to be learnt (predicted by the tokens before it), 0 where it is only read;
  // empty: every token is to be learnt. As long as `tokens` otherwise.
  std::span<const uint8_t> learnt;
};

// A folder that `fulmen train data` wrote: dataset.json (totals, vocabulary, the tokenizer's
// fingerprint) and shards shard-NNNNN.safetensors with `tokens` I32 [N], `starts` I64 [D + 1] (the
// borders of documents, rising from 0 to N) and, where chats were read, `learnt` U8 [N]. Immutable;
// thread safe. Movable.
class Dataset {
 public:
  // Checks every border and that every id lies in the vocabulary dataset.json states.
  static Result<Dataset> Open(const std::string& folder);

  int64_t documents() const;
  int64_t tokens() const;
  int64_t vocabulary() const;
  // index in [0, documents()).
  Document document(int64_t index) const;
};

}  // namespace fulmen
