// The specification of every kernel in plain C++: sums in double, nothing clever, one thread.
// Contracts are in the headers of kernels/.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/kernels.h"

namespace fulmen::ref {

void Embedding(KernelContext&, std::span<const int32_t> tokens, const WeightMatrix& table,
               Matrix out);
void RmsNorm(KernelContext&, ConstMatrix x, const WeightMatrix& weight, float epsilon, Matrix out);
void Silu(KernelContext&, ConstMatrix x, Matrix out);
void GatedRmsNorm(KernelContext&, ConstMatrix x, const WeightMatrix& weight, float epsilon,
                  ConstMatrix gate, Matrix out);
void Residual(KernelContext&, float alpha, ConstMatrix residual, float beta, ConstMatrix branch,
              Matrix out);
bool AllFinite(KernelContext&, ConstMatrix x);
void Linear(KernelContext&, ConstMatrix x, std::initializer_list<Projection> projections);
void Rope(KernelContext&, std::span<const int64_t> positions,
          std::span<const float> inverse_frequencies, int64_t head_dim, Matrix x);
void LightningAttention(KernelContext&, ConstMatrix qkv, std::span<const float> decay, Matrix state,
                        Matrix out);
void SoftmaxAttention(KernelContext&, ConstMatrix queries, const KvPages& kv,
                      int64_t first_position, Matrix out);
void TopKRouter(KernelContext&, ConstMatrix logits, MatrixView<int32_t> experts, Matrix weights);
void Moe(KernelContext&, ConstMatrix x, std::span<const ExpertWeights> expert_weights,
         MatrixView<const int32_t> experts, ConstMatrix weights, Matrix out);

}  // namespace fulmen::ref
