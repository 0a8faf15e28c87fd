#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/ref/training_operations.h"

namespace fulmen::ref {
namespace {

struct Softmax {
  std::vector<double> probabilities;
  double log_sum;  // log of the sum of exp(logit)
};

Softmax SoftmaxOf(const float* logits, int64_t count) {
  Softmax softmax = {std::vector<double>(static_cast<size_t>(count)), 0.0};
  const double largest = *std::max_element(logits, logits + count);
  double total = 0.0;
  for (int64_t e = 0; e < count; ++e) {
    double& weight = softmax.probabilities[static_cast<size_t>(e)];
    weight = std::exp(double{logits[e]} - largest);
    total += weight;
  }
  for (double& probability : softmax.probabilities) probability /= total;
  softmax.log_sum = largest + std::log(total);
  return softmax;
}

}  // namespace

void TopKRouterBackward(KernelContext&, MatrixView<const int32_t> experts, ConstMatrix weights,
                        ConstMatrix dweights, Matrix dlogits) {
  FULMEN_CHECK(experts.cols == weights.cols && dweights.cols == weights.cols &&
                   experts.rows == weights.rows && dweights.rows == weights.rows &&
                   dlogits.rows == weights.rows,
               "experts are [{}, {}], weights [{}, {}], dweights [{}, {}], dlogits [{}, {}]",
               experts.rows, experts.cols, weights.rows, weights.cols, dweights.rows, dweights.cols,
               dlogits.rows, dlogits.cols);
  for (int64_t t = 0; t < weights.rows; ++t) {
    const float* weight = weights.row(t);
    double shared = 0.0;
    for (int64_t s = 0; s < weights.cols; ++s) {
      shared += double{weight[s]} * double{dweights.row(t)[s]};
    }
    std::fill_n(dlogits.row(t), dlogits.cols, 0.0F);
    for (int64_t s = 0; s < weights.cols; ++s) {
      const int32_t expert = experts.row(t)[s];
      FULMEN_CHECK(expert >= 0 && expert < dlogits.cols, "expert {} of {}", expert, dlogits.cols);
      dlogits.row(t)[expert] =
          static_cast<float>(double{weight[s]} * (double{dweights.row(t)[s]} - shared));
    }
  }
}

void CountRouterStatistics(KernelContext&, ConstMatrix logits, MatrixView<const int32_t> experts,
                           RouterStatistics& statistics) {
  const auto count = static_cast<size_t>(logits.cols);
  const auto slots = static_cast<size_t>(experts.cols);
  FULMEN_CHECK(statistics.counts.size() == slots * count &&
                   statistics.probabilities.size() == count && experts.rows == logits.rows,
               "{} counts and {} probabilities for {} slots and {} experts",
               statistics.counts.size(), statistics.probabilities.size(), slots, count);
  for (int64_t t = 0; t < logits.rows; ++t) {
    for (size_t s = 0; s < slots; ++s) {
      const int32_t expert = experts.row(t)[s];
      FULMEN_CHECK(expert >= 0 && expert < logits.cols, "expert {} of {}", expert, logits.cols);
      statistics.counts[s * count + static_cast<size_t>(expert)] += 1.0;
    }
    const Softmax softmax = SoftmaxOf(logits.row(t), logits.cols);
    for (size_t e = 0; e < count; ++e) {
      statistics.probabilities[e] += softmax.probabilities[e];
    }
    statistics.squared_log_sums += softmax.log_sum * softmax.log_sum;
  }
}

void RouterLossBackward(KernelContext&, ConstMatrix logits, std::span<const float> coefficients,
                        float z_coefficient, Matrix dlogits) {
  const auto count = static_cast<size_t>(logits.cols);
  FULMEN_CHECK(
      coefficients.size() == count && dlogits.cols == logits.cols && dlogits.rows == logits.rows,
      "logits are [{}, {}], dlogits [{}, {}] for {} coefficients", logits.rows, logits.cols,
      dlogits.rows, dlogits.cols, coefficients.size());
  for (int64_t t = 0; t < logits.rows; ++t) {
    const Softmax softmax = SoftmaxOf(logits.row(t), logits.cols);
    double mean = 0.0;
    for (size_t e = 0; e < count; ++e) mean += softmax.probabilities[e] * double{coefficients[e]};
    const double log_sum_factor = 2.0 * double{z_coefficient} * softmax.log_sum;
    for (size_t e = 0; e < count; ++e) {
      float& gradient = dlogits.row(t)[e];
      gradient = static_cast<float>(double{gradient} +
                                    softmax.probabilities[e] *
                                        (double{coefficients[e]} - mean + log_sum_factor));
    }
  }
}

}  // namespace fulmen::ref
