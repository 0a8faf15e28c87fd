#include <gtest/gtest.h>

#include <array>
#include <cmath>

#include "kernels/ref/training_operations.h"
#include "kernels/testing/gradients.h"
#include "kernels/testing/kernels.h"
#include "kernels/testing/test_weight.h"

namespace fulmen {
namespace {

using testing::GradientTolerance;
using testing::kFloatRounding;
using testing::NearRelativeToLargest;
using testing::NumericGradient;
using testing::RandomNormal;
using testing::TestContext;
using testing::TestMatrix;
using testing::TestWeight;
using testing::Widened;

struct Case {
  int64_t tokens, width, vocabulary;
  DType type;
};

class Problem {
 public:
  explicit Problem(const Case& c)
      : case_(c),
        x_(c.tokens, c.width, 2, RandomNormal(c.tokens * c.width, 1)),
        head_(c.vocabulary, c.width, c.type, 2),
        x64_(Widened(x_.Values())) {
    for (int64_t i = 0; i < c.vocabulary * c.width; ++i) {
      head64_.push_back(head_.at(i / c.width, i % c.width));
    }
    for (int64_t t = 0; t < c.tokens; ++t) {
      const bool predicts = t % 4 != 1;
      targets_.push_back(predicts ? static_cast<int32_t>(t * 5 % c.vocabulary) : -1);
    }
  }

  // Also finds the largest logit.
  double Loss64() {
    double loss = 0;
    for (int64_t t = 0; t < case_.tokens; ++t) {
      const int32_t target = targets_[static_cast<size_t>(t)];
      if (target < 0) continue;
      double total = 0;
      double chosen = 0;
      for (int64_t v = 0; v < case_.vocabulary; ++v) {
        double logit = 0;
        for (int64_t c = 0; c < case_.width; ++c) {
          logit += x64_[static_cast<size_t>(t * case_.width + c)] *
                   head64_[static_cast<size_t>(v * case_.width + c)];
        }
        largest_ = std::max(largest_, std::abs(logit));
        total += std::exp(logit);
        if (v == target) chosen = logit;
      }
      loss += std::log(total) - chosen;
    }
    return loss;
  }

  void Check() {
    constexpr float kScale = 0.375F;
    const std::vector<float> before = RandomNormal(case_.vocabulary * case_.width, 3);
    TestMatrix dx(case_.tokens, case_.width, 1);
    TestMatrix dhead(case_.vocabulary, case_.width, 3, before);
    TestContext test;
    const double loss = ref::CrossEntropy<Precision::kFloat32>(
        test.context, x_.view(), head_.view(), targets_, kScale, dx.view(), dhead.view());
    const double expected = Loss64();
    // Every logit is rounded once; the loss of a token moves by two of those at most.
    const double logit_error = largest_ * kFloatRounding;
    EXPECT_NEAR(loss, expected, static_cast<double>(case_.tokens) * 2 * logit_error);
    for (int64_t t = 0; t < case_.tokens; ++t) {
      if (targets_[static_cast<size_t>(t)] >= 0) continue;
      for (int64_t c = 0; c < case_.width; ++c) EXPECT_EQ(dx.view().row(t)[c], 0.0F);
    }
    // A probability moves by twice the error of logits, relative, and is rounded itself; the
    // products sum terms whose sizes add up to no more than 4 times the largest result here. Blocks
    // of tokens add to dhead one after the other.
    const int64_t blocks = case_.tokens / 64 + 1;
    const double tolerance =
        GradientTolerance(4 * (2 * largest_ + 1) + static_cast<double>(blocks));
    const auto scaled = [&] { return double{kScale} * Loss64(); };
    EXPECT_TRUE(NearRelativeToLargest(dx.Values(), NumericGradient(x64_, scaled), tolerance));
    EXPECT_TRUE(
        NearRelativeToLargest(dhead.Values(), NumericGradient(head64_, scaled, before), tolerance));
  }

 private:
  Case case_;
  TestMatrix x_;
  TestWeight head_;
  std::vector<int32_t> targets_;
  std::vector<double> x64_;
  std::vector<double> head64_;
  double largest_ = 0;
};

TEST(RefCrossEntropy, MatchesFiniteDifferences) {
  for (const Case& c : std::array<Case, 5>{{{1, 1, 2, DType::kF32},
                                            {1, 5, 7, DType::kF32},
                                            {9, 6, 11, DType::kBF16},
                                            {6, 3, 67, DType::kF16},
                                            {131, 3, 5, DType::kF32}}}) {
    SCOPED_TRACE(
        fmt::format("T {} C {} V {} {}", c.tokens, c.width, c.vocabulary, DTypeName(c.type)));
    Problem(c).Check();
  }
}

TEST(RefCrossEntropy, NothingPredictedIsNoLossAndNoGradient) {
  TestMatrix x(3, 2, 1, RandomNormal(6, 1));
  const TestWeight head(4, 2, DType::kF32, 2);
  const std::vector<int32_t> targets(3, -1);
  const std::vector<float> before = RandomNormal(8, 3);
  TestMatrix dx(3, 2, 1);
  TestMatrix dhead(4, 2, 1, before);
  TestContext test;
  EXPECT_EQ(ref::CrossEntropy<Precision::kFloat32>(test.context, x.view(), head.view(), targets,
                                                   1.0F, dx.view(), dhead.view()),
            0.0);
  EXPECT_EQ(dx.Values(), std::vector<float>(6, 0.0F));
  EXPECT_EQ(dhead.Values(), before);
}

TEST(RefCrossEntropy, LargeLogitsDoNotOverflow) {
  std::vector<float> x = {1.0F};
  const TestWeight head(3, 1, DType::kF32, std::vector<float>{3000.0F, -3000.0F, 2999.0F});
  const std::vector<int32_t> targets = {1};
  TestMatrix dx(1, 1);
  TestMatrix dhead(3, 1, 0, {0.0F, 0.0F, 0.0F});
  TestContext test;
  const double loss = ref::CrossEntropy<Precision::kFloat32>(
      test.context, Matrix(x.data(), 1, 1), head.view(), targets, 1.0F, dx.view(), dhead.view());
  EXPECT_NEAR(loss, 6000.0 + std::log1p(std::exp(-1.0)), 1e-9);
  const double p = 1 / (1 + std::exp(-1.0));
  EXPECT_TRUE(NearRelativeToLargest(
      dhead.Values(), std::vector<float>{static_cast<float>(p), -1.0F, static_cast<float>(1 - p)},
      2 * kFloatRounding));
}

}  // namespace
}  // namespace fulmen
