// The specification of the operations of training, in the manner of operations.h: sums in double,
// nothing clever, one thread. Contracts are in the headers of kernels/.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/ref/operations.h"
#include "kernels/training_kernels.h"

namespace fulmen::ref {

void RmsNormBackward(KernelContext&, ConstMatrix x, const WeightMatrix& weight, float epsilon,
                     ConstMatrix dy, const SkipConnection& skip, Matrix dx,
                     std::span<float> dweight);
void GatedRmsNormBackward(KernelContext&, ConstMatrix x, const WeightMatrix& weight, float epsilon,
                          ConstMatrix gate, Matrix dy, Matrix dgate, Matrix out,
                          std::span<float> dweight);
void LayerNormBackward(KernelContext&, ConstMatrix x, const WeightMatrix& weight, float epsilon,
                       ConstMatrix dy, ConstMatrix skip, Matrix dx, std::span<float> dweight,
                       std::span<float> dbias);
void AddBiasBackward(KernelContext&, ConstMatrix dy, std::span<float> dbias);
void BiasGeluBackward(KernelContext&, ConstMatrix x, const WeightMatrix& bias, ConstMatrix dy,
                      Matrix dx, std::span<float> dbias);
void EmbeddingBackward(KernelContext&, std::span<const int32_t> tokens, ConstMatrix dy,
                       Matrix dtable);

void LinearBackwardInput(KernelContext&, ConstMatrix dy, const WeightMatrix& weight, bool add,
                         Matrix dx);
void LinearBackwardWeight(KernelContext&, ConstMatrix x, ConstMatrix dy, Matrix dweight);

// The same of operands rounded to BF16.
void LinearBf16(KernelContext&, ConstMatrix x, std::initializer_list<Projection> projections);
void LinearBackwardInputBf16(KernelContext&, ConstMatrix dy, const WeightMatrix& weight, bool add,
                             Matrix dx);
void LinearBackwardWeightBf16(KernelContext&, ConstMatrix x, ConstMatrix dy, Matrix dweight);

void LightningAttentionBackward(KernelContext&, ConstMatrix qkv, std::span<const float> decay,
                                std::span<const int64_t> starts, ConstMatrix dout, Matrix dqkv);

void SoftmaxAttentionBackward(KernelContext&, const PackedAttention& attention, ConstMatrix out,
                              ConstMatrix log_sums, ConstMatrix dout, Matrix dqueries, Matrix dkeys,
                              Matrix dvalues);

void BidirectionalAttentionBackward(KernelContext&, const PackedAttention& attention,
                                    ConstMatrix out, ConstMatrix log_sums, ConstMatrix dout,
                                    Matrix dqueries, Matrix dkeys, Matrix dvalues);

void TopKRouterBackward(KernelContext&, MatrixView<const int32_t> experts, ConstMatrix weights,
                        ConstMatrix dweights, Matrix dlogits);
void CountRouterStatistics(KernelContext&, ConstMatrix logits, MatrixView<const int32_t> experts,
                           RouterStatistics& statistics);
void RouterLossBackward(KernelContext&, ConstMatrix logits, std::span<const float> coefficients,
                        float z_coefficient, Matrix dlogits);

// The products of a precision.
template <Precision kPrecision>
inline constexpr LinearFn kLinear = kPrecision == Precision::kFloat32 ? Linear : LinearBf16;
template <Precision kPrecision>
inline constexpr LinearBackwardInputFn kLinearBackwardInput =
    kPrecision == Precision::kFloat32 ? LinearBackwardInput : LinearBackwardInputBf16;
template <Precision kPrecision>
inline constexpr LinearBackwardWeightFn kLinearBackwardWeight =
    kPrecision == Precision::kFloat32 ? LinearBackwardWeight : LinearBackwardWeightBf16;

template <Precision>
void Moe(KernelContext&, ConstMatrix x, std::span<const ExpertWeights> expert_weights,
         MatrixView<const int32_t> experts, ConstMatrix weights, const MoeActivations& kept,
         Matrix out);
template <Precision>
void MoeBackward(KernelContext&, ConstMatrix x, std::span<const ExpertWeights> expert_weights,
                 MatrixView<const int32_t> experts, ConstMatrix weights, const MoeActivations& kept,
                 ConstMatrix dout, Matrix dx, Matrix dweights,
                 std::span<const ExpertGradients> gradients);

template <Precision>
double CrossEntropy(KernelContext&, ConstMatrix x, const WeightMatrix& head,
                    std::span<const int32_t> targets, float scale, Matrix dx, Matrix dhead);

void AdamW(KernelContext&, const AdamWParams& params, std::span<const float> gradient,
           std::span<float> weight, std::span<float> first_moment, std::span<float> second_moment);
double SquaredNorm(KernelContext&, std::span<const float> values);

}  // namespace fulmen::ref
