#include "accounts/price.h"

#include <gtest/gtest.h>

#include <limits>

namespace fulmen {
namespace {

constexpr Prices kPrices = {.text = {1000}, .cached = {100}, .image = {2000}, .output = {8000}};
constexpr TokenCounts kTokens = {
    .prompt = 600, .text = 100, .cached = 200, .image = 300, .output = 50, .reasoning = 20};

TEST(Cost, IsTheSumOfTheClasses) {
  // Reasoning is in the output and not charged again.
  EXPECT_EQ(Cost(kTokens, kPrices)->nanos, 100'000 + 20'000 + 600'000 + 400'000);
  EXPECT_EQ(Cost({}, kPrices)->nanos, 0);
}

TEST(Cost, RefusesCountsThatContradictEachOther) {
  for (const int64_t prompt : {int64_t{599}, int64_t{601}, int64_t{-1}}) {
    TokenCounts tokens = kTokens;
    tokens.prompt = prompt;
    EXPECT_FALSE(Cost(tokens, kPrices)) << prompt;
  }
  EXPECT_FALSE(Cost({.prompt = 1, .text = 1, .cached = -1, .image = 1}, kPrices));
  EXPECT_FALSE(Cost({.prompt = 1, .text = -1, .cached = 2}, kPrices));
  EXPECT_FALSE(Cost({.output = 1, .reasoning = 2}, kPrices));
  EXPECT_FALSE(Cost({.reasoning = -1}, kPrices));
  EXPECT_FALSE(Cost({}, {.text = {-1}}));
}

TEST(Cost, SaysWhatDoesNotFit) {
  constexpr int64_t kLargest = std::numeric_limits<int64_t>::max();
  EXPECT_FALSE(Cost({.prompt = kLargest, .text = kLargest}, kPrices));
  EXPECT_FALSE(Cost({.prompt = -2, .text = kLargest, .cached = kLargest}, kPrices));
  EXPECT_FALSE(Cost({.prompt = 1, .text = 1, .output = 1}, {.text = {kLargest}, .output = {1}}));
}

}  // namespace
}  // namespace fulmen
