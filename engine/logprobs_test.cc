#include "engine/logprobs.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace fulmen {
namespace {

TEST(Logprobs, AreTheLogarithmsOfTheSoftmax) {
  const std::vector<float> logits = {std::log(1.0F), std::log(4.0F), std::log(4.0F),
                                     std::log(7.0F)};
  const TokenLogprobs logprobs = LogprobsOf(logits, 0, 3);
  EXPECT_NEAR(std::exp(logprobs.own), 1.0 / 16, 1e-7);
  ASSERT_EQ(logprobs.top.size(), 3U);
  EXPECT_EQ(logprobs.top[0].id, 3);
  EXPECT_EQ(logprobs.top[1].id, 1);  // of equals the lowest id
  EXPECT_EQ(logprobs.top[2].id, 2);
  EXPECT_NEAR(std::exp(logprobs.top[0].logprob), 7.0 / 16, 1e-7);
}

TEST(Logprobs, HoldForLargeLogitsAndForMoreThanThereAre) {
  const std::vector<float> logits = {1000.0F, -1000.0F};
  const TokenLogprobs logprobs = LogprobsOf(logits, 1, 20);
  EXPECT_EQ(logprobs.own, -2000);
  ASSERT_EQ(logprobs.top.size(), 2U);
  EXPECT_EQ(logprobs.top[0].logprob, 0);
  EXPECT_TRUE(LogprobsOf(logits, 0, 0).top.empty());
}

}  // namespace
}  // namespace fulmen
