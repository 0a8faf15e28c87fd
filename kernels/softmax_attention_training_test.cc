#include <gtest/gtest.h>

#include "kernels/testing/kernels.h"
#include "kernels/testing/packed_attention.h"
#include "kernels/testing/training_kernels.h"

namespace fulmen {
namespace {

using testing::AttendPacked;
using testing::BackwardOf;
using testing::Borders;
using testing::CpuKernelsOfAllTargets;
using testing::CpuTrainingKernelsOfAllTargets;
using testing::kMasks;
using testing::Mask;
using testing::MaskName;
using testing::NearRelativeToLargest;
using testing::RandomNormal;
using testing::SameBits;
using testing::TestContext;
using testing::TestMatrix;

struct Case {
  std::vector<int64_t> lengths;
  int64_t heads, kv_heads, dim;
  float deviation = 2.0F;  // of queries: 2 gives scores that matter

  std::string Name() const {
    return fmt::format("{} documents, {} tokens, heads {}/{} of {}", lengths.size(),
                       Borders(lengths).back(), heads, kv_heads, dim);
  }
};

struct Answer {
  std::vector<float> out, log_sums, dqueries, dkeys, dvalues;
};

bool SameAnswer(const Answer& a, const Answer& b) {
  return SameBits(a.out, b.out) && SameBits(a.log_sums, b.log_sums) &&
         SameBits(a.dqueries, b.dqueries) && SameBits(a.dkeys, b.dkeys) &&
         SameBits(a.dvalues, b.dvalues);
}

Answer Train(Mask mask, const TrainingKernels& kernels, const Case& c, int threads,
             int64_t gap = 0) {
  TestContext test(threads);
  const std::vector<int64_t> starts = Borders(c.lengths);
  const int64_t tokens = starts.back();
  const int64_t width = c.heads * c.dim;
  const int64_t kv_width = c.kv_heads * c.dim;
  TestMatrix queries(tokens, width, gap, RandomNormal(tokens * width, 1, c.deviation));
  TestMatrix kv(tokens, 2 * kv_width, gap, RandomNormal(tokens * 2 * kv_width, 2));
  TestMatrix dout(tokens, width, gap, RandomNormal(tokens * width, 4));
  TestMatrix out(tokens, width, gap);
  TestMatrix log_sums(tokens, c.heads, gap);
  TestMatrix dqueries(tokens, width, gap);
  TestMatrix dkeys(tokens, kv_width, gap);
  TestMatrix dvalues(tokens, kv_width, gap);
  const PackedAttention attention = {.queries = queries.view(),
                                     .keys = kv.view().Cols(0, kv_width),
                                     .values = kv.view().Cols(kv_width, kv_width),
                                     .head_dim = c.dim,
                                     .starts = starts};
  AttendPacked(mask, kernels.forward, test.context, attention, out.view(), log_sums.view());
  BackwardOf(mask, kernels)(test.context, attention, out.view(), log_sums.view(), dout.view(),
                            dqueries.view(), dkeys.view(), dvalues.view());
  return {out.Values(), log_sums.Values(), dqueries.Values(), dkeys.Values(), dvalues.Values()};
}

void ExpectNear(const Answer& actual, const Answer& expected, double tolerance,
                const std::string& what) {
  EXPECT_TRUE(NearRelativeToLargest(actual.out, expected.out, tolerance)) << what << " out";
  EXPECT_TRUE(NearRelativeToLargest(actual.log_sums, expected.log_sums, tolerance))
      << what << " log_sums";
  EXPECT_TRUE(NearRelativeToLargest(actual.dqueries, expected.dqueries, tolerance))
      << what << " dqueries";
  EXPECT_TRUE(NearRelativeToLargest(actual.dkeys, expected.dkeys, tolerance)) << what << " dkeys";
  EXPECT_TRUE(NearRelativeToLargest(actual.dvalues, expected.dvalues, tolerance))
      << what << " dvalues";
}

class SoftmaxAttentionTraining : public ::testing::TestWithParam<Mask> {};

INSTANTIATE_TEST_SUITE_P(Masks, SoftmaxAttentionTraining, ::testing::ValuesIn(kMasks),
                         [](const auto& mask) { return MaskName(mask.param); });

TEST_P(SoftmaxAttentionTraining, MatchesReferenceOnRaggedShapes) {
  const std::vector<Case> cases = {
      {.lengths = {1}, .heads = 1, .kv_heads = 1, .dim = 1},
      {.lengths = {3, 1, 0, 2}, .heads = 2, .kv_heads = 2, .dim = 5},
      {.lengths = {40, 17}, .heads = 6, .kv_heads = 2, .dim = 20},
      {.lengths = {127, 128, 129}, .heads = 4, .kv_heads = 1, .dim = 24},
      {.lengths = {5, 300}, .heads = 3, .kv_heads = 3, .dim = 32},
      {.lengths = {700}, .heads = 6, .kv_heads = 2, .dim = 64},
      {.lengths = {260}, .heads = 2, .kv_heads = 1, .dim = 128},
      {.lengths = {577}, .heads = 2, .kv_heads = 2, .dim = 64},
      {.lengths = {50, 90}, .heads = 150, .kv_heads = 1, .dim = 8},
      // Two to four ranges of keys.
      {.lengths = {1100, 1540, 2200}, .heads = 2, .kv_heads = 1, .dim = 16},
  };
  for (const Case& c : cases) {
    const Answer expected = Train(GetParam(), RefTrainingKernels(), c, 1);
    for (const auto& [target, kernels] : CpuTrainingKernelsOfAllTargets()) {
      // The relative error of a probability is the error of its score: a float32 sum, some
      // roundings of scores of about 10.
      ExpectNear(Train(GetParam(), kernels, c, 2, 3), expected, 1e-5, target + " " + c.Name());
    }
  }
}

// Scores that only the shift by the maximum keeps finite.
TEST_P(SoftmaxAttentionTraining, LargeScores) {
  const Case c = {.lengths = {200, 60}, .heads = 2, .kv_heads = 1, .dim = 8, .deviation = 100.0F};
  const Answer expected = Train(GetParam(), RefTrainingKernels(), c, 1);
  for (const auto& [target, kernels] : CpuTrainingKernelsOfAllTargets()) {
    // Scores reach 300, where one float32 rounding is 3e-5; a score sums 8 products.
    ExpectNear(Train(GetParam(), kernels, c, 1), expected, 2 * 8 * 3e-5, target);
  }
}

TEST_P(SoftmaxAttentionTraining, ThreadsDoNotChangeABit) {
  for (const auto& [target, kernels] : CpuTrainingKernelsOfAllTargets()) {
    const Case c = {.lengths = {40, 1, 1300, 300}, .heads = 4, .kv_heads = 2, .dim = 20};
    const Answer one = Train(GetParam(), kernels, c, 1);
    for (const int threads : {2, 3}) {
      EXPECT_TRUE(SameAnswer(Train(GetParam(), kernels, c, threads), one))
          << target << " threads " << threads;
    }
  }
}

// A document gives the same bits wherever it lies, and a broken neighbour does not reach it.
TEST_P(SoftmaxAttentionTraining, NothingCrossesBorders) {
  constexpr int64_t kTokens = 150;
  constexpr int64_t kDim = 20;
  for (const auto& [target, kernels] : CpuTrainingKernelsOfAllTargets()) {
    std::vector<std::vector<float>> answers;
    for (const int64_t before : {0, 33}) {
      TestContext test;
      const int64_t rows = before + kTokens + before;
      const auto input = [&](int64_t cols, uint64_t seed) {
        TestMatrix matrix(rows, cols);
        const std::vector<float> values = RandomNormal(kTokens * cols, seed);
        std::copy(values.begin(), values.end(), matrix.view().row(before));
        return matrix;
      };
      TestMatrix q = input(kDim, 1), kv = input(2 * kDim, 2), dout = input(kDim, 4);
      TestMatrix out(rows, kDim), log_sums(rows, 1), dq(rows, kDim), dk(rows, kDim), dv(rows, kDim);
      const std::vector<int64_t> starts = Borders({before, kTokens, before});
      const PackedAttention attention = {.queries = q.view(),
                                         .keys = kv.view().Cols(0, kDim),
                                         .values = kv.view().Cols(kDim, kDim),
                                         .head_dim = kDim,
                                         .starts = starts};
      AttendPacked(GetParam(), kernels.forward, test.context, attention, out.view(),
                   log_sums.view());
      BackwardOf(GetParam(), kernels)(test.context, attention, out.view(), log_sums.view(),
                                      dout.view(), dq.view(), dk.view(), dv.view());
      std::vector<float>& answer = answers.emplace_back();
      for (TestMatrix* matrix : {&out, &dq, &dk, &dv}) {
        const float* from = matrix->view().row(before);
        answer.insert(answer.end(), from, from + kTokens * kDim);
      }
    }
    EXPECT_TRUE(SameBits(answers[0], answers[1])) << target;
  }
}

// The last query of a slice sees all of it either way.
TEST(BidirectionalAttention, EndsAsCausalAttentionDoes) {
  constexpr int64_t kTokens = 300;
  constexpr int64_t kWidth = 3 * 20;
  std::vector<Kernels> all = CpuKernelsOfAllTargets();
  all.push_back(RefKernels());
  for (const Kernels& kernels : all) {
    TestContext test(2);
    TestMatrix qkv(kTokens, 3 * kWidth, 2, RandomNormal(kTokens * 3 * kWidth, 1));
    const std::vector<int64_t> starts = {0, kTokens};
    const PackedAttention attention = {.queries = qkv.view().Cols(0, kWidth),
                                       .keys = qkv.view().Cols(kWidth, kWidth),
                                       .values = qkv.view().Cols(2 * kWidth, kWidth),
                                       .head_dim = 20,
                                       .starts = starts};
    TestMatrix causal(kTokens, kWidth), out(kTokens, kWidth), same(kTokens, kWidth);
    TestMatrix log_sums(kTokens, 3);
    AttendPacked(kernels, test.context, attention, causal.view(), {});
    kernels.bidirectional_attention(test.context, attention, out.view(), log_sums.view());
    const auto last = [](TestMatrix& matrix) {
      return std::span<const float>(matrix.view().row(kTokens - 1), kWidth);
    };
    EXPECT_TRUE(NearRelativeToLargest(last(out), last(causal), 1e-6)) << kernels.name;
    kernels.bidirectional_attention(test.context, attention, same.view(), {});
    EXPECT_TRUE(SameBits(same.Values(), out.Values())) << kernels.name << " without log_sums";
  }
}

}  // namespace
}  // namespace fulmen
