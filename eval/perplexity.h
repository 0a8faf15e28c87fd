// Perplexity of a text under a model.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <span>

#include "base/status.h"
#include "kernels/compute.h"
#include "model/weights.h"

namespace fulmen {

struct Perplexity {
  double perplexity = 0;  // exp of the mean negative log-likelihood over all scored tokens
  int64_t tokens = 0;     // read
  int64_t scored = 0;
};

// `ids` in windows of `window` tokens without overlap (the last may be shorter), each from an empty
// state; in each, every token but the first is scored. At least two ids and a window of two are
// needed. `progress` hears of tokens done. `cancel` is looked at between chunks: once it is true,
// the result is that of the tokens read so far, or an error (kCancelled) where none was scored. A
// perplexity beyond a double is one, too (kNonFinite).
Result<Perplexity> MeasurePerplexity(const Model& model, const Compute& compute,
                                     std::span<const int32_t> ids, int64_t window, DType kv_type,
                                     const std::function<void(int64_t tokens)>& progress,
                                     const std::atomic<bool>* cancel = nullptr);

// -log softmax(logits)[target], in double.
double NegativeLogLikelihood(std::span<const float> logits, int32_t target);

}  // namespace fulmen
