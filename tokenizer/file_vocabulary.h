// Vocabularies and merges as files of several kinds have them, written in the byte alphabet.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "tokenizer/tokenizer_data.h"
#include "tokenizer/vocabulary.h"

namespace fulmen {

// Entries in the byte alphabet, and others, which byte pair encoding cannot reach but which have
// their ids.
struct FileVocabulary {
  Vocabulary bytes;
  std::vector<std::pair<std::string, int64_t>> others;

  Status Add(std::string_view spelling, int64_t id, const std::string& where);
};

using Merge = std::pair<std::string, std::string>;  // bytes
using Merges = std::vector<Merge>;

// `number` names the merge in errors.
Result<Merge> MergeFromSpelling(std::string_view left, std::string_view right, size_t number,
                                const std::string& where);
// "a b"
Result<Merge> MergeFromLine(std::string_view line, size_t number, const std::string& where);

// Without pre-tokenizer and added tokens.
Result<TokenizerData> BuildData(FileVocabulary vocabulary, const Merges& merges, bool ignore_merges,
                                const std::string& where);

}  // namespace fulmen
