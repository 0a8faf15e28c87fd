#include <gtest/gtest.h>

#include "kernels/attention_training_testing.h"
#include "kernels/test_weight.h"
#include "kernels/testing.h"

namespace fulmen {
namespace {

using testing::CpuTrainingKernelsOfAllTargets;
using testing::RandomNormal;
using testing::SameBits;
using testing::SumErrorBound;
using testing::TestContext;
using testing::TestMatrix;
using testing::TestWeight;

struct Shape {
  int64_t tokens, in, out;

  std::string Name() const { return fmt::format("{} tokens {} -> {}", tokens, in, out); }
};

constexpr Shape kShapes[] = {{1, 1, 1},    {3, 17, 5},      {17, 65, 33},   {65, 3, 257},
                             {257, 4, 1},  {31, 130, 1030}, {1100, 50, 37}, {13, 400, 12},
                             {24, 64, 64}, {2, 769, 3},     {100, 1, 2},    {96, 384, 128}};

std::vector<float> Magnitudes(std::vector<float> values) {
  for (float& value : values) value = std::abs(value);
  return values;
}

// |actual - expected| <= bound * magnitude, element by element; NaN fails.
void ExpectWithin(const std::vector<float>& actual, const std::vector<float>& expected,
                  const std::vector<float>& magnitudes, double bound, const std::string& what) {
  ASSERT_EQ(actual.size(), expected.size()) << what;
  for (size_t i = 0; i < actual.size(); ++i) {
    const double difference = std::abs(double{actual[i]} - double{expected[i]});
    ASSERT_LE(difference, bound * double{magnitudes[i]}) << what << ", element " << i;
  }
}

std::vector<float> Forward(const TrainingKernels& kernels, const Shape& s, int threads,
                           const std::vector<float>& x, const TestWeight& weight, int64_t gap = 0) {
  TestContext test(threads);
  TestMatrix input(s.tokens, s.in, gap, x);
  TestMatrix y(s.tokens, s.out, gap);
  kernels.linear(test.context, input.view(), weight.view(), y.view());
  return y.Values();
}

std::vector<float> BackwardInput(const TrainingKernels& kernels, const Shape& s, int threads,
                                 const std::vector<float>& dy, const TestWeight& weight,
                                 int64_t gap = 0) {
  TestContext test(threads);
  TestMatrix gradient(s.tokens, s.out, gap, dy);
  TestMatrix dx(s.tokens, s.in, gap);
  kernels.linear_backward_input(test.context, gradient.view(), weight.view(), dx.view());
  return dx.Values();
}

std::vector<float> BackwardWeight(const TrainingKernels& kernels, const Shape& s, int threads,
                                  const std::vector<float>& x, const std::vector<float>& dy,
                                  const std::vector<float>& before, int64_t gap = 0) {
  TestContext test(threads);
  TestMatrix input(s.tokens, s.in, gap, x);
  TestMatrix gradient(s.tokens, s.out, gap, dy);
  TestMatrix dweight(s.out, s.in, gap, before);
  kernels.linear_backward_weight(test.context, input.view(), gradient.view(), dweight.view());
  return dweight.Values();
}

TEST(LinearTraining, ForwardMatchesTheReferenceOnRaggedShapes) {
  for (const Shape& s : kShapes) {
    const std::vector<float> x = RandomNormal(s.tokens * s.in, 1);
    const std::vector<float> values = RandomNormal(s.out * s.in, 2);
    for (const DType type : {DType::kF32, DType::kF16, DType::kBF16}) {
      const TestWeight weight(s.out, s.in, type, values);
      const TestWeight magnitude(s.out, s.in, type, Magnitudes(values));
      const std::vector<float> expected = Forward(RefTrainingKernels(), s, 1, x, weight);
      const std::vector<float> magnitudes =
          Forward(RefTrainingKernels(), s, 1, Magnitudes(x), magnitude);
      for (const auto& [target, kernels] : CpuTrainingKernelsOfAllTargets()) {
        // The reference was rounded once, as was the sum of magnitudes.
        ExpectWithin(Forward(kernels, s, 2, x, weight, 3), expected, magnitudes,
                     SumErrorBound(s.in + 2),
                     fmt::format("{} {} {}", target, s.Name(), DTypeName(type)));
      }
    }
  }
}

TEST(LinearTraining, InputGradientsMatchTheReferenceOnRaggedShapes) {
  for (const Shape& s : kShapes) {
    const std::vector<float> dy = RandomNormal(s.tokens * s.out, 1);
    const std::vector<float> values = RandomNormal(s.out * s.in, 2);
    for (const DType type : {DType::kF32, DType::kF16, DType::kBF16}) {
      const TestWeight weight(s.out, s.in, type, values);
      const TestWeight magnitude(s.out, s.in, type, Magnitudes(values));
      const std::vector<float> expected = BackwardInput(RefTrainingKernels(), s, 1, dy, weight);
      const std::vector<float> magnitudes =
          BackwardInput(RefTrainingKernels(), s, 1, Magnitudes(dy), magnitude);
      for (const auto& [target, kernels] : CpuTrainingKernelsOfAllTargets()) {
        // The reference was rounded once, as was the sum of magnitudes.
        ExpectWithin(BackwardInput(kernels, s, 2, dy, weight, 3), expected, magnitudes,
                     SumErrorBound(s.out + 2),
                     fmt::format("{} {} {}", target, s.Name(), DTypeName(type)));
      }
    }
  }
}

TEST(LinearTraining, WeightGradientsMatchTheReferenceOnRaggedShapes) {
  for (const Shape& s : kShapes) {
    const std::vector<float> x = RandomNormal(s.tokens * s.in, 1);
    const std::vector<float> dy = RandomNormal(s.tokens * s.out, 2);
    const std::vector<float> before = RandomNormal(s.out * s.in, 3);
    const std::vector<float> expected = BackwardWeight(RefTrainingKernels(), s, 1, x, dy, before);
    const std::vector<float> magnitudes = BackwardWeight(RefTrainingKernels(), s, 1, Magnitudes(x),
                                                         Magnitudes(dy), Magnitudes(before));
    for (const auto& [target, kernels] : CpuTrainingKernelsOfAllTargets()) {
      ExpectWithin(BackwardWeight(kernels, s, 2, x, dy, before, 3), expected, magnitudes,
                   SumErrorBound(s.tokens + 3), target + " " + s.Name());
    }
  }
}

TEST(LinearTraining, ThreadsDoNotChangeABit) {
  const Shape s = {.tokens = 1300, .in = 70, .out = 90};
  const std::vector<float> x = RandomNormal(s.tokens * s.in, 1);
  const std::vector<float> dy = RandomNormal(s.tokens * s.out, 2);
  const std::vector<float> before = RandomNormal(s.out * s.in, 3);
  const TestWeight weight(s.out, s.in, DType::kF32, 4);
  for (const auto& [target, kernels] : CpuTrainingKernelsOfAllTargets()) {
    const std::vector<float> y = Forward(kernels, s, 1, x, weight);
    const std::vector<float> dx = BackwardInput(kernels, s, 1, dy, weight);
    const std::vector<float> dweight = BackwardWeight(kernels, s, 1, x, dy, before);
    for (const int threads : {2, 4}) {
      EXPECT_TRUE(SameBits(Forward(kernels, s, threads, x, weight), y))
          << target << " threads " << threads;
      EXPECT_TRUE(SameBits(BackwardInput(kernels, s, threads, dy, weight), dx))
          << target << " threads " << threads;
      EXPECT_TRUE(SameBits(BackwardWeight(kernels, s, threads, x, dy, before), dweight))
          << target << " threads " << threads;
    }
  }
}

TEST(LinearTraining, NoTokensAddNothing) {
  const Shape s = {.tokens = 0, .in = 5, .out = 3};
  const std::vector<float> before = RandomNormal(s.out * s.in, 3);
  for (const auto& [target, kernels] : CpuTrainingKernelsOfAllTargets()) {
    EXPECT_TRUE(SameBits(BackwardWeight(kernels, s, 2, {}, {}, before), before)) << target;
    EXPECT_TRUE(BackwardInput(kernels, s, 2, {}, TestWeight(3, 5, DType::kF32, 1)).empty());
  }
}

}  // namespace
}  // namespace fulmen
