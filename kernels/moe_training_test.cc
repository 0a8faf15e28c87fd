#include <gtest/gtest.h>

#include <cmath>
#include <deque>

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
  int64_t tokens, width, ffn, experts, k;
  bool dropped;  // every third slot has no expert
  DType type = DType::kF32;

  std::string Name() const {
    return fmt::format("T {} C {} ffn {} top {} of {} {}{}", tokens, width, ffn, k, experts,
                       DTypeName(type), dropped ? " dropped" : "");
  }
};

// Distinct experts per token. The last expert of several is nobody's choice, the one before only
// that of the last token.
std::vector<int32_t> Choices(const Case& c) {
  const int64_t liked = std::max(c.k, c.experts - 2);
  std::vector<int32_t> choices;
  for (int64_t i = 0; i < c.tokens * c.k; ++i) {
    const int64_t t = i / c.k;
    const int64_t s = i % c.k;
    const bool last = t == c.tokens - 1 && s == 0 && liked < c.experts;
    const bool dropped = c.dropped && i % 3 == 1;
    choices.push_back(static_cast<int32_t>(dropped ? -1 : last ? liked : (t * t + s) % liked));
  }
  return choices;
}

// Weights that keep every stage of order one.
struct Problem {
  explicit Problem(const Case& c_) : c(c_), choices(Choices(c_)) {
    for (int64_t e = 0; e < c.experts; ++e) {
      const auto seed = static_cast<uint64_t>(10 + 3 * e);
      const float wide = 1.0F / std::sqrt(static_cast<float>(c.width));
      const float narrow = 1.0F / std::sqrt(static_cast<float>(c.ffn));
      tensors.emplace_back(c.ffn, c.width, c.type, seed, wide);
      tensors.emplace_back(c.ffn, c.width, c.type, seed + 1, wide);
      tensors.emplace_back(c.width, c.ffn, c.type, seed + 2, narrow);
      experts.push_back({tensors[tensors.size() - 3].view(), tensors[tensors.size() - 2].view(),
                         tensors[tensors.size() - 1].view()});
    }
  }

  Case c;
  std::vector<int32_t> choices;
  std::deque<TestWeight> tensors;
  std::vector<ExpertWeights> experts;
};

struct Answer {
  // out, gate, up, dx, dweights, then gate, up, down of each expert; rows of dropped slots are 0.
  std::vector<std::vector<float>> parts;
};

std::vector<float> WithoutDropped(std::vector<float> kept, const Problem& problem) {
  for (size_t i = 0; i < kept.size(); ++i) {
    if (problem.choices[i / static_cast<size_t>(problem.c.ffn)] < 0) kept[i] = 0;
  }
  return kept;
}

Answer Train(const TrainingKernels& kernels, const Problem& problem, int threads, int64_t gap = 0) {
  const Case& c = problem.c;
  TestContext test(threads);
  TestMatrix x(c.tokens, c.width, gap, RandomNormal(c.tokens * c.width, 1));
  TestMatrix weights(c.tokens, c.k, gap, RandomNormal(c.tokens * c.k, 2));
  TestMatrix dout(c.tokens, c.width, gap, RandomNormal(c.tokens * c.width, 3));
  TestMatrix gate(c.tokens * c.k, c.ffn, gap);
  TestMatrix up(c.tokens * c.k, c.ffn, gap);
  TestMatrix out(c.tokens, c.width, gap);
  TestMatrix dx(c.tokens, c.width, gap);
  TestMatrix dweights(c.tokens, c.k, gap);
  std::deque<TestMatrix> gradients;
  std::vector<ExpertGradients> views;
  for (const ExpertWeights& expert : problem.experts) {
    for (const WeightMatrix* w : {&expert.gate, &expert.up, &expert.down}) {
      gradients.emplace_back(w->rows, w->cols, gap,
                             RandomNormal(w->rows * w->cols, 100 + gradients.size(), 0.1F));
    }
    const size_t count = gradients.size();
    views.push_back(
        {gradients[count - 3].view(), gradients[count - 2].view(), gradients[count - 1].view()});
  }
  const MatrixView<const int32_t> choices(problem.choices.data(), c.tokens, c.k);
  const MoeActivations kept = {gate.view(), up.view()};
  kernels.forward.moe(test.context, x.view(), problem.experts, choices, weights.view(), kept,
                      out.view());
  // Without an output, the same is kept.
  TestMatrix gate_again(c.tokens * c.k, c.ffn, gap);
  TestMatrix up_again(c.tokens * c.k, c.ffn, gap);
  kernels.forward.moe(test.context, x.view(), problem.experts, choices, weights.view(),
                      {gate_again.view(), up_again.view()}, {});
  EXPECT_TRUE(SameBits(WithoutDropped(gate_again.Values(), problem),
                       WithoutDropped(gate.Values(), problem)));
  EXPECT_TRUE(
      SameBits(WithoutDropped(up_again.Values(), problem), WithoutDropped(up.Values(), problem)));
  kernels.moe_backward(test.context, x.view(), problem.experts, choices, weights.view(), kept,
                       dout.view(), dx.view(), dweights.view(), views);
  Answer answer = {{out.Values(), WithoutDropped(gate.Values(), problem),
                    WithoutDropped(up.Values(), problem), dx.Values(), dweights.Values()}};
  for (const TestMatrix& gradient : gradients) answer.parts.push_back(gradient.Values());
  return answer;
}

