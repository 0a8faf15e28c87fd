#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "kernels/ref/operations.h"

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

void Moe(KernelContext& context, ConstMatrix x, std::span<const ExpertWeights> expert_weights,
         MatrixView<const int32_t> experts, ConstMatrix weights, Matrix out) {
  const int64_t slots = weights.cols;
  const int64_t width = x.cols;
  // What each slot of each token contributes, [T * slots, C]: found expert by expert, so that every
  // expert's weights are read once, then summed in slot order.
  std::vector<float> contributions(static_cast<size_t>(x.rows * slots * width));
  for (size_t e = 0; e < expert_weights.size(); ++e) {
    std::vector<int64_t> chosen;  // t * slots + s of every slot that chose expert e
    for (int64_t i = 0; i < x.rows * slots; ++i) {
      if (experts.row(i / slots)[i % slots] == static_cast<int32_t>(e)) chosen.push_back(i);
    }
    if (chosen.empty()) continue;
    const ExpertWeights& expert = expert_weights[e];
    const int64_t count = static_cast<int64_t>(chosen.size());
    const int64_t ffn = expert.gate.rows;
    std::vector<float> input(static_cast<size_t>(count * width));
    std::vector<float> gate(static_cast<size_t>(count * ffn));
    std::vector<float> up(static_cast<size_t>(count * ffn));
    std::vector<float> down(static_cast<size_t>(count * width));
    for (int64_t i = 0; i < count; ++i) {
      std::copy_n(x.row(chosen[static_cast<size_t>(i)] / slots), width,
                  &input[static_cast<size_t>(i * width)]);
    }
    Linear(context, {input.data(), count, width},
           {{expert.gate, {gate.data(), count, ffn}}, {expert.up, {up.data(), count, ffn}}});
    Silu(context, {gate.data(), count, ffn}, {gate.data(), count, ffn});
    for (size_t i = 0; i < gate.size(); ++i) gate[i] *= up[i];
    Linear(context, {gate.data(), count, ffn}, {{expert.down, {down.data(), count, width}}});
    for (int64_t i = 0; i < count; ++i) {
      std::copy_n(&down[static_cast<size_t>(i * width)], width,
                  &contributions[static_cast<size_t>(chosen[static_cast<size_t>(i)] * width)]);
    }
  }
  for (int64_t t = 0; t < x.rows; ++t) {
    for (int64_t c = 0; c < width; ++c) {
      double sum = 0.0;
      for (int64_t s = 0; s < slots; ++s) {
        sum += double{weights.row(t)[s]} *
               double{contributions[static_cast<size_t>((t * slots + s) * width + c)]};
      }
      out.row(t)[c] = static_cast<float>(sum);
    }
  }
}

}  // namespace fulmen::ref
