// Training a byte-level BPE vocabulary: Sennrich, Haddow and Birch, "Neural Machine Translation of
// Rare Words with Subword Units" (2016), section 3.2, on bytes in place of characters.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/status.h"
#include "tokenizer/chat.h"
#include "tokenizer/hash.h"

namespace fulmen {

struct WordHash {
  using is_transparent = void;
  size_t operator()(std::string_view word) const { return HashBytes(word); }
};
// How often each piece of the published split pattern (tokenizer/published_split.h) occurs. Pieces
// beyond kLongestWord bytes are no words and are left out.
using WordCounts = std::unordered_map<std::string, int64_t, WordHash, std::equal_to<>>;
inline constexpr size_t kLongestWord = 1024;

void CountWords(std::string_view text, WordCounts& counts);

// Merges in the order found, each of two strings of bytes. The pair of neighbours that occurs most
// often is merged everywhere, again and again; of pairs equally frequent the one whose left token
// is older, then the one whose right token is (bytes by their value, then tokens as they were
// made). Ends when there are `vocabulary` tokens, 256 bytes and `special` ones that the caller adds
// among them; fails when every pair that is left occurs but once. The result depends on the counts
// alone. A pair may make a string that is already a token: then there are more merges than new
// tokens. `go_on` is asked now and then; when it says no, kCancelled is returned.
using BpeMerges = std::vector<std::pair<std::string, std::string>>;
Result<BpeMerges> TrainBpe(
    const WordCounts& counts, int64_t vocabulary, int64_t special,
    const std::function<bool()>& go_on = [] { return true; });

// The special tokens of the family's chat formats.
std::vector<std::string> FamilySpecialTokens();

// A tokenizer.json in Hugging Face's format: the published split pattern, ids 0 to 255 the bytes,
// then the merged tokens, then the special ones.
std::string TokenizerJson(const BpeMerges& merges, const std::vector<std::string>& special);
// The tokenizer_config.json beside it: <end_of_sentence> ends a text, and the chat template is that
// of `chat`, or there is none.
std::string TokenizerConfigJson(std::optional<ChatFormat> chat);

}  // namespace fulmen
