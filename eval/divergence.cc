#include "eval/divergence.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

namespace fulmen {
namespace {

// The least of the sorted values that `share` of them do not exceed.
double Percentile(std::span<const double> sorted, double share) {
  const auto rank = static_cast<size_t>(std::ceil(share * static_cast<double>(sorted.size())));
  return sorted[std::max<size_t>(rank, 1) - 1];
}

}  // namespace

double KlDivergence(std::span<const float> reference, std::span<const float> logits) {
  const double reference_sum = LogSumExp(reference);
  const double sum = LogSumExp(logits);
  double divergence = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    const double log_p = reference[i] - reference_sum;
    divergence += std::exp(log_p) * (log_p - (logits[i] - sum));
  }
  return std::max(divergence, 0.0);  // below by rounding alone
}

Result<Divergence> MeasureDivergence(const Reader& model, const Reader& reference,
                                     const Compute& compute, const WindowedText& text) {
  Divergence result;
  std::vector<double> divergences;
  double total = 0;
  double reference_total = 0;
  int64_t same = 0;
  const auto score = [&](std::span<const std::span<const float>> logits, int32_t target) {
    const auto [own, expected] = std::pair(logits[0], logits[1]);
    total += NegativeLogLikelihood(own, target);
    reference_total += NegativeLogLikelihood(expected, target);
    divergences.push_back(KlDivergence(expected, own));
    same += std::ranges::max_element(own) - own.begin() ==
            std::ranges::max_element(expected) - expected.begin();
  };
  const Reader readers[] = {model, reference};
  FULMEN_ASSIGN(result.model.tokens, ScoreWindows(readers, compute, text, score));
  result.model.scored = std::ssize(divergences);
  FULMEN_ASSIGN(result.model.perplexity, PerplexityOf(total, result.model.scored));
  FULMEN_ASSIGN(result.reference_perplexity, PerplexityOf(reference_total, result.model.scored));
  std::ranges::sort(divergences);
  const auto count = static_cast<double>(divergences.size());
  result.mean = std::accumulate(divergences.begin(), divergences.end(), 0.0) / count;
  result.median = Percentile(divergences, 0.5);
  result.percentile_99 = Percentile(divergences, 0.99);
  result.largest = divergences.back();
  result.same_first = static_cast<double>(same) / count;
  return result;
}

}  // namespace fulmen
