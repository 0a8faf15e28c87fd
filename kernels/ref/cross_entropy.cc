#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/ref/operations.h"
#include "kernels/ref/training_operations.h"

namespace fulmen::ref {
namespace {

constexpr int64_t kTokens = 64;  // tokens whose logits exist at a time

// The loss of one token; its logits become their gradient times `scale`.
double Token(float* logits, int64_t vocabulary, int32_t target, double scale) {
  if (target == -1) {
    std::fill_n(logits, vocabulary, 0.0F);
    return 0.0;
  }
  FULMEN_CHECK(target >= 0 && target < vocabulary, "target {} of a vocabulary of {}", target,
               vocabulary);
  const double largest = *std::max_element(logits, logits + vocabulary);
  double total = 0.0;
  for (int64_t v = 0; v < vocabulary; ++v) total += std::exp(double{logits[v]} - largest);
  const double log_sum = largest + std::log(total);
  const double loss = log_sum - double{logits[target]};
  for (int64_t v = 0; v < vocabulary; ++v) {
    const double probability = std::exp(double{logits[v]} - log_sum);
    logits[v] = static_cast<float>(scale * (probability - (v == target ? 1.0 : 0.0)));
  }
  return loss;
}

}  // namespace

template <Precision kPrecision>
double CrossEntropy(KernelContext& context, ConstMatrix x, const WeightMatrix& head,
                    std::span<const int32_t> targets, float scale, Matrix dx, Matrix dhead) {
  const int64_t vocabulary = head.rows;
  FULMEN_CHECK(x.rows == static_cast<int64_t>(targets.size()), "x is [{}, {}] for {} targets",
               x.rows, x.cols, targets.size());
  std::vector<float> memory(static_cast<size_t>(std::min(kTokens, x.rows) * vocabulary));
  double loss = 0.0;
  for (int64_t first = 0; first < x.rows; first += kTokens) {
    const int64_t count = std::min(kTokens, x.rows - first);
    const Matrix logits(memory.data(), count, vocabulary);
    kLinear<kPrecision>(context, x.Rows(first, count), {{head, logits}});
    for (int64_t t = 0; t < count; ++t) {
      loss +=
          Token(logits.row(t), vocabulary, targets[static_cast<size_t>(first + t)], double{scale});
    }
    if (dx.data == nullptr) continue;
    kLinearBackwardInput<kPrecision>(context, logits, head, false, dx.Rows(first, count));
    kLinearBackwardWeight<kPrecision>(context, x.Rows(first, count), logits, dhead);
  }
  return loss;
}

template double CrossEntropy<Precision::kFloat32>(KernelContext&, ConstMatrix, const WeightMatrix&,
                                                  std::span<const int32_t>, float, Matrix, Matrix);
template double CrossEntropy<Precision::kBFloat16>(KernelContext&, ConstMatrix, const WeightMatrix&,
                                                   std::span<const int32_t>, float, Matrix, Matrix);

}  // namespace fulmen::ref
