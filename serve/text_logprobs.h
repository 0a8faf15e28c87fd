// Which sampled tokens a piece of an answer's text came from.
#pragma once

#include <deque>
#include <string>
#include <string_view>

#include "base/json.h"
#include "engine/request.h"
#include "tokenizer/tokenizer.h"

namespace fulmen {

// Tokens are told before their text, which may be held back, and some have no text: markup,
// thoughts, calls. So tokens wait here until the text they stand in arrives. Not thread safe; the
// tokenizer must outlive it.
class TextLogprobs {
 public:
  explicit TextLogprobs(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

  void Add(const TokenSampled& token);
  // In OpenAI's shape, those of `text`, which comes next. Those before it are dropped. A token that
  // two texts share counts for the first.
  Json Take(std::string_view text);
  void Drop();

 private:
  struct Token {
    Json logprob;  // null: told already
    size_t bytes;
  };

  const Tokenizer& tokenizer_;
  std::deque<Token> tokens_;
  std::string bytes_;  // of them all
};

}  // namespace fulmen
