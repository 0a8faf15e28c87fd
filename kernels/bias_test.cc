// add_bias and bias_gelu, forward and back.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <utility>

#include "kernels/elementwise.h"
#include "kernels/testing/kernels.h"
#include "kernels/testing/test_weight.h"
#include "kernels/testing/training_kernels.h"

namespace fulmen {
namespace {

using testing::CpuKernelsOfAllTargets;
using testing::CpuTrainingKernelsOfAllTargets;
using testing::RandomNormal;
using testing::SameBits;
using testing::SumErrorBound;
using testing::TestContext;
using testing::TestMatrix;
using testing::TestWeight;

constexpr double kRounding = 0x1p-24;

// Rows and columns: ragged, one token, and more than one task's worth.
const std::vector<std::pair<int64_t, int64_t>> kShapes = {
    {0, 5}, {1, 1}, {1, 3}, {3, 16}, {2, 37}, {70, 100}, {1, 20011}, {300, 129}};

// Among them some whose bells underflow.
std::vector<float> WideValues(int64_t count, uint64_t seed) {
  std::vector<float> values = RandomNormal(count, seed, 3.0F);
  for (size_t i = 0; i < values.size(); i += 5) values[i] *= 40.0F;
  return values;
}

// x + bias in double.
std::vector<double> Biased(const std::vector<float>& x, const TestWeight& bias) {
  std::vector<double> sums;
  for (const float value : x) {
    const auto column = static_cast<int64_t>(sums.size()) % bias.view().cols;
    sums.push_back(double{value} + double{bias.at(0, column)});
  }
  return sums;
}

// |actual - expected| <= bound(element); NaN fails.
void ExpectWithin(const std::vector<float>& actual, const std::vector<float>& expected,
                  const std::function<double(size_t)>& bound) {
  ASSERT_EQ(actual.size(), expected.size());
  for (size_t i = 0; i < actual.size(); ++i) {
    ASSERT_LE(std::abs(double{actual[i]} - double{expected[i]}), bound(i)) << "element " << i;
  }
}

using BiasFn = void (*)(KernelContext&, ConstMatrix, const WeightMatrix&, Matrix);

// error(v, result): what the operation may be off by.
void CheckForward(BiasFn Kernels::*operation, const std::function<double(double, double)>& error) {
  for (const auto& [rows, cols] : kShapes) {
    const std::vector<float> values = WideValues(rows * cols, 1);
    for (const DType type : {DType::kF32, DType::kF16, DType::kBF16}) {
      const TestWeight bias(1, cols, type, 2);
      const std::vector<double> sums = Biased(values, bias);
      TestContext one;
      TestMatrix expected(rows, cols, 0, values);
      (RefKernels().*operation)(one.context, expected.view(), bias.view(), expected.view());
      for (const Kernels& kernels : CpuKernelsOfAllTargets()) {
        SCOPED_TRACE(fmt::format("{} [{}, {}] {}", kernels.name, rows, cols, DTypeName(type)));
        std::vector<float> first;
        for (const int threads : {1, 2, 3}) {
          TestContext test(threads);
          TestMatrix x(rows, cols, 3, values);
          TestMatrix out(rows, cols, 1);
          (kernels.*operation)(test.context, x.view(), bias.view(), out.view());
          if (threads == 1) first = out.Values();
          EXPECT_TRUE(SameBits(out.Values(), first));
          (kernels.*operation)(test.context, x.view(), bias.view(), x.view());
          EXPECT_TRUE(SameBits(x.Values(), first)) << "in place";
        }
        const std::vector<float> results = expected.Values();
        ExpectWithin(first, results,
                     [&](size_t i) { return error(sums[i], std::abs(double{results[i]})); });
      }
    }
  }
}

TEST(AddBias, MatchesReference) {
  CheckForward(&Kernels::add_bias, [](double v, double) { return 2 * kRounding * std::abs(v); });
}

// As the contract says, and v is rounded first: gelu is never steeper than 1.13.
TEST(BiasGelu, MatchesReference) {
  CheckForward(&Kernels::bias_gelu, [](double v, double result) {
    return kRounding * ((9 + v * v / 2) * result + 1.13 * std::abs(v)) + 1e-30;
  });
}

TEST(BiasGelu, OfKnownValues) {
  std::vector<Kernels> all = CpuKernelsOfAllTargets();
  all.push_back(RefKernels());
  // v P(N <= v) for v of 0, 1, -1, 3, -0.5: the approximation by tanh has 0.84119 at 1.
  const TestWeight bias(1, 5, DType::kF32, std::vector<float>{0.0F, 0.5F, -2.0F, 1.0F, 0.0F});
  for (const Kernels& kernels : all) {
    TestContext test;
    TestMatrix x(1, 5, 0, {0.0F, 0.5F, 1.0F, 2.0F, -0.5F});
    kernels.bias_gelu(test.context, x.view(), bias.view(), x.view());
    const std::vector<float> values = x.Values();
    const std::vector<double> expected = {0, 0.841344746, -0.158655254, 2.995950306, -0.154268770};
    for (size_t i = 0; i < values.size(); ++i) {
      EXPECT_NEAR(values[i], expected[i], 4e-7 * std::abs(expected[i])) << kernels.name;
    }
  }
}

// The tail of negative values keeps its relative accuracy, however small; nothing large is lost,
// and what is not finite shows.
TEST(BiasGelu, FarFromZero) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const TestWeight bias(1, 6, DType::kF32, std::vector<float>(6));
  for (const Kernels& kernels : CpuKernelsOfAllTargets()) {
    TestContext test;
    TestMatrix x(1, 6, 0, {-5.0F, -10.0F, 3e38F, -3e38F, kInfinity, std::nanf("")});
    kernels.bias_gelu(test.context, x.view(), bias.view(), x.view());
    const std::vector<float> values = x.Values();
    EXPECT_NEAR(values[0], -5 * 2.866515719e-7, (8 + 12.5) * kRounding * 5 * 2.87e-7);
    EXPECT_NEAR(values[1], -10 * 7.619853024e-24, (8 + 50) * kRounding * 10 * 7.62e-24);
    EXPECT_EQ(values[2], 3e38F);
    EXPECT_NEAR(values[3], 0, 1e-30);
    EXPECT_EQ(values[4], kInfinity);
    EXPECT_TRUE(std::isnan(values[5])) << kernels.name;
  }
}

TEST(AddBiasBackward, SumsRowsInAnOrderOfItsOwn) {
  for (const auto& [rows, cols] : kShapes) {
    const std::vector<float> gradient = RandomNormal(rows * cols, 1);
    const std::vector<float> before = RandomNormal(cols, 2);
    std::vector<double> magnitudes(before.size());
    for (size_t i = 0; i < gradient.size(); ++i) {
      magnitudes[i % before.size()] += std::abs(double{gradient[i]});
    }
    const auto run = [&, rows = rows, cols = cols](const TrainingKernels& kernels, int threads) {
      TestContext test(threads);
      TestMatrix dy(rows, cols, 2, gradient);
      std::vector<float> dbias = before;
      kernels.add_bias_backward(test.context, dy.view(), dbias);
      return dbias;
    };
    const std::vector<float> expected = run(RefTrainingKernels(), 1);
    for (const auto& [target, kernels] : CpuTrainingKernelsOfAllTargets()) {
      SCOPED_TRACE(fmt::format("{} [{}, {}]", target, rows, cols));
      const std::vector<float> dbias = run(kernels, 1);
      ExpectWithin(dbias, expected, [&, rows = rows](size_t i) {
        return SumErrorBound(rows + 2) * (magnitudes[i] + std::abs(double{before[i]}));
      });
      for (const int threads : {2, 3}) EXPECT_TRUE(SameBits(run(kernels, threads), dbias));
    }
  }
}

class GeluBackward {
 public:
  struct Answer {
    std::vector<float> dx, dbias;
  };
  enum class Into { kNew, kGradient, kInput };

