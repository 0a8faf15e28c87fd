// The one comparator of the project. NaN anywhere is a difference; so is a length mismatch.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace fulmen::testing {

// Succeeds when max_i |actual_i - expected_i| <= tolerance * max_i |expected_i| and every value of
// both is finite. An all-zero expectation must be met exactly.
::testing::AssertionResult NearRelativeToLargest(std::span<const float> actual,
                                                 std::span<const float> expected, double tolerance);

// max_i |actual_i - expected_i| / max_i |expected_i|, infinite where NearRelativeToLargest would
// fail whatever the tolerance. For statistics over many cases.
double DifferenceRelativeToLargest(std::span<const float> actual, std::span<const float> expected);

// Succeeds when ||actual - expected||_2 <= tolerance * ||expected||_2 and every value is finite.
::testing::AssertionResult NearInNorm(std::span<const float> actual,
                                      std::span<const float> expected, double tolerance);

// Whether both are finite numbers with the same bits, as many of them.
bool SameBits(std::span<const float> a, std::span<const float> b);

// Error bound of a float32 sum of `terms` products in any order, relative to sum |a_i b_i|:
// Higham, "Accuracy and Stability of Numerical Algorithms", section 3.1 (gamma_n).
double SumErrorBound(int64_t terms);

// Deterministic test data, normal with the given deviation.
std::vector<float> RandomNormal(int64_t count, uint64_t seed, float deviation = 1.0F);

// `count` NaNs: memory a kernel must overwrite.
std::vector<float> NanFilled(int64_t count);

}  // namespace fulmen::testing
