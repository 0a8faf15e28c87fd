// The auxiliary and z losses of all layers' routers, and what they add to the gradients of router
// logits. Internal to model/.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/training_kernels.h"
#include "model/backward_pass.h"
#include "model/training.h"

namespace fulmen {

class RouterLosses {
 public:
  RouterLosses(const Config& config, int64_t tokens);

  void AddLayer(const Compute& compute, int64_t layer, const LayerActivations& a);

  // See Losses.
  std::vector<double> Choices() const;
  double Auxiliary() const;
  double Z() const { return squared_log_sums_ / tokens_; }

  // The shares count as constants, as everywhere in the literature: a count has no gradient.
  BackwardPass::RouterLoss Backward(const LossOptions& options) const;

 private:
  // Per expert, the shares of tokens whose choice it is, summed over the slots.
  std::vector<double> Shares() const;

  size_t experts_;
  size_t slots_;
  double tokens_;                      // of all layers
  std::vector<double> counts_;         // [layers * k * E]
  std::vector<double> probabilities_;  // [E], summed over the layers
  double squared_log_sums_ = 0;
};

}  // namespace fulmen
