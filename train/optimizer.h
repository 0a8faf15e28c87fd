// AdamW over all parameters, with clipping by the global norm.
#pragma once

#include <cstdint>

#include "kernels/training.h"
#include "train/parameters.h"

namespace fulmen {

struct OptimizerOptions {
  float learning_rate = 1e-3F;
  float beta1 = 0.9F;
  float beta2 = 0.95F;
  float epsilon = 1e-6F;
  float weight_decay = 0.1F;
  float clip = 0.5F;  // largest global norm of the gradients; 0: no clipping
};

// Owns the moments. Not thread safe. Movable.
class Optimizer {
 public:
  explicit Optimizer(const Config& config) : first_moments_(config), second_moments_(config) {}

  // One step; returns the global norm of the gradients before clipping.
  double Step(const OptimizerOptions& options, const TrainingKernels& kernels,
              KernelContext& context, const Parameters& gradients, Parameters& weights);

  int64_t steps() const { return steps_; }

 private:
  Parameters first_moments_;
  Parameters second_moments_;
  int64_t steps_ = 0;
};

}  // namespace fulmen
