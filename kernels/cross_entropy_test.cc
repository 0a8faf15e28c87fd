#include "kernels/cross_entropy.h"

#include <gtest/gtest.h>

#include <cmath>

#include "kernels/testing/kernels.h"
#include "kernels/testing/test_weight.h"
#include "kernels/testing/training_kernels.h"

namespace fulmen {
namespace {

using testing::CpuTrainingKernelsOfAllTargets;
using testing::kPrecisions;
using testing::NearInNorm;
using testing::NearRelativeToLargest;
using testing::PrecisionName;
using testing::RandomNormal;
using testing::RoundingFlips;
using testing::SameBits;
using testing::TestContext;
using testing::TestMatrix;
using testing::TestWeight;

struct Case {
  int64_t tokens, width, vocabulary;
  DType type = DType::kF32;

  std::string Name() const {
    return fmt::format("T {} C {} V {} {}", tokens, width, vocabulary, DTypeName(type));
  }
};

struct Answer {
  double loss;
  std::vector<float> dx, dhead;
};

// Every fifth position predicts nothing. Logits of deviation 4, so that some positions are sure.
Answer Train(const TrainingKernels& kernels, const Case& c, int threads, int64_t gap = 0) {
  TestContext test(threads);
  TestMatrix x(c.tokens, c.width, gap, RandomNormal(c.tokens * c.width, 1));
  const TestWeight head(c.vocabulary, c.width, c.type, 2,
                        4.0F / std::sqrt(static_cast<float>(c.width)));
  TestMatrix dx(c.tokens, c.width, gap);
  TestMatrix dhead(c.vocabulary, c.width, gap, RandomNormal(c.vocabulary * c.width, 3, 0.01F));
  std::vector<int32_t> targets;
  for (int64_t t = 0; t < c.tokens; ++t) {
    targets.push_back(static_cast<int32_t>(t % 5 == 3 ? -1 : t * 7919 % c.vocabulary));
  }
  const double loss = kernels.cross_entropy(test.context, x.view(), head.view(), targets, 0.125F,
                                            dx.view(), dhead.view());
  EXPECT_EQ(kernels.cross_entropy(test.context, x.view(), head.view(), targets, 0.125F, {}, {}),
            loss)
      << "without gradients";
  return {loss, dx.Values(), dhead.Values()};
}

// Relative to the largest value. A logit errs by the rounding of a sum of C terms of its size and
// shifts its probability by as much, relatively; gradients are sums over V or T of those. Errors of
// random sign grow with the root of their number (Higham, "Accuracy and Stability of Numerical
// Algorithms", section 2.8); logits reach 20, and eight deviations.
double Tolerance(const Case& c) {
  return 8 * 20 * std::sqrt(static_cast<double>(c.width + 16)) * 0x1p-24;
}

const std::vector<Case> kCases = {
    {1, 3, 2}, {3, 17, 5, DType::kBF16}, {17, 33, 65},   {65, 5, 1030, DType::kF16}, {257, 16, 400},
    {4, 1, 1}, {150, 400, 97},           {700, 24, 5000}};

TEST(CrossEntropyTraining, MatchesTheReferenceOnRaggedShapes) {
  for (const Case& c : kCases) {
    const Answer expected = Train(RefTrainingKernels(), c, 1);
    for (const auto& [target, kernels] : CpuTrainingKernelsOfAllTargets()) {
      SCOPED_TRACE(target + " " + c.Name());
      const Answer actual = Train(kernels, c, 2, 3);
      EXPECT_NEAR(actual.loss, expected.loss, Tolerance(c) * static_cast<double>(c.tokens));
      EXPECT_TRUE(NearRelativeToLargest(actual.dx, expected.dx, Tolerance(c)));
      EXPECT_TRUE(NearRelativeToLargest(actual.dhead, expected.dhead, Tolerance(c)));
    }
  }
}

// The gradients of the logits are operands that float32 computed. Few of them are large.
TEST(CrossEntropyTraining, MatchesTheReferenceInBf16) {
  for (const Case& c : kCases) {
    const Answer expected = Train(RefTrainingKernels(Precision::kBFloat16), c, 1);
    const double tolerance = Tolerance(c) + RoundingFlips(Tolerance(c), c.tokens);
    for (const auto& [target, kernels] : CpuTrainingKernelsOfAllTargets(Precision::kBFloat16)) {
      SCOPED_TRACE(target + " " + c.Name());
      const Answer actual = Train(kernels, c, 2, 3);
      EXPECT_NEAR(actual.loss, expected.loss, Tolerance(c) * static_cast<double>(c.tokens));
      EXPECT_TRUE(NearInNorm(actual.dx, expected.dx, tolerance));
      EXPECT_TRUE(NearInNorm(actual.dhead, expected.dhead, tolerance));
    }
  }
}

TEST(CrossEntropyTraining, ThreadsDoNotChangeABit) {
  const Case c = {.tokens = 900, .width = 20, .vocabulary = 4100};
  for (const Precision precision : kPrecisions) {
    for (const auto& [target, kernels] : CpuTrainingKernelsOfAllTargets(precision)) {
      SCOPED_TRACE(target + " " + PrecisionName(precision));
      const Answer one = Train(kernels, c, 1);
      for (const int threads : {2, 4}) {
        const Answer many = Train(kernels, c, threads);
        EXPECT_EQ(many.loss, one.loss) << " threads " << threads;
        EXPECT_TRUE(SameBits(many.dx, one.dx)) << " threads " << threads;
        EXPECT_TRUE(SameBits(many.dhead, one.dhead)) << " threads " << threads;
      }
    }
  }
}

TEST(CrossEntropyTraining, NothingPredictedIsNoLoss) {
  TestContext test;
  const TestWeight head(7, 3, DType::kF32, 1);
  for (const auto& [target, kernels] : CpuTrainingKernelsOfAllTargets()) {
    TestMatrix x(2, 3, 0, RandomNormal(6, 2));
    TestMatrix dx(2, 3);
    TestMatrix dhead(7, 3, 0, std::vector<float>(21, 0.5F));
    const std::vector<int32_t> targets = {-1, -1};
    EXPECT_EQ(kernels.cross_entropy(test.context, x.view(), head.view(), targets, 1.0F, dx.view(),
                                    dhead.view()),
              0.0);
    EXPECT_EQ(dx.Values(), std::vector<float>(6, 0.0F)) << target;
    EXPECT_EQ(dhead.Values(), std::vector<float>(21, 0.5F)) << target;
  }
}

TEST(CrossEntropyTraining, NanIsSeen) {
  TestContext test;
  const TestWeight head(70, 3, DType::kF32, 1);
  for (const auto& [target, kernels] : CpuTrainingKernelsOfAllTargets()) {
    for (const int64_t bad : {0, 2}) {
      std::vector<float> values = RandomNormal(9, 2);
      values[static_cast<size_t>(3 * bad + 1)] = std::nanf("");
      TestMatrix x(3, 3, 0, values);
      TestMatrix dx(3, 3);
      TestMatrix dhead(70, 3, 0, std::vector<float>(210, 0.0F));
      const std::vector<int32_t> targets = {1, 5, 69};
      EXPECT_TRUE(std::isnan(kernels.cross_entropy(test.context, x.view(), head.view(), targets,
                                                   1.0F, dx.view(), dhead.view())))
          << target;
    }
  }
}

}  // namespace
}  // namespace fulmen
