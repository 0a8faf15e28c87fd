#include "tokenizer/stand_in.h"

#include <utility>
#include <vector>

#include "tokenizer/bpe_trainer.h"

namespace fulmen {
namespace {

constexpr int64_t kByteTokens = 256;

// `count` words, each one letter longer than a word before it: " a" to " z", " aa" to " zz", ...
BpeMerges Words(int64_t count) {
  BpeMerges merges;
  std::vector<std::string> words = {" "};
  for (size_t next = 0;; ++next) {
    for (char letter = 'a'; letter <= 'z'; ++letter) {
      if (static_cast<int64_t>(merges.size()) == count) return merges;
      const std::string shorter = words[next];
      words.push_back(shorter + letter);
      merges.emplace_back(shorter, std::string(1, letter));
    }
  }
}

}  // namespace

std::optional<TokenizerSource> StandInTokenizer(int64_t vocabulary, ChatFormat format) {
  const std::vector<std::string> special = FamilySpecialTokens();
  const int64_t words = vocabulary - kByteTokens - static_cast<int64_t>(special.size());
  if (words < 0) return std::nullopt;
  TokenizerSource source;
  source.where = "a tokenizer made up";
  source.tokenizer_json = {TokenizerJson(Words(words), special), source.where};
  source.tokenizer_config = {TokenizerConfigJson(format), source.where};
  return source;
}

}  // namespace fulmen
