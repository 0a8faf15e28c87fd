#include "eval/perplexity.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "model/forward.h"

namespace fulmen {
namespace {

// Logits of one chunk are held at a time: 200 MB with a vocabulary of 200,000.
constexpr int64_t kChunk = 256;

}  // namespace

double NegativeLogLikelihood(std::span<const float> logits, int32_t target) {
  const double largest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - largest);
  return std::log(sum) + largest - logits[static_cast<size_t>(target)];
}

Result<Perplexity> MeasurePerplexity(const Model& model, const Compute& compute,
                                     std::span<const int32_t> ids, int64_t window, DType kv_type,
                                     const std::function<void(int64_t)>& progress,
                                     const std::atomic<bool>* cancel) {
  const auto tokens = static_cast<int64_t>(ids.size());
  if (tokens < 2 || window < 2) {
    return Fail(
        ErrorCode::kInvalidArgument,
        "perplexity needs at least 2 tokens and a window of 2, found {} tokens and a window of {}",
        tokens, window);
  }
  const int64_t vocab = model.config.vocab_size;
  std::vector<float> logits(static_cast<size_t>(std::min(kChunk, window) * vocab));
  StatePool states(model.config, {.kv_type = kv_type});
  Perplexity result;
  const auto cancelled = [cancel] { return cancel != nullptr && cancel->load(); };
  double total = 0;
  for (int64_t start = 0; start < tokens && !cancelled(); start += window) {
    const int64_t end = std::min(start + window, tokens);
    FULMEN_ASSIGN(SequenceState state, states.Create());
    for (int64_t first = start; first < end && !cancelled(); first += kChunk) {
      const int64_t count = std::min(kChunk, end - first);
      FULMEN_TRY(Forward(model, compute,
                         ids.subspan(static_cast<size_t>(first), static_cast<size_t>(count)), state,
                         Matrix(logits.data(), count, vocab)));
      // The window's last token predicts nothing.
      const int64_t scored = std::min(count, end - 1 - first);
      for (int64_t t = 0; t < scored; ++t) {
        total += NegativeLogLikelihood(
            std::span(logits).subspan(static_cast<size_t>(t * vocab), static_cast<size_t>(vocab)),
            ids[static_cast<size_t>(first + t + 1)]);
      }
      result.tokens += count;
      result.scored += scored;
      progress(count);
    }
  }
  if (result.scored == 0) {
    return Fail(ErrorCode::kCancelled, "interrupted before any token was scored");
  }
  const double mean = total / static_cast<double>(result.scored);
  result.perplexity = std::exp(mean);
  if (std::isinf(result.perplexity)) {
    return Fail(ErrorCode::kNonFinite, "the perplexity is e^{:.1f}, more than a double can hold",
                mean);
  }
  return result;
}

}  // namespace fulmen
