#include <gtest/gtest.h>

#include <bit>
#include <cmath>

#include "kernels/testing/kernels.h"
#include "kernels/testing/test_weight.h"
#include "kernels/testing/training_kernels.h"

namespace fulmen {
namespace {

using testing::CpuTrainingKernelsOfAllTargets;
using testing::kPrecisions;
using testing::PrecisionName;
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
  kernels.forward.linear(test.context, input.view(), {{weight.view(), y.view()}});
  return y.Values();
}

// Adds to `before`, or overwrites NaN where there is none.
std::vector<float> BackwardInput(const TrainingKernels& kernels, const Shape& s, int threads,
                                 const std::vector<float>& dy, const TestWeight& weight,
                                 const std::vector<float>& before = {}, int64_t gap = 0) {
  TestContext test(threads);
  TestMatrix gradient(s.tokens, s.out, gap, dy);
  const bool add = !before.empty();
  TestMatrix dx = add ? TestMatrix(s.tokens, s.in, gap, before) : TestMatrix(s.tokens, s.in, gap);
  kernels.linear_backward_input(test.context, gradient.view(), weight.view(), add, dx.view());
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

// The reference was rounded once, as was the sum of magnitudes. Operands rounded to BF16 are the
// same in both, and their products are exact in float32.
class LinearTraining : public ::testing::TestWithParam<Precision> {
 protected:
  const TrainingKernels& ref_ = RefTrainingKernels(GetParam());
  std::vector<std::pair<std::string, TrainingKernels>> cpu_ =
      CpuTrainingKernelsOfAllTargets(GetParam());
};

INSTANTIATE_TEST_SUITE_P(Of, LinearTraining, ::testing::ValuesIn(kPrecisions),
                         [](const auto& precision) { return PrecisionName(precision.param); });

TEST_P(LinearTraining, ForwardMatchesTheReferenceOnRaggedShapes) {
  for (const Shape& s : kShapes) {
    const std::vector<float> x = RandomNormal(s.tokens * s.in, 1);
    const std::vector<float> values = RandomNormal(s.out * s.in, 2);
    for (const DType type : {DType::kF32, DType::kF16, DType::kBF16}) {
      const TestWeight weight(s.out, s.in, type, values);
      const TestWeight magnitude(s.out, s.in, type, Magnitudes(values));
      const std::vector<float> expected = Forward(ref_, s, 1, x, weight);
      const std::vector<float> magnitudes = Forward(ref_, s, 1, Magnitudes(x), magnitude);
      for (const auto& [target, kernels] : cpu_) {
        ExpectWithin(Forward(kernels, s, 2, x, weight, 3), expected, magnitudes,
                     SumErrorBound(s.in + 2),
                     fmt::format("{} {} {}", target, s.Name(), DTypeName(type)));
      }
    }
  }
}

TEST_P(LinearTraining, InputGradientsMatchTheReferenceOnRaggedShapes) {
  for (const Shape& s : kShapes) {
    const std::vector<float> dy = RandomNormal(s.tokens * s.out, 1);
    const std::vector<float> values = RandomNormal(s.out * s.in, 2);
    for (const DType type : {DType::kF32, DType::kF16, DType::kBF16}) {
      const TestWeight weight(s.out, s.in, type, values);
      const TestWeight magnitude(s.out, s.in, type, Magnitudes(values));
      for (const std::vector<float>& before :
           {std::vector<float>(), RandomNormal(s.tokens * s.in, 3)}) {
        const std::vector<float> expected = BackwardInput(ref_, s, 1, dy, weight, before);
        const std::vector<float> magnitudes =
            BackwardInput(ref_, s, 1, Magnitudes(dy), magnitude, Magnitudes(before));
        for (const auto& [target, kernels] : cpu_) {
          ExpectWithin(BackwardInput(kernels, s, 2, dy, weight, before, 3), expected, magnitudes,
                       SumErrorBound(s.out + 3),
                       fmt::format("{} {} {}{}", target, s.Name(), DTypeName(type),
                                   before.empty() ? "" : ", added"));
        }
      }
    }
  }
}

TEST_P(LinearTraining, WeightGradientsMatchTheReferenceOnRaggedShapes) {
  for (const Shape& s : kShapes) {
    const std::vector<float> x = RandomNormal(s.tokens * s.in, 1);
    const std::vector<float> dy = RandomNormal(s.tokens * s.out, 2);
    const std::vector<float> before = RandomNormal(s.out * s.in, 3);
    const std::vector<float> expected = BackwardWeight(ref_, s, 1, x, dy, before);
    const std::vector<float> magnitudes =
        BackwardWeight(ref_, s, 1, Magnitudes(x), Magnitudes(dy), Magnitudes(before));
    for (const auto& [target, kernels] : cpu_) {
      ExpectWithin(BackwardWeight(kernels, s, 2, x, dy, before, 3), expected, magnitudes,
                   SumErrorBound(s.tokens + 3), target + " " + s.Name());
    }
  }
}

// Products that share x have the bits they have alone; one of them is more than is packed at once.
TEST_P(LinearTraining, ProductsAreIndependent) {
  constexpr int64_t kIn = 2077;
  constexpr std::array<int64_t, 4> kOut = {2200, 0, 37, 1};
  const TestWeight a(kOut[0], kIn, DType::kBF16, 1), c(kOut[2], kIn + 3, DType::kF32, 2),
      d(kOut[3], kIn, DType::kF16, 3);
  const WeightMatrix part = c.view().Cols(2, kIn);
  const TestWeight whole(kOut[2], kIn, DType::kF32, Dequantize(part));
  const Shape s = {.tokens = 13, .in = kIn, .out = 0};
  const std::vector<float> x = RandomNormal(s.tokens * s.in, 4);
  for (const auto& [target, kernels] : cpu_) {
    TestContext test(2);
    TestMatrix input(s.tokens, s.in, 3, x);
    TestMatrix ya(s.tokens, kOut[0], 1), yb(s.tokens, kOut[1], 1), yc(s.tokens, kOut[2]),
        yd(s.tokens, kOut[3], 2);
    kernels.forward.linear(test.context, input.view(),
                           {{a.view(), ya.view()},
                            {a.view().Rows(0, 0), yb.view()},
                            {part, yc.view()},
                            {d.view(), yd.view()}});
    const auto alone = [&, &table = kernels](const TestWeight& weight) {
      return Forward(table, {s.tokens, s.in, weight.view().rows}, 1, x, weight);
    };
    EXPECT_TRUE(SameBits(ya.Values(), alone(a))) << target;
    EXPECT_TRUE(SameBits(yc.Values(), alone(whole))) << target;
    EXPECT_TRUE(SameBits(yd.Values(), alone(d))) << target;
  }
}

// A tower that looks at images relies on this: a tile's bits are those it has alone.
TEST_P(LinearTraining, RowsDoNotKnowTheirNumber) {
  const Shape all = {.tokens = 700, .in = 1100, .out = 50};
  const Shape some = {.tokens = 77, .in = all.in, .out = all.out};
  constexpr int64_t kFirst = 123;
  const std::vector<float> x = RandomNormal(all.tokens * all.in, 1);
  const std::vector<float> part(x.begin() + kFirst * all.in,
                                x.begin() + (kFirst + some.tokens) * all.in);
  for (const DType type : {DType::kF32, DType::kBF16}) {
    const TestWeight weight(all.out, all.in, type, 2);
    for (const auto& [target, kernels] : cpu_) {
      const std::vector<float> y = Forward(kernels, all, 2, x, weight);
      const auto first = y.begin() + kFirst * all.out;
      EXPECT_TRUE(
          SameBits({first, first + some.tokens * all.out}, Forward(kernels, some, 1, part, weight)))
          << target;
    }
  }
}

TEST_P(LinearTraining, ThreadsDoNotChangeABit) {
  const Shape s = {.tokens = 1300, .in = 70, .out = 90};
  const std::vector<float> x = RandomNormal(s.tokens * s.in, 1);
  const std::vector<float> dy = RandomNormal(s.tokens * s.out, 2);
  const std::vector<float> before = RandomNormal(s.out * s.in, 3);
  const TestWeight weight(s.out, s.in, DType::kF32, 4);
  for (const auto& [target, kernels] : cpu_) {
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

// Rounding to BF16 keeps infinities and NaN, whatever the bits of the NaN.
TEST_P(LinearTraining, NanAndInfinityAreSeen) {
  const Shape s = {.tokens = 2, .in = 3, .out = 2};
  const TestWeight weight(s.out, s.in, DType::kF32, 1);
  for (const uint32_t bits : {0x7f800000U, 0xff800000U, 0x7fc00000U, 0x7f800001U, 0xffffffffU}) {
    std::vector<float> x = RandomNormal(s.tokens * s.in, 1);
    x[4] = std::bit_cast<float>(bits);
    for (const auto& [target, kernels] : cpu_) {
      const std::vector<float> y = Forward(kernels, s, 1, x, weight);
      EXPECT_TRUE(std::isfinite(y[0]) && std::isfinite(y[1])) << target;
      EXPECT_EQ(std::isnan(y[2]), std::isnan(x[4])) << target;
      EXPECT_FALSE(std::isfinite(y[2])) << target;
    }
  }
}

TEST_P(LinearTraining, NoTokensAddNothing) {
  const Shape s = {.tokens = 0, .in = 5, .out = 3};
  const std::vector<float> before = RandomNormal(s.out * s.in, 3);
  for (const auto& [target, kernels] : cpu_) {
    EXPECT_TRUE(SameBits(BackwardWeight(kernels, s, 2, {}, {}, before), before)) << target;
    EXPECT_TRUE(BackwardInput(kernels, s, 2, {}, TestWeight(3, 5, DType::kF32, 1)).empty());
  }
}

TEST(LinearTrainingPrecision, RoundsToNearestTiesToEven) {
  // Halfway between two BF16 values, and a step of float32 to either side.
  const float low = 1.0F + 0x1p-8F, tie_up = 1.0F + 3 * 0x1p-8F;
  const std::vector<float> x = {low, std::nextafter(low, 2.0F), tie_up,
                                std::nextafter(tie_up, 1.0F)};
  const Shape s = {.tokens = 4, .in = 1, .out = 1};
  const TestWeight weight(1, 1, DType::kF32, std::vector<float>{1.0F});
  const std::vector<float> expected = {1.0F, 1.0F + 0x1p-7F, 1.0F + 0x1p-6F, 1.0F + 0x1p-7F};
  EXPECT_EQ(Forward(RefTrainingKernels(Precision::kBFloat16), s, 1, x, weight), expected);
  for (const auto& [target, kernels] : CpuTrainingKernelsOfAllTargets(Precision::kBFloat16)) {
    EXPECT_EQ(Forward(kernels, s, 1, x, weight), expected) << target;
  }
}

TEST(LinearTrainingPrecision, RoutersAreFloat32) {
  const auto same = [](const TrainingKernels& bf16, const TrainingKernels& float32) {
    EXPECT_EQ(bf16.router_backward_input, float32.linear_backward_input);
    EXPECT_EQ(bf16.router_backward_weight, float32.linear_backward_weight);
    EXPECT_NE(bf16.linear_backward_input, float32.linear_backward_input);
  };
  same(RefTrainingKernels(Precision::kBFloat16), RefTrainingKernels());
  const auto bf16 = CpuTrainingKernelsOfAllTargets(Precision::kBFloat16);
  const auto float32 = CpuTrainingKernelsOfAllTargets();
  for (size_t i = 0; i < bf16.size(); ++i) same(bf16[i].second, float32[i].second);
}

}  // namespace
}  // namespace fulmen
