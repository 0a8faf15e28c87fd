#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "kernels/ref/moe_slots.h"
#include "kernels/ref/training_operations.h"

namespace fulmen::ref {

void TopKRouter(KernelContext&, ConstMatrix logits, MatrixView<int32_t> experts, Matrix weights) {
  const int64_t k = weights.cols;
  FULMEN_CHECK(k <= logits.cols && experts.cols == k, "top {} of {} experts into {} columns", k,
               logits.cols, experts.cols);
  std::vector<int32_t> order(static_cast<size_t>(logits.cols));
  for (int64_t t = 0; t < logits.rows; ++t) {
    const float* row = logits.row(t);
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [row](int32_t a, int32_t b) { return row[a] > row[b]; });
    const double largest = row[order[0]];
    double total = 0.0;
    for (int64_t s = 0; s < k; ++s) {
      total += std::exp(row[order[static_cast<size_t>(s)]] - largest);
    }
    for (int64_t s = 0; s < k; ++s) {
      const int32_t expert = order[static_cast<size_t>(s)];
      experts.row(t)[s] = expert;
      weights.row(t)[s] = static_cast<float>(std::exp(row[expert] - largest) / total);
    }
  }
}

template <Precision kPrecision>
void Moe(KernelContext& context, ConstMatrix x, std::span<const ExpertWeights> expert_weights,
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
    if (kept.gate.data != nullptr) {
      Scatter(gate.view(), slots, kept.gate);
      Scatter(up.view(), slots, kept.up);
    }
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

template void Moe<Precision::kFloat32>(KernelContext&, ConstMatrix, std::span<const ExpertWeights>,
                                       MatrixView<const int32_t>, ConstMatrix,
                                       const MoeActivations&, Matrix);
template void Moe<Precision::kBFloat16>(KernelContext&, ConstMatrix, std::span<const ExpertWeights>,
                                        MatrixView<const int32_t>, ConstMatrix,
                                        const MoeActivations&, Matrix);

}  // namespace fulmen::ref
