#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/ref/operations.h"
#include "kernels/ref/training_operations.h"

namespace fulmen::ref {
namespace {

// A matrix that owns its memory.
struct Owned {
  std::vector<float> values;
  int64_t cols;

  Owned(size_t rows, int64_t cols_) : values(rows * static_cast<size_t>(cols_)), cols(cols_) {}
  Matrix view() { return {values.data(), static_cast<int64_t>(values.size()) / cols, cols}; }
};

// The slots t * k + s that chose `expert`.
std::vector<int64_t> SlotsOf(size_t expert, MatrixView<const int32_t> experts) {
  std::vector<int64_t> slots;
  for (int64_t t = 0; t < experts.rows; ++t) {
    for (int64_t s = 0; s < experts.cols; ++s) {
      if (experts.row(t)[s] == static_cast<int32_t>(expert)) slots.push_back(t * experts.cols + s);
    }
  }
  return slots;
}

// Row slot / divisor of `source` for every slot.
Owned Gather(ConstMatrix source, const std::vector<int64_t>& slots, int64_t divisor) {
  Owned rows(slots.size(), source.cols);
  for (size_t i = 0; i < slots.size(); ++i) {
    std::copy_n(source.row(slots[i] / divisor), source.cols,
                rows.view().row(static_cast<int64_t>(i)));
  }
  return rows;
}

void Scatter(ConstMatrix rows, const std::vector<int64_t>& slots, Matrix target) {
  for (size_t i = 0; i < slots.size(); ++i) {
    std::copy_n(rows.row(static_cast<int64_t>(i)), rows.cols, target.row(slots[i]));
  }
}

double Sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }

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

void CheckExperts(MatrixView<const int32_t> experts, ConstMatrix weights, size_t count) {
  FULMEN_CHECK(experts.rows == weights.rows && experts.cols == weights.cols,
               "experts are [{}, {}], weights [{}, {}]", experts.rows, experts.cols, weights.rows,
               weights.cols);
  for (int64_t t = 0; t < experts.rows; ++t) {
    for (int64_t s = 0; s < experts.cols; ++s) {
      const int32_t expert = experts.row(t)[s];
      FULMEN_CHECK(expert >= -1 && expert < static_cast<int32_t>(count), "expert {} of {}", expert,
                   count);
    }
  }
}

}  // namespace

template <Precision kPrecision>
void MoeTrain(KernelContext& context, ConstMatrix x, std::span<const ExpertWeights> expert_weights,
              MatrixView<const int32_t> experts, ConstMatrix weights, const MoeActivations& kept,
              Matrix out) {
  CheckExperts(experts, weights, expert_weights.size());
  const int64_t k = weights.cols;
  Owned contributions(static_cast<size_t>(x.rows * k), x.cols);
  for (size_t e = 0; e < expert_weights.size(); ++e) {
    const std::vector<int64_t> slots = SlotsOf(e, experts);
    if (slots.empty()) continue;
    const ExpertWeights& expert = expert_weights[e];
    Owned input = Gather(x, slots, k);
    Owned gate(slots.size(), expert.gate.rows);
    Owned up(slots.size(), expert.up.rows);
    kLinear<kPrecision>(context, input.view(),
                        {{expert.gate, gate.view()}, {expert.up, up.view()}});
    Scatter(gate.view(), slots, kept.gate);
    Scatter(up.view(), slots, kept.up);
    Silu(context, gate.view(), gate.view());
    for (size_t j = 0; j < gate.values.size(); ++j) gate.values[j] *= up.values[j];
    if (out.data == nullptr) continue;
    kLinear<kPrecision>(context, gate.view(), {{expert.down, input.view()}});
    Scatter(input.view(), slots, contributions.view());
  }
  if (out.data == nullptr) return;
  for (int64_t t = 0; t < x.rows; ++t) {
    for (int64_t c = 0; c < x.cols; ++c) {
      double sum = 0.0;
      for (int64_t s = 0; s < k; ++s) {
        if (experts.row(t)[s] < 0) continue;
        sum += double{weights.row(t)[s]} * double{contributions.view().row(t * k + s)[c]};
      }
      out.row(t)[c] = static_cast<float>(sum);
    }
  }
}

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

template void MoeTrain<Precision::kFloat32>(KernelContext&, ConstMatrix,
                                            std::span<const ExpertWeights>,
                                            MatrixView<const int32_t>, ConstMatrix,
                                            const MoeActivations&, Matrix);
template void MoeTrain<Precision::kBFloat16>(KernelContext&, ConstMatrix,
                                             std::span<const ExpertWeights>,
                                             MatrixView<const int32_t>, ConstMatrix,
                                             const MoeActivations&, Matrix);
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
