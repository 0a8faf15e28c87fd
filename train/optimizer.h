// AdamW over all parameters, with clipping by the global norm.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/compute.h"
#include "train/parameters.h"

namespace fulmen {

struct OptimizerOptions {
  double learning_rate = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.95;
  double epsilon = 1e-8;
  double weight_decay = 0.1;
  // Tensors whose names contain one of these are not decayed.
  std::vector<std::string> no_decay = {"norm", "embed_tokens"};
  double clip = 1.0;  // largest global norm of the gradients; 0: no clipping
};

// The tensor is one that weight decay applies to.
bool IsDecayed(const TensorInstance& tensor, const std::vector<std::string>& no_decay);

// The norm of all gradients together.
double GlobalNorm(const Compute& compute, const Parameters& gradients);

// Owns the moments. Not thread safe. Movable.
class Optimizer {
 public:
  explicit Optimizer(const Config& config) : first_moments_(config), second_moments_(config) {}

  // One step; `norm` is the GlobalNorm of the gradients and finite.
  void Step(const OptimizerOptions& options, const Compute& compute, const Parameters& gradients,
            double norm, Parameters& weights);

  // All there is to save and restore: steps so far, and the moments.
  int64_t steps() const { return steps_; }
  void set_steps(int64_t steps) { steps_ = steps; }
  Parameters& first_moments() { return first_moments_; }
  Parameters& second_moments() { return second_moments_; }
  const Parameters& first_moments() const { return first_moments_; }
  const Parameters& second_moments() const { return second_moments_; }

 private:
  Parameters first_moments_;
  Parameters second_moments_;
  int64_t steps_ = 0;
};

}  // namespace fulmen
