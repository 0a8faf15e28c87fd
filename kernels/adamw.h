// Optimizer steps.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/context.h"

namespace fulmen {

struct AdamWParams {
  float learning_rate = 1e-3F;
  float beta1 = 0.9F;
  float beta2 = 0.95F;
  float epsilon = 1e-8F;
  float weight_decay = 0.1F;    // decoupled: weight -= learning_rate * weight_decay * weight
  float gradient_scale = 1.0F;  // every gradient is multiplied by it first (clipping)
  int64_t step = 1;             // counted from 1, for the bias correction
};

// One step over a tensor and its two moments, all of one length and float32. Loshchilov and Hutter,
// "Decoupled Weight Decay Regularization" (2019), algorithm 2, with Adam's bias correction:
//   m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2
//   weight -= lr (m / (1 - beta1^step) / (sqrt(v / (1 - beta2^step)) + epsilon) + weight_decay
//   weight)
using AdamWFn = void (*)(KernelContext&, const AdamWParams& params, std::span<const float> gradient,
                         std::span<float> weight, std::span<float> first_moment,
                         std::span<float> second_moment);

// Sum of squares, in double, in an order that does not depend on threads.
using SquaredNormFn = double (*)(KernelContext&, std::span<const float> values);

}  // namespace fulmen
