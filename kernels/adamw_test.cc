#include "kernels/adamw.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "kernels/testing/kernels.h"
#include "kernels/testing/training_kernels.h"

namespace fulmen {
namespace {

using testing::CpuTrainingKernelsOfAllTargets;
using testing::NearRelativeToLargest;
using testing::RandomNormal;
using testing::SameBits;
using testing::SumErrorBound;
using testing::TestContext;

// One, ragged, and several tasks' worth.
constexpr std::array<int64_t, 5> kCounts = {1, 7, 64, 1003, 20011};

struct Parameters {
  explicit Parameters(int64_t count)
      : gradient(RandomNormal(count, 1)),
        weight(RandomNormal(count, 2)),
        first(RandomNormal(count, 3, 0.1F)),
        second(RandomNormal(count, 4, 0.01F)) {
    for (float& value : second) value = std::abs(value);
    gradient[0] = 0.0F;  // never a gradient: decay alone
    first[0] = 0.0F;
    second[0] = 0.0F;
  }

  std::vector<float> gradient, weight, first, second;
};

Parameters Step(const TrainingKernels& kernels, const AdamWParams& params, int64_t count,
                int threads) {
  Parameters result(count);
  TestContext test(threads);
  kernels.adamw(test.context, params, result.gradient, result.weight, result.first, result.second);
  return result;
}

double Largest(const std::vector<float>& values) {
  double largest = 0;
  for (const float value : values) largest = std::max(largest, std::abs(double{value}));
  return largest;
}

// The largest errors a kernel may make of the first moment and of the weight, in units of the
// largest expected: magnitudes times the roundings on the way.
struct Tolerances {
  double first = 0;
  double weight = 0;
};

Tolerances TolerancesOf(const AdamWParams& params, const Parameters& before,
                        const Parameters& after) {
  Tolerances errors;
  const double beta1 = params.beta1;
  const auto step = static_cast<double>(params.step);
  for (size_t i = 0; i < before.weight.size(); ++i) {
    const double g = std::abs(double{before.gradient[i]} * double{params.gradient_scale});
    const double m = beta1 * std::abs(double{before.first[i]}) + (1 - beta1) * g;
    errors.first = std::max(errors.first, m * SumErrorBound(5));
    const double corrected = m / (1 - std::pow(beta1, step));
    const double root =
        std::sqrt(double{after.second[i]} / (1 - std::pow(double{params.beta2}, step)));
    const double w = std::abs(double{before.weight[i]});
    const double update =
        corrected / (root + double{params.epsilon}) + double{params.weight_decay} * w;
    errors.weight = std::max(errors.weight, w * SumErrorBound(2) + double{params.learning_rate} *
                                                                       update * SumErrorBound(16));
  }
  const double first = Largest(after.first);
  return {first == 0 ? 0 : errors.first / first, errors.weight / Largest(after.weight)};
}

TEST(AdamW, MatchesReferenceWithAnyThreads) {
  for (const int64_t count : kCounts) {
    for (const int64_t step : {1, 2, 10000}) {
      AdamWParams params;
      params.learning_rate = 0.03F;
      params.gradient_scale = 0.25F;
      params.step = step;
      const Parameters expected = Step(RefTrainingKernels(), params, count, 1);
      const Tolerances tolerances = TolerancesOf(params, Parameters(count), expected);
      for (const auto& [target, kernels] : CpuTrainingKernelsOfAllTargets()) {
        SCOPED_TRACE(fmt::format("{} {} weights step {}", target, count, step));
        const Parameters one = Step(kernels, params, count, 1);
        EXPECT_TRUE(NearRelativeToLargest(one.weight, expected.weight, tolerances.weight));
        EXPECT_TRUE(NearRelativeToLargest(one.first, expected.first, tolerances.first));
        EXPECT_TRUE(NearRelativeToLargest(one.second, expected.second, SumErrorBound(7)));
        for (const int threads : {2, 4}) {
          const Parameters many = Step(kernels, params, count, threads);
          EXPECT_TRUE(SameBits(many.weight, one.weight));
          EXPECT_TRUE(SameBits(many.first, one.first));
          EXPECT_TRUE(SameBits(many.second, one.second));
        }
      }
    }
  }
}

TEST(SquaredNorm, MatchesReferenceWithAnyThreads) {
  for (const int64_t count : {0, 1, 7, 64, 1003, 20011}) {
    const std::vector<float> values = RandomNormal(count, 1, 1e20F);  // squares exceed float32
    TestContext test;
    const double expected = RefTrainingKernels().squared_norm(test.context, values);
    for (const auto& [target, kernels] : CpuTrainingKernelsOfAllTargets()) {
      SCOPED_TRACE(fmt::format("{} {} values", target, count));
      const double one = kernels.squared_norm(test.context, values);
      // Both sums round to double once per value at most.
      EXPECT_NEAR(one, expected, 2 * static_cast<double>(count) * 0x1p-53 * expected);
      for (const int threads : {2, 4}) {
        TestContext many(threads);
        EXPECT_EQ(kernels.squared_norm(many.context, values), one);
      }
    }
  }
}

TEST(SquaredNorm, NanIsSeenWhereverItIs) {
  constexpr size_t kCount = 77;
  for (const auto& [target, kernels] : CpuTrainingKernelsOfAllTargets()) {
    for (size_t i = 0; i < kCount; ++i) {
      std::vector<float> values(kCount, 1.0F);
      values[i] = std::numeric_limits<float>::quiet_NaN();
      TestContext test;
      EXPECT_TRUE(std::isnan(kernels.squared_norm(test.context, values))) << target << " " << i;
    }
  }
}

}  // namespace
}  // namespace fulmen
