#include "engine/step_cost.h"

#include <gtest/gtest.h>

#include <random>

namespace fulmen {
namespace {

StepWork Work(int64_t rows, int64_t position) {
  StepWork work;
  work.Add(rows, position);
  return work;
}

TEST(StepWork, CountsWhatEachTokenLooksBackAt) {
  EXPECT_EQ(Work(3, 10).keys, 11 + 12 + 13);
  StepWork both = Work(3, 10);
  both.Add(1, 0);
  EXPECT_EQ(both.rows, 4);
  EXPECT_EQ(both.keys, 11 + 12 + 13 + 1);
}

TEST(StepCost, NothingIsKnownAtFirst) {
  const StepCost cost;
  EXPECT_FALSE(cost.known());
  EXPECT_EQ(cost.Near(10).Seconds(Work(10, 0)), 0);
}

TEST(StepCost, FindsTheRatesOfAMachine) {
  const StepRates truth = {0.01, 0.001, 1e-7};
  StepCost cost;
  for (const int64_t rows : {1, 1, 8, 64, 512}) {
    for (const int64_t position : {0, 1000, 30000}) {
      const StepWork work = Work(rows, position);
      cost.Observe(work, truth.Seconds(work));
    }
  }
  const StepRates rates = cost.Near(64);
  EXPECT_NEAR(rates.fixed, truth.fixed, 1e-6);
  EXPECT_NEAR(rates.row, truth.row, 1e-7);
  EXPECT_NEAR(rates.key, truth.key, 1e-11);
}

// Noise, steps that cannot tell the terms apart, a machine that gets slower: never negative, and
// near what was seen last.
TEST(StepCost, PredictsWhatItSawWhateverItSaw) {
  std::mt19937 random(1);
  for (int seed = 0; seed < 200; ++seed) {
    StepCost cost;
    const double fixed = (random() % 100) * 1e-4;
    const double row = (1 + random() % 100) * 1e-4;
    const double key = (random() % 100) * 1e-9;
    std::vector<int64_t> sizes;
    for (int i = 0; i < 3; ++i) sizes.push_back(1 << random() % 10);
    StepWork last;
    double seconds = 0;
    for (int step = 0; step < 60; ++step) {
      const double speed = (step < 20 ? 3 : 1) * (1 + 0.05 * (random() % 3));
      last = Work(sizes[random() % sizes.size()], static_cast<int64_t>(random() % 5000));
      seconds = speed * (fixed + row * static_cast<double>(last.rows) + key * last.keys);
      cost.Observe(last, seconds);
    }
    const StepRates rates = cost.Near(last.rows);
    EXPECT_GE(rates.fixed, 0);
    EXPECT_GE(rates.row, 0);
    EXPECT_GE(rates.key, 0);
    EXPECT_NEAR(rates.Seconds(last) / seconds, 1, 0.25) << seed;
  }
}

// As with experts, whose weights are read when the first token chooses them.
TEST(StepCost, RatesAreThoseNearby) {
  const auto truth = [](int64_t rows) {
    return rows <= 32 ? 0.005 + 0.002 * rows : 0.06 + 0.0003 * rows;
  };
  StepCost cost;
  for (int64_t rows = 1; rows <= 512; rows = rows * 3 / 2 + 1) {
    cost.Observe(Work(rows, 0), truth(rows));
  }
  for (const int64_t rows : {2, 300}) {
    EXPECT_NEAR(cost.Near(rows).Seconds(Work(rows, 0)) / truth(rows), 1, 0.15) << rows;
  }
}

}  // namespace
}  // namespace fulmen
