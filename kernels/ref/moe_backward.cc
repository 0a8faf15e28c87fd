#include <algorithm>
#include <vector>

#include "kernels/ref/moe_slots.h"
#include "kernels/ref/sigmoid.h"
#include "kernels/ref/training_operations.h"

namespace fulmen::ref {
namespace {

// The gradients of one expert for the slots that chose it. Rows of dx_slots [T * k, C] are what
// each slot adds to its token's dx.
template <Precision kPrecision>
void ExpertBackward(KernelContext& context, const ExpertWeights& expert,
                    const std::vector<int64_t>& slots, ConstMatrix x, ConstMatrix weights,
                    const MoeActivations& kept, ConstMatrix dout, Matrix dx_slots, Matrix dweights,
                    const ExpertGradients& gradients) {
  const int64_t k = weights.cols;
  const int64_t ffn = expert.gate.rows;
  Owned input = Gather(x, slots, k);
  Owned gate = Gather(kept.gate, slots, 1);  // becomes its gradient below, as does `up`
  Owned up = Gather(kept.up, slots, 1);
  Owned doutput = Gather(dout, slots, k);
  Owned hidden(slots.size(), ffn);  // weighted
  Owned dhidden(slots.size(), ffn);
  kLinearBackwardInput<kPrecision>(context, doutput.view(), expert.down, false, dhidden.view());
  for (size_t i = 0; i < slots.size(); ++i) {
    const int64_t t = slots[i] / k;
    const int64_t s = slots[i] % k;
    const double weight = weights.row(t)[s];
    double dweight = 0.0;
    for (size_t j = i * static_cast<size_t>(ffn); j < (i + 1) * static_cast<size_t>(ffn); ++j) {
      const double g = gate.values[j];
      const double u = up.values[j];
      const double sigmoid = Sigmoid(g);
      const double unweighted = dhidden.values[j];
      dweight += unweighted * g * sigmoid * u;
      hidden.values[j] = static_cast<float>(weight * g * sigmoid * u);
      gate.values[j] =
          static_cast<float>(weight * unweighted * u * sigmoid * (1.0 + g * (1.0 - sigmoid)));
      up.values[j] = static_cast<float>(weight * unweighted * g * sigmoid);
    }
    dweights.row(t)[s] = static_cast<float>(dweight);
  }
  kLinearBackwardWeight<kPrecision>(context, hidden.view(), doutput.view(), gradients.down);
  kLinearBackwardWeight<kPrecision>(context, input.view(), gate.view(), gradients.gate);
  kLinearBackwardWeight<kPrecision>(context, input.view(), up.view(), gradients.up);
  kLinearBackwardInput<kPrecision>(context, gate.view(), expert.gate, false, input.view());
  kLinearBackwardInput<kPrecision>(context, up.view(), expert.up, true, input.view());
  Scatter(input.view(), slots, dx_slots);
}

}  // namespace

template <Precision kPrecision>
void MoeBackward(KernelContext& context, ConstMatrix x,
                 std::span<const ExpertWeights> expert_weights, MatrixView<const int32_t> experts,
                 ConstMatrix weights, const MoeActivations& kept, ConstMatrix dout, Matrix dx,
                 Matrix dweights, std::span<const ExpertGradients> gradients) {
  CheckExperts(experts, weights, expert_weights.size());
  const int64_t k = weights.cols;
  Owned dx_slots(static_cast<size_t>(x.rows * k), x.cols);  // zero for dropped slots
  for (int64_t t = 0; t < x.rows; ++t) std::fill_n(dweights.row(t), k, 0.0F);
  for (size_t e = 0; e < expert_weights.size(); ++e) {
    const std::vector<int64_t> slots = SlotsOf(e, experts);
    if (slots.empty()) continue;
    ExpertBackward<kPrecision>(context, expert_weights[e], slots, x, weights, kept, dout,
                               dx_slots.view(), dweights, gradients[e]);
  }
  for (int64_t t = 0; t < x.rows; ++t) {
    for (int64_t c = 0; c < x.cols; ++c) {
      double sum = 0.0;
      for (int64_t s = 0; s < k; ++s) sum += double{dx_slots.view().row(t * k + s)[c]};
      dx.row(t)[c] = static_cast<float>(sum);
    }
  }
}

template void MoeBackward<Precision::kFloat32>(KernelContext&, ConstMatrix,
                                               std::span<const ExpertWeights>,
                                               MatrixView<const int32_t>, ConstMatrix,
                                               const MoeActivations&, ConstMatrix, Matrix, Matrix,
                                               std::span<const ExpertGradients>);
template void MoeBackward<Precision::kBFloat16>(KernelContext&, ConstMatrix,
                                                std::span<const ExpertWeights>,
                                                MatrixView<const int32_t>, ConstMatrix,
                                                const MoeActivations&, ConstMatrix, Matrix, Matrix,
                                                std::span<const ExpertGradients>);

}  // namespace fulmen::ref
