// The tokens of a vocabulary, ordered by their bytes.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "tokenizer/tokenizer.h"

namespace fulmen {

// Immutable, and safe to share. Special tokens are in none: no text spells them.
class TokenTrie {
 public:
  static std::shared_ptr<const TokenTrie> Build(const Tokenizer& tokenizer);

  int64_t vocab_size() const { return vocab_size_; }
  // Words of 64 bits that a mask takes.
  size_t mask_words() const { return static_cast<size_t>((vocab_size_ + 63) / 64); }
  // "" for special tokens and ids outside the vocabulary.
  std::string_view BytesOf(int32_t id) const;

 private:
  int64_t vocab_size_ = 0;
};

}  // namespace fulmen
