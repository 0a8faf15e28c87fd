// What every step of a run is: its stage, its batches and its learning rate.
#pragma once

#include <cstddef>
#include <cstdint>

#include "train/training_config.h"

namespace fulmen {

// Tokens of one batch of the stage at most.
int64_t StageBatchTokens(const TrainingConfig& config, const StageConfig& stage);

// Batches of step `step` (from 0), over all ranks: batch.batches, or, during a batch-size warm-up,
// the largest multiple of warmup_batches on the line from warmup_batches to batches.
int64_t StepBatches(const BatchSection& batch, int64_t step);

// Steps of all stages together.
int64_t TotalSteps(const TrainingConfig& config);

struct StepPlan {
  size_t stage = 0;
  int64_t batches = 1;
  double learning_rate = 0;
};

// Step `step` in [0, TotalSteps(config)).
StepPlan PlanStep(const TrainingConfig& config, int64_t step);

// The share of the highest learning rate at `step` of `steps`. Warm-up: (step + 1) / warmup. Then,
// with t rising to 1 at the last step and f the final share: 1 (constant), 1 - (1 - f) t (linear),
// f + (1 - f) (1 + cos(pi t)) / 2 (cosine; Loshchilov and Hutter, "SGDR", 2017, eq. 5). wsd (Hu et
// al., "MiniCPM", 2024, section 4): 1 until the last decay_share of all steps, and over these the
// same from 1 to f with u rising to 1: linear, cosine, 1 - (1 - f) sqrt(u), or f^u (exponential; a
// final share below 1e-3 counts as 1e-3 there).
double ScheduleFactor(const ScheduleSection& schedule, int64_t step, int64_t steps);

}  // namespace fulmen
