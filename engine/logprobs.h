// Probabilities of tokens, as they are told to those who ask.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/request.h"

namespace fulmen {

// log softmax(logits)[id]. Sums are double.
struct TokenLogprobs {
  double own = 0;                 // of `id`
  std::vector<TokenLogprob> top;  // of the `most` most probable tokens, of equal ones the lowest id
};
TokenLogprobs LogprobsOf(std::span<const float> logits, int32_t id, int64_t most);

}  // namespace fulmen
