#include "train/optimizer.h"

#include <cmath>

namespace fulmen {

double Optimizer::Step(const OptimizerOptions& options, const TrainingKernels& kernels,
                       KernelContext& context, const Parameters& gradients, Parameters& weights) {
  double squared = 0;
  for (size_t i = 0; i < gradients.size(); ++i) {
    squared += kernels.squared_norm(context, gradients.values(i));
  }
  const double norm = std::sqrt(squared);
  AdamWParams params;
  params.learning_rate = options.learning_rate;
  params.beta1 = options.beta1;
  params.beta2 = options.beta2;
  params.epsilon = options.epsilon;
  params.weight_decay = options.weight_decay;
  params.step = ++steps_;
  if (options.clip > 0 && norm > options.clip) {
    params.gradient_scale = static_cast<float>(options.clip / norm);
  }
  for (size_t i = 0; i < gradients.size(); ++i) {
    kernels.adamw(context, params, gradients.values(i), weights.values(i), first_moments_.values(i),
                  second_moments_.values(i));
  }
  return norm;
}

}  // namespace fulmen