  GeluBackward(int64_t rows, int64_t cols, DType type)
      : rows_(rows), cols_(cols), bias_(1, cols, type, 1) {}

  Answer Run(const TrainingKernels& kernels, int threads, Into into = Into::kNew) const {
    TestContext test(threads);
    TestMatrix x(rows_, cols_, 3, x_);
    TestMatrix dy(rows_, cols_, 1, dy_);
    TestMatrix dx(rows_, cols_, 2);
    TestMatrix& to = into == Into::kNew ? dx : into == Into::kGradient ? dy : x;
    std::vector<float> dbias = before_;
    kernels.bias_gelu_backward(test.context, x.view(), bias_.view(), dy.view(), to.view(), dbias);
    return {to.Values(), dbias};
  }

  void ExpectNear(const Answer& answer, const Answer& expected) const {
    // The slope is at most 1.13, its own slope at most 0.8; what makes it up has a few roundings.
    const std::vector<double> sums = Biased(x_, bias_);
    const auto magnitude = [&](size_t i) {
      return std::abs(double{dy_[i]}) * (1.13 + 0.1 * std::abs(sums[i]));
    };
    ExpectWithin(answer.dx, expected.dx, [&](size_t i) { return 10 * kRounding * magnitude(i); });
    std::vector<double> totals(before_.size());
    for (size_t i = 0; i < before_.size(); ++i) totals[i] = std::abs(double{before_[i]});
    for (size_t i = 0; i < dy_.size(); ++i) totals[i % totals.size()] += magnitude(i);
    ExpectWithin(answer.dbias, expected.dbias,
                 [&](size_t i) { return SumErrorBound(rows_ + 12) * totals[i]; });
  }

 private:
  int64_t rows_;
  int64_t cols_;
  TestWeight bias_;
  std::vector<float> x_ = WideValues(rows_ * cols_, 2);
  std::vector<float> dy_ = RandomNormal(rows_ * cols_, 3);
  std::vector<float> before_ = RandomNormal(cols_, 4);
};

TEST(BiasGeluBackward, MatchesReference) {
  for (const auto& [rows, cols] : kShapes) {
    for (const DType type : {DType::kF32, DType::kF16, DType::kBF16}) {
      const GeluBackward problem(rows, cols, type);
      const GeluBackward::Answer expected = problem.Run(RefTrainingKernels(), 1);
      for (const auto& [target, kernels] : CpuTrainingKernelsOfAllTargets()) {
        SCOPED_TRACE(fmt::format("{} [{}, {}] {}", target, rows, cols, DTypeName(type)));
        const GeluBackward::Answer answer = problem.Run(kernels, 1);
        problem.ExpectNear(answer, expected);
        for (const int threads : {1, 2, 3}) {
          for (const auto into : {GeluBackward::Into::kNew, GeluBackward::Into::kGradient,
                                  GeluBackward::Into::kInput}) {
            const GeluBackward::Answer other = problem.Run(kernels, threads, into);
            EXPECT_TRUE(SameBits(other.dx, answer.dx) && SameBits(other.dbias, answer.dbias));
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace fulmen
