// Mixture of experts: top-k router and SwiGLU experts. MiniMax-01 report, section 2.1.
#pragma once

#include <cstdint>
#include <span>

#include "base/matrix.h"
#include "base/weight_matrix.h"
#include "kernels/context.h"

namespace fulmen {

// Per row of logits [T, E]: the k experts of highest logit, by falling logit (ties: lower index
// first), and the softmax over those k logits. experts and weights are [T, k] row-major; k =
// weights.cols.
using TopKRouterFn = void (*)(KernelContext&, ConstMatrix logits, MatrixView<int32_t> experts,
                              Matrix weights);

// What belongs to one expert: gate (w1) and up (w3) [ffn, hidden], down (w2) [hidden, ffn].
template <class Tensor>
struct ExpertTensors {
  Tensor gate;
  Tensor up;
  Tensor down;
};
using ExpertWeights = ExpertTensors<WeightMatrix>;
using ExpertGradients = ExpertTensors<Matrix>;  // added to

// Results of the first products of every slot, kept for the backward pass: [T * k, ffn], row t * k
// + s.
struct MoeActivations {
  Matrix gate;
  Matrix up;
};

// out[t] = sum over slots s of weights[t][s] * down(silu(gate x_t) * up x_t) of expert
// experts[t][s], summed in slot order so that the result does not depend on how tokens are grouped.
// A slot whose expert is -1 was dropped: it adds nothing. x and out are [T, hidden]; out is
// overwritten and must not overlap x; where it is empty it is left out. `kept` is overwritten where
// it is not empty; rows of dropped slots are then undefined.
using MoeFn = void (*)(KernelContext&, ConstMatrix x, std::span<const ExpertWeights> expert_weights,
                       MatrixView<const int32_t> experts, ConstMatrix weights,
                       const MoeActivations& kept, Matrix out);

// Gradient of top_k_router: dlogits [T, E] (overwritten; zero for experts not chosen) from dweights
// [T, k]. With w the kept weights: dlogit of slot s = w_s (dw_s - sum_r w_r dw_r).
using TopKRouterBackwardFn = void (*)(KernelContext&, MatrixView<const int32_t> experts,
                                      ConstMatrix weights, ConstMatrix dweights, Matrix dlogits);

// What the losses of the router need of one layer, added to what is there: counts [k * E] of tokens
// whose slot-th choice is the expert, probabilities [E] summed over tokens (softmax over all
// logits), and the sum over tokens of logsumexp(logits)^2.
struct RouterStatistics {
  std::span<double> counts;
  std::span<double> probabilities;
  double squared_log_sums = 0;
};
using RouterStatisticsFn = void (*)(KernelContext&, ConstMatrix logits,
                                    MatrixView<const int32_t> experts,
                                    RouterStatistics& statistics);

// dlogits += the gradient of  sum_t [ sum_e coefficients[e] p_te  +  z_coefficient *
// logsumexp(logits_t)^2 ] with p the softmax over all logits of a token: the auxiliary load-balance
// loss (MiniMax-01 report, section 2.1) and the router z-loss (Zoph et al., "ST-MoE", 2022, eq. 5).
using RouterLossBackwardFn = void (*)(KernelContext&, ConstMatrix logits,
                                      std::span<const float> coefficients, float z_coefficient,
                                      Matrix dlogits);

// dx [T, hidden] and dweights [T, k] are overwritten (dweights of dropped slots are zero).
using MoeBackwardFn = void (*)(KernelContext&, ConstMatrix x,
                               std::span<const ExpertWeights> expert_weights,
                               MatrixView<const int32_t> experts, ConstMatrix weights,
                               const MoeActivations& kept, ConstMatrix dout, Matrix dx,
                               Matrix dweights, std::span<const ExpertGradients> gradients);

}  // namespace fulmen
