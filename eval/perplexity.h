// Perplexity of a text under a model.
#pragma once

#include <cstdint>
#include <span>

#include "base/status.h"
#include "eval/windows.h"
#include "kernels/compute.h"
#include "model/weights.h"

namespace fulmen {

struct Perplexity {
  double perplexity = 0;  // exp of the mean negative log-likelihood over all scored tokens
  int64_t tokens = 0;     // read
  int64_t scored = 0;
};

// Once the text's `cancel` is true, the result is that of the tokens read so far, or an error
// (kCancelled) where none was scored. A perplexity beyond a double is one, too (kNonFinite).
Result<Perplexity> MeasurePerplexity(const Reader& reader, const Compute& compute,
                                     const WindowedText& text);

// The same of a sum of negative log-likelihoods.
Result<double> PerplexityOf(double total, int64_t scored);

// log of the sum of e^logit, in double.
double LogSumExp(std::span<const float> logits);
// -log softmax(logits)[target], in double.
double NegativeLogLikelihood(std::span<const float> logits, int32_t target);

}  // namespace fulmen