// Relative to the largest value: every stage rounds a sum of as many terms as it is deep; errors of
// random sign grow with the root of their number (Higham, "Accuracy and Stability of Numerical
// Algorithms", section 2.8). Eight deviations.
double Tolerance(const Case& c) {
  const auto terms = static_cast<double>(c.tokens + 2 * c.width + 3 * c.ffn + 16);
  return 8 * std::sqrt(terms) * 0x1p-24;
}

void ExpectNear(const Case& c, const Answer& actual, const Answer& expected,
                const std::string& what) {
  ASSERT_EQ(actual.parts.size(), expected.parts.size());
  for (size_t i = 0; i < actual.parts.size(); ++i) {
    EXPECT_TRUE(NearRelativeToLargest(actual.parts[i], expected.parts[i], Tolerance(c)))
        << what << " " << c.Name() << " part " << i;
  }
}

// In BF16 the hidden values and their gradients are operands too, which float32 computed: twice as
// many may be rounded the other way as in one of them.
void ExpectNearInBf16(const Case& c, const Answer& actual, const Answer& expected,
                      const std::string& what) {
  ASSERT_EQ(actual.parts.size(), expected.parts.size());
  const double tolerance = Tolerance(c) + 2 * RoundingFlips(Tolerance(c), c.tokens * c.k * c.ffn);
  for (size_t i = 0; i < actual.parts.size(); ++i) {
    EXPECT_TRUE(NearInNorm(actual.parts[i], expected.parts[i], tolerance))
        << what << " " << c.Name() << " part " << i;
  }
}

const std::vector<Case> kCases = {
    {1, 3, 2, 1, 1, false},      {3, 17, 5, 4, 2, true},
    {17, 33, 65, 5, 3, true},    {65, 16, 130, 4, 2, false, DType::kBF16},
    {257, 20, 31, 6, 2, true},   {40, 70, 400, 3, 1, false, DType::kF16},
    {300, 40, 96, 4, 2, true},   {9, 400, 33, 2, 2, false},
    {1100, 12, 20, 3, 2, false}, {5, 6, 7, 2, 1, true},
    {20, 8, 900, 2, 1, false}};

TEST(MoeTraining, MatchesTheReferenceOnRaggedShapes) {
  for (const Case& c : kCases) {
    const Problem problem(c);
    const Answer expected = Train(RefTrainingKernels(), problem, 1);
    for (const auto& [target, kernels] : CpuTrainingKernelsOfAllTargets()) {
      ExpectNear(c, Train(kernels, problem, 2, 3), expected, target);
    }
  }
}

TEST(MoeTraining, MatchesTheReferenceInBf16) {
  for (const Case& c : kCases) {
    const Problem problem(c);
    const Answer expected = Train(RefTrainingKernels(Precision::kBFloat16), problem, 1);
    for (const auto& [target, kernels] : CpuTrainingKernelsOfAllTargets(Precision::kBFloat16)) {
      ExpectNearInBf16(c, Train(kernels, problem, 2, 3), expected, target);
    }
  }
}

// The operation of inference keeps to the same contract.
TEST(MoeTraining, InferenceKeepsAndDropsAlike) {
  for (const Kernels& inference : testing::CpuKernelsOfAllTargets()) {
    TrainingKernels mixed = RefTrainingKernels();
    mixed.forward.moe = inference.moe;
    for (const bool dropped : {false, true}) {
      for (const int64_t tokens : {1, 2, 40, 1100}) {
        const Case c = {tokens, 21, 19, 4, 2, dropped};
        const Problem problem(c);
        ExpectNear(c, Train(mixed, problem, 2, 3), Train(RefTrainingKernels(), problem, 1),
                   inference.name);
      }
    }
  }
}

// Nobody is left to answer.
TEST(MoeTraining, AllMayBeDropped) {
  std::vector<Kernels> all = testing::CpuKernelsOfAllTargets();
  for (const Precision precision : kPrecisions) {
    for (const auto& [target, kernels] : CpuTrainingKernelsOfAllTargets(precision)) {
      all.push_back(kernels.forward);
    }
  }
  for (const Kernels& kernels : all) {
    TestContext test(2);
    const Problem problem({3, 21, 19, 4, 2, false});
    const std::vector<int32_t> none(6, -1);
    TestMatrix x(3, 21, 0, RandomNormal(3 * 21, 1));
    TestMatrix weights(3, 2, 0, RandomNormal(3 * 2, 2));
    TestMatrix out(3, 21, 2);
    kernels.moe(test.context, x.view(), problem.experts, {none.data(), 3, 2}, weights.view(), {},
                out.view());
    EXPECT_TRUE(SameBits(out.Values(), std::vector<float>(3 * 21))) << kernels.name;
  }
}

TEST(MoeTraining, ThreadsDoNotChangeABit) {
  const Problem problem(
      {.tokens = 700, .width = 37, .ffn = 50, .experts = 4, .k = 2, .dropped = true});
  for (const Precision precision : kPrecisions) {
    for (const auto& [target, kernels] : CpuTrainingKernelsOfAllTargets(precision)) {
      const Answer one = Train(kernels, problem, 1);
      for (const int threads : {2, 4}) {
        const Answer many = Train(kernels, problem, threads);
        for (size_t i = 0; i < one.parts.size(); ++i) {
          EXPECT_TRUE(SameBits(many.parts[i], one.parts[i]))
              << target << " " << PrecisionName(precision) << " threads " << threads << " part "
              << i;
        }
      }
    }
  }
}

}  // namespace
}  // namespace fulmen
