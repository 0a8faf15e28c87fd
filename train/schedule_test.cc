#include "train/schedule.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace fulmen {
namespace {

ScheduleSection Schedule(const std::string& kind, int64_t warmup, double last) {
  ScheduleSection schedule;
  schedule.kind = kind;
  schedule.warmup_steps = warmup;
  schedule.final_share = last;
  return schedule;
}

TEST(ScheduleFactor, RisesOverTheWarmUpToOne) {
  for (const char* kind : {"constant", "linear", "cosine", "wsd"}) {
    const ScheduleSection schedule = Schedule(kind, 4, 0.1);
    for (int64_t step = 0; step < 4; ++step) {
      EXPECT_DOUBLE_EQ(ScheduleFactor(schedule, step, 24), static_cast<double>(step + 1) / 4);
    }
  }
}

TEST(ScheduleFactor, EndsAtTheFinalShare) {
  for (const char* kind : {"linear", "cosine", "wsd"}) {
    EXPECT_NEAR(ScheduleFactor(Schedule(kind, 4, 0.1), 23, 24), 0.1, 1e-12) << kind;
    EXPECT_NEAR(ScheduleFactor(Schedule(kind, 0, 0.0), 23, 24), 0.0, 1e-12) << kind;
  }
  EXPECT_EQ(ScheduleFactor(Schedule("constant", 4, 0.1), 23, 24), 1);
}

TEST(ScheduleFactor, FollowsTheFormulas) {
  // Step 13 of 24 after a warm-up of 4: t = 10 / 20.
  EXPECT_NEAR(ScheduleFactor(Schedule("linear", 4, 0.2), 13, 24), 0.6, 1e-12);
  EXPECT_NEAR(ScheduleFactor(Schedule("cosine", 4, 0.2), 13, 24), 0.6, 1e-12);
  // Step 8: t = 5 / 20.
  EXPECT_NEAR(ScheduleFactor(Schedule("cosine", 4, 0.2), 8, 24), 0.2 + 0.4 * (1 + std::sqrt(0.5)),
              1e-12);
}

TEST(ScheduleFactor, WsdIsStableAndThenDecays) {
  ScheduleSection schedule = Schedule("wsd", 4, 0.25);
  schedule.decay_share = 0.5;  // the last 12 of 24 steps
  for (int64_t step = 4; step < 12; ++step) EXPECT_EQ(ScheduleFactor(schedule, step, 24), 1);
  const std::vector<std::pair<std::string, double>> thirds = {
      // u = 4 / 12 at step 15
      {"linear", 0.75},
      {"cosine", 0.25 + 0.75 * 0.75},
      {"sqrt", 1 - 0.75 * std::sqrt(1.0 / 3)},
      {"exponential", std::pow(0.25, 1.0 / 3)}};
  for (const auto& [shape, expected] : thirds) {
    schedule.decay_shape = shape;
    EXPECT_NEAR(ScheduleFactor(schedule, 15, 24), expected, 1e-12) << shape;
  }
}

TEST(ScheduleFactor, NeverRisesAfterTheWarmUp) {
  for (const char* kind : {"constant", "linear", "cosine", "wsd"}) {
    for (const char* shape : {"linear", "cosine", "sqrt", "exponential"}) {
      ScheduleSection schedule = Schedule(kind, 7, 0.1);
      schedule.decay_shape = shape;
      double before = 1;
      for (int64_t step = 7; step < 100; ++step) {
        const double factor = ScheduleFactor(schedule, step, 100);
        EXPECT_LE(factor, before) << kind << " " << shape << " " << step;
        before = factor;
      }
    }
  }
}

TEST(StepBatches, GrowInMultiples) {
  BatchSection batch;
  batch.batches = 8;
  EXPECT_EQ(StepBatches(batch, 0), 8);
  batch.warmup_batches = 2;
  batch.warmup_steps = 6;
  const std::vector<int64_t> expected = {2, 2, 4, 4, 6, 6, 8, 8};
  for (size_t step = 0; step < expected.size(); ++step) {
    EXPECT_EQ(StepBatches(batch, static_cast<int64_t>(step)), expected[step]) << step;
  }
}

TEST(TrainingPlan, WalksTheStages) {
  TrainingConfig config;
  config.batch.tokens = 100;
  config.batch.batches = 4;
  config.batch.warmup_batches = 2;
  config.batch.warmup_steps = 4;  // steps of 200, 200, 200 and 200 tokens, then 400
  config.schedule = Schedule("constant", 0, 1);
  config.optimizer.learning_rate = 0.5;
  config.stages.resize(3);
  config.stages[0].steps = 2;
  config.stages[1].tokens = 801;  // 200 + 200 + 400 + 1
  config.stages[1].learning_rate_factor = 0.1;
  config.stages[2].tokens = 1000;
  config.stages[2].batch_tokens = 250;  // steps of 1000
  const TrainingPlan plan(config);
  EXPECT_EQ(plan.steps(), 2 + 4 + 1);
  const std::vector<size_t> stages = {0, 0, 1, 1, 1, 1, 2};
  for (size_t step = 0; step < stages.size(); ++step) {
    const StepPlan at = plan.At(static_cast<int64_t>(step));
    EXPECT_EQ(at.stage, stages[step]) << step;
    EXPECT_DOUBLE_EQ(at.learning_rate, at.stage == 1 ? 0.05 : 0.5);
    EXPECT_EQ(at.batches, step < 4 ? 2 : 4) << step;
  }
  const std::vector<double> tokens = {2600, 2400, 2200, 2000, 1800, 1400, 1000, 0};
  for (size_t step = 0; step < tokens.size(); ++step) {
    EXPECT_EQ(plan.TokensFrom(static_cast<int64_t>(step)), tokens[step]) << step;
  }
}

}  // namespace
}  // namespace fulmen
