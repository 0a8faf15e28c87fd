// The tokens of a vocabulary, ordered by their bytes.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "grammar/characters.h"
#include "tokenizer/tokenizer.h"

namespace fulmen {

// A set of tokens, one bit for each id, lowest first.
using TokenMask = std::vector<uint64_t>;

// Immutable, and safe to share. Special tokens are not in it: no text spells them.
class TokenTrie {
 public:
  // A node of a prefix tree in depth-first order: the nodes below it are those from the next one to
  // before `end`.
  struct Node {
    uint32_t end;
    int32_t token;   // whose bytes end here: an index into `tokens`, or -1
    uint16_t depth;  // bytes from the root
    uint8_t byte;
  };
  // Tokens of one kind, so that a question about all texts of a kind is answered for all of them at
  // once. Those of `characters` are whole characters of that set, each at least one; the last slice
  // has the others, and no characters.
  struct Slice {
    CodePoints characters = {};
    std::vector<Node> nodes = {};
    std::vector<std::vector<int32_t>> tokens = {};  // ids that have the same bytes
    std::vector<TokenMask> up_to = {};  // [n]: the tokens of at most n characters; the last has all
  };

  static std::shared_ptr<const TokenTrie> Build(const Tokenizer& tokenizer);

  int64_t vocab_size() const { return static_cast<int64_t>(bytes_.size()); }
  // Words of 64 bits that a mask takes.
  size_t mask_words() const { return (bytes_.size() + 63) / 64; }
  // "" for special tokens and ids outside the vocabulary.
  std::string_view BytesOf(int32_t id) const;
  std::span<const Slice> slices() const { return slices_; }
  size_t longest_token() const { return longest_token_; }  // in bytes

 private:
  void AddSlice(CodePoints characters, const std::vector<int32_t>& ids);

  std::vector<std::string> bytes_;
  std::vector<Slice> slices_;
  size_t longest_token_ = 0;
};

}  // namespace fulmen
