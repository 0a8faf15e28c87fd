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
void LayerNorm(KernelContext&, ConstMatrix x, const WeightMatrix& weight, const WeightMatrix& bias,
               float epsilon, Matrix out);
void AddBias(KernelContext&, ConstMatrix x, const WeightMatrix& bias, Matrix out);
void BiasGelu(KernelContext&, ConstMatrix x, const WeightMatrix& bias, Matrix out);
void GatedRmsNorm(KernelContext&, ConstMatrix x, const WeightMatrix& weight, float epsilon,
                  ConstMatrix gate, Matrix out);
void Residual(KernelContext&, float alpha, ConstMatrix residual, float beta, ConstMatrix branch,
              Matrix out);
void CheckRows(KernelContext&, ConstMatrix x, std::span<RowHealth> health);
void GatherRows(KernelContext&, ConstMatrix x, std::span<const int64_t> rows, Matrix out);
void Copy(KernelContext&, std::span<const std::byte> from, std::span<std::byte> to);
void Linear(KernelContext&, ConstMatrix x, std::initializer_list<Projection> projections);
// A copy, as stored.
size_t RepackedBytes(KernelContext&, const WeightMatrix& weight);
WeightMatrix Repack(KernelContext&, const WeightMatrix& weight, std::byte* to);
void Rope(KernelContext&, std::span<const int64_t> positions,
          std::span<const float> inverse_frequencies, int64_t head_dim, Matrix x);
void LightningAttention(KernelContext&, ConstMatrix qkv, std::span<const float> decay,
                        const Slices& slices, std::span<float* const> memory, Matrix out);
void LightningState(KernelContext&, std::span<const float> decay, int64_t position,
                    const float* memory, Matrix state);
void StoreKv(KernelContext&, ConstMatrix keys, ConstMatrix values, const Slices& slices,
             const KvCache& cache);
void SoftmaxAttention(KernelContext&, ConstMatrix queries, const KvCache& cache,
                      const Slices& slices, Matrix out, Matrix log_sums);
void BidirectionalAttention(KernelContext&, const PackedAttention& attention, Matrix out,
                            Matrix log_sums);
void TopKRouter(KernelContext&, ConstMatrix logits, MatrixView<int32_t> experts, Matrix weights);

}  // namespace fulmen::ref
