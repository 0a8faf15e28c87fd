// Row-wise and element-wise operations. All activations are float32; T is the number of tokens.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/matrix.h"
#include "base/weight_matrix.h"
#include "kernels/context.h"

namespace fulmen {

// out[t] = table[tokens[t]], widened to float32. table [vocab, C]; out [T, C].
// Tokens must lie in [0, vocab).
using EmbeddingFn = void (*)(KernelContext&, std::span<const int32_t> tokens,
                             const WeightMatrix& table, Matrix out);

// out[t][c] = x[t][c] / sqrt(mean_c(x[t][c]^2) + epsilon) * weight[c]. weight is one row [1, C].
// out may be x. Zhang and Sennrich, "Root Mean Square Layer Normalization" (2019), eq. 4.
using RmsNormFn = void (*)(KernelContext&, ConstMatrix x, const WeightMatrix& weight, float epsilon,
                           Matrix out);

// out = rms_norm(x) * sigmoid(gate), the output of lightning attention; out may be x or gate.
// MiniMax-01 report, section 2.2.
using GatedRmsNormFn = void (*)(KernelContext&, ConstMatrix x, const WeightMatrix& weight,
                                float epsilon, ConstMatrix gate, Matrix out);

// out[t][c] = (x[t][c] - mean(x[t])) / sqrt(variance(x[t]) + epsilon) * weight[c] + bias[c], the
// variance that of the row itself: the mean of squared deviations. weight and bias are one row
// [1, C] each. out may be x. Ba, Kiros and Hinton, "Layer Normalization" (2016), eq. 3 and 4.
using LayerNormFn = void (*)(KernelContext&, ConstMatrix x, const WeightMatrix& weight,
                             const WeightMatrix& bias, float epsilon, Matrix out);

// out[t][c] = x[t][c] + bias[c]; bias is one row [1, C]. out may be x.
using AddBiasFn = void (*)(KernelContext&, ConstMatrix x, const WeightMatrix& bias, Matrix out);

// out = gelu(x + bias), gelu(v) = v P(N <= v) for a standard normal N: the exact one, by the error
// function, not its approximation by tanh. out may be x. With v = x + bias rounded to float32, the
// error is (8 + v^2 / 2) 2^-24 of the result at most, or 1e-30. Hendrycks and Gimpel, "Gaussian
// Error Linear Units" (2016), section 2.
using BiasGeluFn = void (*)(KernelContext&, ConstMatrix x, const WeightMatrix& bias, Matrix out);

// out = alpha * residual + beta * branch; out may be either input. MiniMax-01 report, section 4.2.
using ResidualFn = void (*)(KernelContext&, float alpha, ConstMatrix residual, float beta,
                            ConstMatrix branch, Matrix out);

enum class RowHealth : uint8_t {
  kFine,
  kSquaresOverflow,  // the sum of squares exceeds float32: a norm would give zeros, unseen
  kNotFinite,        // some element is NaN or infinite
};

// health [T] of the rows of x.
using RowHealthFn = void (*)(KernelContext&, ConstMatrix x, std::span<RowHealth> health);

// out[i] = x[rows[i]]; out may not overlap x.
using GatherRowsFn = void (*)(KernelContext&, ConstMatrix x, std::span<const int64_t> rows,
                              Matrix out);

// Copies bytes between memory of the device and memory of whoever calls, or within either.
using CopyFn = void (*)(KernelContext&, std::span<const std::byte> from, std::span<std::byte> to);

// Backward passes. Gradients of activations are overwritten, gradients of weights are added to, and
// every sum has an order that depends on neither threads nor chunks.

// The skip connection of a value that a block reads: `gradient` is that of the sum which adds
// `scale` times the value to what the block gave. There is none where it is empty.
struct SkipConnection {
  float scale = 0;
  ConstMatrix gradient = {};
};

// dx = gradient of rms_norm with respect to x, given that of its output: dy, and what comes over
// the skip connection of the normalised values (MiniMax-01 report, section 4.2). dx may be dy or
// the gradient of the skip connection. dweight [C] += the gradient of the weight.
using RmsNormBackwardFn = void (*)(KernelContext&, ConstMatrix x, const WeightMatrix& weight,
                                   float epsilon, ConstMatrix dy, const SkipConnection& skip,
                                   Matrix dx, std::span<float> dweight);

// The same of gated_rms_norm: dy becomes dx, dgate (overwritten) is the gradient of the gate, and
// `out` (overwritten) what the forward pass gave up to rounding, for the weight gradient of the
// projection that follows. No two of the matrices overlap.
using GatedRmsNormBackwardFn = void (*)(KernelContext&, ConstMatrix x, const WeightMatrix& weight,
                                        float epsilon, ConstMatrix gate, Matrix dy, Matrix dgate,
                                        Matrix out, std::span<float> dweight);

// dx = gradient of layer_norm with respect to x, given dy, that of its output, and `skip`, that of
// the sum which adds x itself to what the block gave: x + f(layer_norm(x)). `skip` may be empty. dx
// may be dy or skip. dweight [C] and dbias [C] += the gradients of weight and bias.
using LayerNormBackwardFn = void (*)(KernelContext&, ConstMatrix x, const WeightMatrix& weight,
                                     float epsilon, ConstMatrix dy, ConstMatrix skip, Matrix dx,
                                     std::span<float> dweight, std::span<float> dbias);

// dbias [C] += the gradient of the bias of add_bias, the sum of dy over its rows.
using AddBiasBackwardFn = void (*)(KernelContext&, ConstMatrix dy, std::span<float> dbias);

// dx = gradient of bias_gelu with respect to x, given that of its output; dx may be dy or x.
// dbias [C] += the gradient of the bias.
using BiasGeluBackwardFn = void (*)(KernelContext&, ConstMatrix x, const WeightMatrix& bias,
                                    ConstMatrix dy, Matrix dx, std::span<float> dbias);

// dtable[tokens[t]] += dy[t], tokens in order; dtable [vocab, C].
using EmbeddingBackwardFn = void (*)(KernelContext&, std::span<const int32_t> tokens,
                                     ConstMatrix dy, Matrix dtable);

}  // namespace fulmen
