#include "tests/testing/compare.h"

#include <fmt/core.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>

namespace fulmen::testing {
namespace {

using ::testing::AssertionFailure;
using ::testing::AssertionResult;
using ::testing::AssertionSuccess;

// Length and finiteness, which every comparison demands first.
AssertionResult Comparable(std::span<const float> actual, std::span<const float> expected) {
  if (actual.size() != expected.size()) {
    return AssertionFailure() << "length " << actual.size() << ", expected " << expected.size();
  }
  for (size_t i = 0; i < actual.size(); ++i) {
    if (!std::isfinite(expected[i])) {
      return AssertionFailure() << "expected[" << i << "] is " << expected[i];
    }
    if (!std::isfinite(actual[i])) {
      return AssertionFailure() << "actual[" << i << "] is " << actual[i];
    }
  }
  return AssertionSuccess();
}

struct Worst {
  double difference = 0;
  double largest = 0;  // of the expected values
  size_t where = 0;
};

Worst FindWorst(std::span<const float> actual, std::span<const float> expected) {
  Worst worst;
  for (size_t i = 0; i < actual.size(); ++i) {
    worst.largest = std::max(worst.largest, std::abs(static_cast<double>(expected[i])));
    const double difference = std::abs(static_cast<double>(actual[i]) - expected[i]);
    if (difference > worst.difference) {
      worst.difference = difference;
      worst.where = i;
    }
  }
  return worst;
}

}  // namespace

AssertionResult NearRelativeToLargest(std::span<const float> actual,
                                      std::span<const float> expected, double tolerance) {
  if (AssertionResult comparable = Comparable(actual, expected); !comparable) return comparable;
  const Worst worst = FindWorst(actual, expected);
  if (worst.difference <= tolerance * worst.largest) return AssertionSuccess();
  return AssertionFailure() << fmt::format(
             "[{}] is {}, expected {}: off by {:.3g} of the largest value {}, allowed {:.3g}",
             worst.where, actual[worst.where], expected[worst.where],
             worst.difference / worst.largest, worst.largest, tolerance);
}

double DifferenceRelativeToLargest(std::span<const float> actual, std::span<const float> expected) {
  if (!Comparable(actual, expected)) return std::numeric_limits<double>::infinity();
  const Worst worst = FindWorst(actual, expected);
  return worst.difference == 0 ? 0 : worst.difference / worst.largest;
}

AssertionResult NearInNorm(std::span<const float> actual, std::span<const float> expected,
                           double tolerance) {
  if (AssertionResult comparable = Comparable(actual, expected); !comparable) return comparable;
  double difference = 0;
  double norm = 0;
  for (size_t i = 0; i < actual.size(); ++i) {
    difference += std::pow(static_cast<double>(actual[i]) - expected[i], 2);
    norm += std::pow(static_cast<double>(expected[i]), 2);
  }
  if (std::sqrt(difference) <= tolerance * std::sqrt(norm)) return AssertionSuccess();
  return AssertionFailure() << fmt::format(
             "relative norm of the difference is {:.3g}, allowed {:.3g}",
             std::sqrt(difference / norm), tolerance);
}

bool SameBits(std::span<const float> a, std::span<const float> b) {
  return std::ranges::equal(a, b, [](float x, float y) {
    return std::isfinite(x) && std::bit_cast<uint32_t>(x) == std::bit_cast<uint32_t>(y);
  });
}

double SumErrorBound(int64_t terms) {
  const double rounding = static_cast<double>(terms) * std::numeric_limits<float>::epsilon() / 2;
  return rounding / (1 - rounding);
}

std::vector<float> RandomNormal(int64_t count, uint64_t seed, float deviation) {
  std::mt19937_64 generator(seed);
  std::normal_distribution<float> normal(0, deviation);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = normal(generator);
  return values;
}

std::vector<float> NanFilled(int64_t count) {
  return std::vector<float>(static_cast<size_t>(count), std::numeric_limits<float>::quiet_NaN());
}

}  // namespace fulmen::testing
