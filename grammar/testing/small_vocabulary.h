// A vocabulary for tests of masks.
#pragma once

#include <memory>

#include "grammar/token_trie.h"
#include "tests/testing/golden.h"
#include "tokenizer/tokenizer.h"

namespace fulmen::testing {

inline std::shared_ptr<const TokenTrie> SmallVocabulary() {
  static const auto tokens = TokenTrie::Build(*Tokenizer::Load(GoldenFolder("tokenizer/small")));
  return tokens;
}

}  // namespace fulmen::testing
