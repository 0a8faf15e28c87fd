// Byte pair encoding: the pair of neighbours with the lowest rank is merged, the leftmost first,
// until no pair is left.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "tokenizer/vocabulary.h"

namespace fulmen {

// Immutable and safe to share between threads.
class Bpe {
 public:
  // merges[i] has rank i; a pair listed twice has its last rank. `ignore_merges`: a piece that is
  // in the vocabulary is that token, whatever the merges would make of it.
  static Result<Bpe> Build(Vocabulary vocabulary,
                           const std::vector<std::pair<std::string, std::string>>& merges,
                           bool ignore_merges, const std::string& where);

  // Appends the ids of one piece of text.
  void Encode(std::string_view piece, std::vector<int32_t>& ids) const;
  // The same, always by merging: the specification of Encode().
  void EncodeByMerging(std::string_view piece, std::vector<int32_t>& ids) const;

  // Gives a token other bytes, once; Encode() does not find it any more. False, and nothing
  // changes, if the token is a byte's or a merge makes it, or if it came after Build().
  bool Rename(int32_t id, std::string_view bytes);

  // The pairs of ids that are merged, by rank; of a pair listed twice only the last.
  std::vector<std::pair<int32_t, int32_t>> Merges() const;

  const Vocabulary& vocabulary() const { return vocabulary_; }
  Vocabulary& vocabulary() { return vocabulary_; }

 private:
  static constexpr uint32_t kNoRank = UINT32_MAX;
  struct Merge {
    uint64_t pair = ~uint64_t{0};  // left id << 32 | right id
    uint32_t rank = kNoRank;
    int32_t id = -1;
  };

  Status AddMerges(const std::vector<std::pair<std::string, std::string>>& merges,
                   const std::string& where);
  void MarkWholeTokens(bool ignore_merges);
  const Merge& FindMerge(int32_t left, int32_t right) const;
  // Quadratic, but without memory of its own: for pieces of ordinary length.
  void MergeShort(std::string_view piece, std::vector<int32_t>& ids) const;
  // In O(n log n).
  void MergeLong(std::string_view piece, std::vector<int32_t>& ids) const;

  Vocabulary vocabulary_;
  std::array<int32_t, 256> byte_ids_{};
  std::vector<Merge> merges_;  // an open-addressing table
  std::vector<bool> unmade_;   // by id: in the vocabulary, but neither a byte's nor any merge's
};

}  // namespace fulmen
