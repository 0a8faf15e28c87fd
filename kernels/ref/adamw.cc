#include <cmath>

#include "kernels/ref/training_operations.h"

namespace fulmen::ref {

void AdamW(KernelContext&, const AdamWParams& params, std::span<const float> gradient,
           std::span<float> weight, std::span<float> first_moment, std::span<float> second_moment) {
  FULMEN_CHECK(weight.size() == gradient.size() && first_moment.size() == gradient.size() &&
                   second_moment.size() == gradient.size(),
               "{} gradients for {} weights with {} and {} moments", gradient.size(), weight.size(),
               first_moment.size(), second_moment.size());
  const double beta1 = params.beta1;
  const double beta2 = params.beta2;
  const auto step = static_cast<double>(params.step);
  const double correction1 = 1.0 - std::pow(beta1, step);
  const double correction2 = 1.0 - std::pow(beta2, step);
  for (size_t i = 0; i < gradient.size(); ++i) {
    const double g = double{gradient[i]} * double{params.gradient_scale};
    const double m = beta1 * double{first_moment[i]} + (1.0 - beta1) * g;
    const double v = beta2 * double{second_moment[i]} + (1.0 - beta2) * g * g;
    const double update = m / correction1 / (std::sqrt(v / correction2) + double{params.epsilon}) +
                          double{params.weight_decay} * double{weight[i]};
    first_moment[i] = static_cast<float>(m);
    second_moment[i] = static_cast<float>(v);
    weight[i] = static_cast<float>(double{weight[i]} - double{params.learning_rate} * update);
  }
}

double SquaredNorm(KernelContext&, std::span<const float> values) {
  double sum = 0.0;
  for (const float value : values) sum += double{value} * double{value};
  return sum;
}

}  // namespace fulmen::ref
