#include "train/optimizer.h"

#include <algorithm>
#include <cmath>

namespace fulmen {

bool IsDecayed(const TensorInstance& tensor, const std::vector<std::string>& no_decay) {
  return std::none_of(no_decay.begin(), no_decay.end(), [&](const std::string& part) {
    return tensor.name.find(part) != std::string::npos;
  });
}

std::optional<Trained> TrainedFromName(std::string_view name) {
  if (name == "all") return Trained::kAll;
  if (name == "vision") return Trained::kVision;
  if (name == "projector") return Trained::kProjector;
  return std::nullopt;
}

Part PartOf(const TensorInstance& tensor) {
  const TensorRow& row = *tensor.row;
  if (!row.in_vision()) return Part::kText;
  const bool projector =
      row.Is(&VisionWeights::projector_in) || row.Is(&VisionWeights::projector_in_bias) ||
      row.Is(&VisionWeights::projector_out) || row.Is(&VisionWeights::projector_out_bias) ||
      row.Is(&VisionWeights::newline);
  return projector ? Part::kProjector : Part::kTower;
}

bool IsTrained(Part part, Trained trained) {
  if (trained == Trained::kAll || part == Part::kProjector) return true;
  return trained == Trained::kVision && part == Part::kTower;
}

double GlobalNorm(const Compute& compute, const Parameters& gradients, Trained trained) {
  double squared = 0;
  for (size_t i = 0; i < gradients.size(); ++i) {
    if (!IsTrained(PartOf(gradients.tensor(i)), trained)) continue;
    squared += compute.training->squared_norm(compute.context, gradients.values(i));
  }
  return std::sqrt(squared);
}

void Optimizer::Step(const OptimizerOptions& options, const Compute& compute,
                     const Parameters& gradients, double norm, Parameters& weights) {
  AdamWParams params = {.learning_rate = static_cast<float>(options.learning_rate),
                        .beta1 = static_cast<float>(options.beta1),
                        .beta2 = static_cast<float>(options.beta2),
                        .epsilon = static_cast<float>(options.epsilon)};
  for (size_t part = 0; part < kParts; ++part) {
    if (IsTrained(static_cast<Part>(part), options.trained)) ++steps_[part];
  }
  if (options.clip > 0 && norm > options.clip) {
    params.gradient_scale = static_cast<float>(options.clip / norm);
  }
  for (size_t i = 0; i < gradients.size(); ++i) {
    const Part part = PartOf(gradients.tensor(i));
    if (!IsTrained(part, options.trained)) continue;
    params.step = steps_[static_cast<size_t>(part)];
    const bool decayed = IsDecayed(gradients.tensor(i), options.no_decay);
    params.weight_decay = decayed ? static_cast<float>(options.weight_decay) : 0.0F;
    compute.training->adamw(compute.context, params, gradients.values(i), weights.values(i),
                            first_moments_.values(i), second_moments_.values(i));
  }
}

}  // namespace fulmen
