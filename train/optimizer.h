// AdamW over all parameters, with clipping by the global norm.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/compute.h"
#include "train/parameters.h"

namespace fulmen {

// What of a model is trained: all of it, its vision half (tower and projector, with the newline),
// or the projector alone. The rest stays as it is to the bit, its moments too.
enum class Trained : uint8_t { kAll, kVision, kProjector };
// "all", "vision", "projector".
std::optional<Trained> TrainedFromName(std::string_view name);

// The parts of a model that are trained together or not.
enum class Part : uint8_t { kText, kTower, kProjector };
inline constexpr size_t kParts = 3;
Part PartOf(const TensorInstance& tensor);
bool IsTrained(Part part, Trained trained);

struct OptimizerOptions {
  double learning_rate = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.95;
  double epsilon = 1e-8;
  double weight_decay = 0.1;
  // Tensors whose names contain one of these are not decayed.
  std::vector<std::string> no_decay = {"norm", "embed_tokens"};
  double clip = 1.0;                // largest global norm of the gradients; 0: no clipping
  Trained trained = Trained::kAll;  // of each step
};

// The tensor is one that weight decay applies to.
bool IsDecayed(const TensorInstance& tensor, const std::vector<std::string>& no_decay);

// The norm of all gradients of what is trained, together.
double GlobalNorm(const Compute& compute, const Parameters& gradients,
                  Trained trained = Trained::kAll);

// Owns the moments. Not thread safe. Movable.
class Optimizer {
 public:
  explicit Optimizer(const Config& config) : first_moments_(config), second_moments_(config) {}

  // One step; `norm` is the GlobalNorm of what is trained and finite.
  void Step(const OptimizerOptions& options, const Compute& compute, const Parameters& gradients,
            double norm, Parameters& weights);

  // All there is to save and restore: the steps so far in which each part was trained, which
  // correct the bias of its moments, and the moments.
  using Steps = std::array<int64_t, kParts>;
  const Steps& steps() const { return steps_; }
  void set_steps(const Steps& steps) { steps_ = steps; }
  Parameters& first_moments() { return first_moments_; }
  Parameters& second_moments() { return second_moments_; }
  const Parameters& first_moments() const { return first_moments_; }
  const Parameters& second_moments() const { return second_moments_; }

 private:
  Parameters first_moments_;
  Parameters second_moments_;
  Steps steps_ = {};
};

}  // namespace fulmen
