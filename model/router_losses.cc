#include "model/router_losses.h"

#include <span>

namespace fulmen {

RouterLosses::RouterLosses(const Config& config, int64_t tokens)
    : experts_(static_cast<size_t>(config.experts)),
      slots_(static_cast<size_t>(config.experts_per_token)),
      tokens_(static_cast<double>(config.layer_count() * tokens)),
      counts_(static_cast<size_t>(config.layer_count()) * slots_ * experts_),
      probabilities_(experts_) {}

void RouterLosses::AddLayer(const Compute& compute, int64_t layer, const LayerActivations& a) {
  const size_t size = slots_ * experts_;
  RouterStatistics statistics = {
      std::span(counts_).subspan(static_cast<size_t>(layer) * size, size), probabilities_};
  compute.training->router_statistics(compute.context, a.router_logits, a.experts, statistics);
  squared_log_sums_ += statistics.squared_log_sums;
}

std::vector<double> RouterLosses::Choices() const {
  std::vector<double> choices(counts_.size() / slots_);
  for (size_t i = 0; i < counts_.size(); ++i) {
    choices[i / (slots_ * experts_) * experts_ + i % experts_] += counts_[i];
  }
  return choices;
}

double RouterLosses::Auxiliary() const {
  const std::vector<double> shares = Shares();
  double sum = 0;
  for (size_t expert = 0; expert < experts_; ++expert) {
    sum += shares[expert] * probabilities_[expert] / tokens_;
  }
  return static_cast<double>(experts_) * sum;
}

BackwardPass::RouterLoss RouterLosses::Backward(const LossOptions& options) const {
  BackwardPass::RouterLoss loss;
  for (const double share : Shares()) {
    loss.coefficients.push_back(static_cast<float>(
        options.step_share * options.auxiliary * static_cast<double>(experts_) * share / tokens_));
  }
  loss.z = static_cast<float>(options.step_share * options.z / tokens_);
  return loss;
}

std::vector<double> RouterLosses::Shares() const {
  std::vector<double> shares(experts_);
  for (size_t i = 0; i < counts_.size(); ++i) shares[i % experts_] += counts_[i];
  for (double& share : shares) share /= tokens_;
  return shares;
}

}  // namespace fulmen
