#include "engine/logprobs.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace fulmen {

TokenLogprobs LogprobsOf(std::span<const float> logits, int32_t id, int64_t most) {
  const double largest = *std::ranges::max_element(logits);
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - largest);
  const double shift = largest + std::log(sum);
  const auto logprob = [&](int32_t token) { return logits[static_cast<size_t>(token)] - shift; };

  std::vector<int32_t> ids(logits.size());
  std::iota(ids.begin(), ids.end(), 0);
  const auto count = std::min(most, std::ssize(ids));
  std::ranges::partial_sort(ids, ids.begin() + count, [&](int32_t a, int32_t b) {
    const float logit_a = logits[static_cast<size_t>(a)];
    const float logit_b = logits[static_cast<size_t>(b)];
    return logit_a != logit_b ? logit_a > logit_b : a < b;
  });
  TokenLogprobs logprobs = {.own = logprob(id), .top = {}};
  for (int64_t i = 0; i < count; ++i) {
    const int32_t token = ids[static_cast<size_t>(i)];
    logprobs.top.push_back({token, logprob(token)});
  }
  return logprobs;
}

}  // namespace fulmen
