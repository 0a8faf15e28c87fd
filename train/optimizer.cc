#include "train/optimizer.h"

#include <algorithm>
#include <cmath>

namespace fulmen {

bool IsDecayed(const TensorInstance& tensor, const std::vector<std::string>& no_decay) {
  return std::none_of(no_decay.begin(), no_decay.end(), [&](const std::string& part) {
    return tensor.name.find(part) != std::string::npos;
  });
}

double GlobalNorm(const Compute& compute, const Parameters& gradients) {
  double squared = 0;
  for (size_t i = 0; i < gradients.size(); ++i) {
    squared += compute.training->squared_norm(compute.context, gradients.values(i));
  }
  return std::sqrt(squared);
}

void Optimizer::Step(const OptimizerOptions& options, const Compute& compute,
                     const Parameters& gradients, double norm, Parameters& weights) {
  AdamWParams params = {.learning_rate = static_cast<float>(options.learning_rate),
                        .beta1 = static_cast<float>(options.beta1),
                        .beta2 = static_cast<float>(options.beta2),
                        .epsilon = static_cast<float>(options.epsilon),
                        .step = ++steps_};
  if (options.clip > 0 && norm > options.clip) {
    params.gradient_scale = static_cast<float>(options.clip / norm);
  }
  for (size_t i = 0; i < gradients.size(); ++i) {
    const bool decayed = IsDecayed(gradients.tensor(i), options.no_decay);
    params.weight_decay = decayed ? static_cast<float>(options.weight_decay) : 0.0F;
    compute.training->adamw(compute.context, params, gradients.values(i), weights.values(i),
                            first_moments_.values(i), second_moments_.values(i));
  }
}

}  // namespace fulmen
