#include "tests/testing/compare.h"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

namespace fulmen::testing {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();
using Values = std::vector<float>;

TEST(Compare, AcceptsWithinTolerance) {
  EXPECT_TRUE(NearRelativeToLargest(Values{1.0F, -10.0F}, Values{1.0005F, -10.0F}, 1e-4));
  EXPECT_TRUE(NearInNorm(Values{3.0F, 4.0F}, Values{3.0F, 4.0004F}, 1e-4));
}

TEST(Compare, RejectsBeyondTolerance) {
  EXPECT_FALSE(NearRelativeToLargest(Values{1.0F, -10.0F}, Values{1.005F, -10.0F}, 1e-4));
  EXPECT_FALSE(NearInNorm(Values{3.0F, 4.0F}, Values{3.0F, 4.01F}, 1e-4));
}

TEST(Compare, NegativeMismatchIsSeen) {
  EXPECT_FALSE(NearRelativeToLargest(Values{-1.0F}, Values{-2.0F}, 1e-4));
}

TEST(Compare, NonFiniteAlwaysFails) {
  EXPECT_FALSE(NearRelativeToLargest(Values{kNan}, Values{1.0F}, 1e30));
  EXPECT_FALSE(NearRelativeToLargest(Values{kNan}, Values{kNan}, 1e30));
  EXPECT_FALSE(NearRelativeToLargest(Values{kInfinity}, Values{kInfinity}, 1e30));
  EXPECT_FALSE(NearInNorm(Values{kNan}, Values{1.0F}, 1e30));
  EXPECT_FALSE(NearInNorm(Values{1.0F}, Values{kNan}, 1e30));
}

TEST(Compare, LengthMismatchFails) {
  EXPECT_FALSE(NearRelativeToLargest(Values{1.0F}, Values{1.0F, 1.0F}, 1.0));
}

TEST(Compare, DifferenceIsMeasured) {
  EXPECT_NEAR(DifferenceRelativeToLargest(Values{1.0F, -10.0F}, Values{1.005F, -10.0F}), 5e-4,
              1e-7);
  EXPECT_EQ(DifferenceRelativeToLargest(Values{0.0F}, Values{0.0F}), 0.0);
  EXPECT_EQ(DifferenceRelativeToLargest(Values{1.0F}, Values{0.0F}), kInfinity);
  EXPECT_EQ(DifferenceRelativeToLargest(Values{kNan}, Values{1.0F}), kInfinity);
  EXPECT_EQ(DifferenceRelativeToLargest(Values{1.0F}, Values{}), kInfinity);
}

TEST(Compare, ZeroIsExact) {
  EXPECT_TRUE(NearRelativeToLargest(Values{0.0F}, Values{0.0F}, 1e-4));
  EXPECT_FALSE(NearRelativeToLargest(Values{1e-30F}, Values{0.0F}, 1e-4));
}

}  // namespace
}  // namespace fulmen::testing
