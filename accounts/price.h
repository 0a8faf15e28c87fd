// What the tokens of a request cost.
#pragma once

#include <cstdint>

#include "accounts/money.h"

namespace fulmen {

// Of one model in one currency, each for one token.
struct Prices {
  Money text = {};  // of the input, neither cached nor an image's
  Money cached = {};
  Money image = {};
  Money output = {};  // reasoning is output
};

// Of one request. Each token of the prompt is in exactly one of the three classes after it.
struct TokenCounts {
  int64_t prompt = 0;
  int64_t text = 0;
  int64_t cached = 0;  // of text or of an image
  int64_t image = 0;
  int64_t output = 0;
  int64_t reasoning = 0;  // a part of output
};

// The exact cost. An error where counts or prices are negative, the classes do not sum to the
// prompt, reasoning exceeds the output, or the cost does not fit.
Result<Money> Cost(const TokenCounts& tokens, const Prices& prices);

}  // namespace fulmen
