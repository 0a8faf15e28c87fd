#include "train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/check.h"

namespace fulmen {
namespace {

// From 1 at u = 0 to `last` at u = 1.
double Decay(const std::string& shape, double last, double u) {
  if (shape == "cosine") return last + (1 - last) * (1 + std::cos(std::numbers::pi * u)) / 2;
  if (shape == "sqrt") return 1 - (1 - last) * std::sqrt(u);
  if (shape == "exponential") return std::pow(std::max(last, 1e-3), u);
  return 1 - (1 - last) * u;
}

// Steps of one stage that begins at step `first`.
int64_t StageSteps(const TrainingConfig& config, const StageConfig& stage, int64_t first) {
  if (stage.steps > 0) return stage.steps;
  const int64_t batch_tokens = StageBatchTokens(config, stage);
  int64_t steps = 0;
  int64_t left = stage.tokens;
  for (; left > 0 && first + steps < config.batch.warmup_steps; ++steps) {
    left -= batch_tokens * StepBatches(config.batch, first + steps);
  }
  const int64_t step_tokens = batch_tokens * config.batch.batches;
  return steps + (std::max<int64_t>(left, 0) + step_tokens - 1) / step_tokens;
}

}  // namespace

int64_t StageBatchTokens(const TrainingConfig& config, const StageConfig& stage) {
  return stage.batch_tokens > 0 ? stage.batch_tokens : config.batch.tokens;
}

int64_t StepBatches(const BatchSection& batch, int64_t step) {
  if (step >= batch.warmup_steps) return batch.batches;
  const double grown = static_cast<double>(batch.batches - batch.warmup_batches) *
                       static_cast<double>(step) / static_cast<double>(batch.warmup_steps);
  const auto batches = batch.warmup_batches + static_cast<int64_t>(grown);
  return batches / batch.warmup_batches * batch.warmup_batches;
}

TrainingPlan::TrainingPlan(const TrainingConfig& config) : config_(config) {
  int64_t end = 0;
  for (const StageConfig& stage : config.stages) {
    end += StageSteps(config, stage, end);
    stage_ends_.push_back(end);
  }
}

StepPlan TrainingPlan::At(int64_t step) const {
  FULMEN_CHECK(step >= 0 && step < steps(), "step {} of {}", step, steps());
  StepPlan plan;
  while (step >= stage_ends_[plan.stage]) ++plan.stage;
  plan.batches = StepBatches(config_.batch, step);
  plan.learning_rate = config_.optimizer.learning_rate *
                       config_.stages[plan.stage].learning_rate_factor *
                       ScheduleFactor(config_.schedule, step, steps());
  return plan;
}

double TrainingPlan::TokensFrom(int64_t first) const {
  double tokens = 0;
  for (size_t stage = 0; stage < stage_ends_.size(); ++stage) {
    double batches = 0;
    for (; first < std::min(stage_ends_[stage], config_.batch.warmup_steps); ++first) {
      batches += static_cast<double>(StepBatches(config_.batch, first));
    }
    const int64_t rest = std::max<int64_t>(stage_ends_[stage] - first, 0);
    batches += static_cast<double>(rest) * static_cast<double>(config_.batch.batches);
    first += rest;
    tokens += batches * static_cast<double>(StageBatchTokens(config_, config_.stages[stage]));
  }
  return tokens;
}

double ScheduleFactor(const ScheduleSection& schedule, int64_t step, int64_t steps) {
  if (step < schedule.warmup_steps) {
    return static_cast<double>(step + 1) / static_cast<double>(schedule.warmup_steps);
  }
  // How far step + 1 is from `begin` to the end.
  const auto passed = [&](int64_t begin) {
    return static_cast<double>(step + 1 - begin) / static_cast<double>(steps - begin);
  };
  if (schedule.kind == "constant") return 1;
  if (schedule.kind != "wsd") {
    return Decay(schedule.kind, schedule.final_share, passed(schedule.warmup_steps));
  }
  const auto decay_steps =
      static_cast<int64_t>(std::round(schedule.decay_share * static_cast<double>(steps)));
  const int64_t begin = std::max(steps - decay_steps, schedule.warmup_steps);
  if (step < begin) return 1;
  return Decay(schedule.decay_shape, schedule.final_share, passed(begin));
}

}  // namespace fulmen
