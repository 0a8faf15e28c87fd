#include "eval/perplexity.h"

#include <algorithm>
#include <cmath>

namespace fulmen {

double LogSumExp(std::span<const float> logits) {
  const double largest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - largest);
  return std::log(sum) + largest;
}

double NegativeLogLikelihood(std::span<const float> logits, int32_t target) {
  return LogSumExp(logits) - logits[static_cast<size_t>(target)];
}

Result<double> PerplexityOf(double total, int64_t scored) {
  if (scored == 0) return Fail(ErrorCode::kCancelled, "interrupted before any token was scored");
  const double mean = total / static_cast<double>(scored);
  const double perplexity = std::exp(mean);
  if (!std::isinf(perplexity)) return perplexity;
  return Fail(ErrorCode::kNonFinite, "the perplexity is e^{:.1f}, more than a double can hold",
              mean);
}

Result<Perplexity> MeasurePerplexity(const Reader& reader, const Compute& compute,
                                     const WindowedText& text) {
  Perplexity result;
  double total = 0;
  FULMEN_ASSIGN(result.tokens,
                ScoreWindows({&reader, 1}, compute, text, [&](auto logits, int32_t target) {
                  total += NegativeLogLikelihood(logits.front(), target);
                  ++result.scored;
                }));
  FULMEN_ASSIGN(result.perplexity, PerplexityOf(total, result.scored));
  return result;
}

}  // namespace fulmen
