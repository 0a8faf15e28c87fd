// How far one model's predictions are from another's: what quantizing it, say, has cost.
#pragma once

#include <cstdint>
#include <span>

#include "base/status.h"
#include "eval/perplexity.h"
#include "eval/windows.h"
#include "kernels/compute.h"
#include "model/weights.h"

namespace fulmen {

// Over all scored tokens. Divergences are Kullback and Leibler's, of the reference's distribution
// from the model's, in nats.
struct Divergence {
  Perplexity model;
  double reference_perplexity = 0;
  double mean = 0;
  double median = 0;
  double percentile_99 = 0;
  double largest = 0;
  double same_first = 0;  // share of tokens where both expect the same one most
};

// Both read the text; they have one vocabulary. Cancelled as MeasurePerplexity().
Result<Divergence> MeasureDivergence(const Reader& model, const Reader& reference,
                                     const Compute& compute, const WindowedText& text);

// sum of p log(p / q) with p the softmax of `reference` and q that of `logits`, in double.
double KlDivergence(std::span<const float> reference, std::span<const float> logits);

}  // namespace fulmen
