// What every step of a run is: its stage, its batches and its learning rate.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "train/training_config.h"

namespace fulmen {

// Tokens of one batch of the stage at most.
int64_t StageBatchTokens(const TrainingConfig& config, const StageConfig& stage);

// Batches of step `step` (from 0), over all ranks: batch.batches, or, during a batch-size warm-up,
// the largest multiple of warmup_batches on the line from warmup_batches to batches.
int64_t StepBatches(const BatchSection& batch, int64_t step);

struct StepPlan {
  size_t stage = 0;
  int64_t batches = 1;
  double learning_rate = 0;
};

// The steps of a config, counted from 0. Immutable; `config` must outlive it.
class TrainingPlan {
 public:
  explicit TrainingPlan(const TrainingConfig& config);

  // Of all stages together.
  int64_t steps() const { return stage_ends_.back(); }
  // The step after a stage's last.
  int64_t StageEnd(size_t stage) const { return stage_ends_[stage]; }
  // step in [0, steps()).
  StepPlan At(int64_t step) const;
  // Of all steps from `first` on, when every batch is full.
  double TokensFrom(int64_t first) const;

 private:
  const TrainingConfig& config_;
  std::vector<int64_t> stage_ends_;
};

// The share of the highest learning rate at `step` of `steps`. Warm-up: (step + 1) / warmup. Then,
// with t rising to 1 at the last step and f the final share: 1 (constant), 1 - (1 - f) t (linear),
// f + (1 - f) (1 + cos(pi t)) / 2 (cosine; Loshchilov and Hutter, "SGDR", 2017, eq. 5). wsd (Hu et
// al., "MiniCPM", 2024, section 4): 1 until the last decay_share of all steps, and over these the
// same from 1 to f with u rising to 1: linear, cosine, 1 - (1 - f) sqrt(u), or f^u (exponential; a
// final share below 1e-3 counts as 1e-3 there).
double ScheduleFactor(const ScheduleSection& schedule, int64_t step, int64_t steps);

}  // namespace fulmen
