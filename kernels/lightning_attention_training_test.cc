#include <gtest/gtest.h>

#include <cmath>

#include "kernels/testing/kernels.h"
#include "kernels/testing/training_kernels.h"

namespace fulmen {
namespace {

using testing::Borders;
using testing::CpuTrainingKernelsOfAllTargets;
using testing::NearRelativeToLargest;
using testing::RandomNormal;
using testing::SameBits;
using testing::TestContext;
using testing::TestMatrix;

struct Case {
  std::vector<int64_t> lengths;
  int64_t heads, dim;

  int64_t tokens() const { return Borders(lengths).back(); }
  std::string Name() const {
    return fmt::format("{} documents, {} tokens, {} heads of {}", lengths.size(), tokens(), heads,
                       dim);
  }
};

struct Answer {
  std::vector<float> out;
  std::vector<float> dqkv;
};

// Decays from that of a head that keeps everything to one that forgets at once.
std::vector<float> Decays(int64_t heads) {
  const std::vector<float> all = {0.0F, 0.5F, 0.004F, 30.0F, 0.06F, 1.0F, 200.0F, 1e-4F};
  return std::vector<float>(all.begin(), all.begin() + heads);
}

Answer Train(const TrainingKernels& kernels, const Case& c, int threads, int64_t gap = 0) {
  TestContext test(threads);
  const int64_t tokens = c.tokens();
  const int64_t width = c.heads * c.dim;
  TestMatrix qkv(tokens, 3 * width, gap, RandomNormal(tokens * 3 * width, 1));
  TestMatrix dout(tokens, width, gap, RandomNormal(tokens * width, 2));
  TestMatrix out(tokens, width, gap);
  TestMatrix dqkv(tokens, 3 * width, gap);
  const std::vector<int64_t> starts = Borders(c.lengths);
  kernels.forward.lightning_attention(test.context, qkv.view(), Decays(c.heads), {starts, {}},
                                      std::vector<float*>(c.lengths.size()), out.view());
  kernels.lightning_attention_backward(test.context, qkv.view(), Decays(c.heads), starts,
                                       dout.view(), dqkv.view());
  return {out.Values(), dqkv.Values()};
}

// Columns [part * dim, (part + 1) * dim) of every row.
std::vector<float> Part(const std::vector<float>& values, int64_t rows, int64_t part, int64_t dim) {
  const int64_t width = static_cast<int64_t>(values.size()) / rows;
  std::vector<float> result;
  for (int64_t t = 0; t < rows; ++t) {
    const auto from = values.begin() + t * width + part * dim;
    result.insert(result.end(), from, from + dim);
  }
  return result;
}

// Heads are compared one by one: a head that forgets has much smaller values than one that keeps.
// The tolerance is that of the forward kernels: the sums are as long, and SiLU or its slope adds
// less than 1e-6.
void ExpectNear(const Case& c, const Answer& actual, const Answer& expected,
                const std::string& what) {
  constexpr double kTolerance = 1e-5;
  const int64_t tokens = c.tokens();
  for (int64_t h = 0; h < c.heads; ++h) {
    EXPECT_TRUE(NearRelativeToLargest(Part(actual.out, tokens, h, c.dim),
                                      Part(expected.out, tokens, h, c.dim), kTolerance))
        << what << " out of head " << h;
    for (int64_t part = 3 * h; part < 3 * h + 3; ++part) {
      EXPECT_TRUE(NearRelativeToLargest(Part(actual.dqkv, tokens, part, c.dim),
                                        Part(expected.dqkv, tokens, part, c.dim), kTolerance))
          << what << " gradient " << part % 3 << " of q, k, v of head " << h;
    }
  }
}

TEST(LightningAttentionTraining, MatchesReferenceOnRaggedShapes) {
  for (const auto& [target, kernels] : CpuTrainingKernelsOfAllTargets()) {
    for (const int64_t dim : {1, 5, 20, 24, 64, 128}) {
      for (const std::vector<int64_t>& lengths : std::vector<std::vector<int64_t>>{
               {1}, {2, 1, 7}, {31, 32, 33}, {64}, {65, 3, 0, 130}, {257}}) {
        const Case c = {.lengths = lengths, .heads = 5, .dim = dim};
        ExpectNear(c, Train(kernels, c, 1, 3), Train(RefTrainingKernels(), c, 1),
                   target + " " + c.Name());
      }
    }
  }
}

TEST(LightningAttentionTraining, LongDocumentsStayWithTheRecurrence) {
  const Case c = {.lengths = {1500, 20}, .heads = 8, .dim = 64};
  const Answer expected = Train(RefTrainingKernels(), c, 1);
  for (const auto& [target, kernels] : CpuTrainingKernelsOfAllTargets()) {
    ExpectNear(c, Train(kernels, c, 2), expected, target);
  }
}

TEST(LightningAttentionTraining, ThreadsDoNotChangeABit) {
  for (const auto& [target, kernels] : CpuTrainingKernelsOfAllTargets()) {
    const Case c = {.lengths = {40, 3, 150, 77}, .heads = 3, .dim = 20};
    const Answer one = Train(kernels, c, 1);
    for (const int threads : {2, 3}) {
      const Answer many = Train(kernels, c, threads);
      EXPECT_TRUE(SameBits(many.out, one.out)) << target << " threads " << threads;
      EXPECT_TRUE(SameBits(many.dqkv, one.dqkv)) << target << " threads " << threads;
    }
  }
}

// Relative to each value itself, which a comparison with the largest cannot see: of one token, dq =
// dout silu'(q) silu(k) silu(v), and so in turn.
TEST(LightningAttentionTraining, SlopesAreAccurateWhereTheyAreSmall) {
  const auto slope = [](double x) { return (1 + x / (1 + std::exp(x))) / (1 + std::exp(-x)); };
  const double one = 1 / (1 + std::exp(-1.0));  // silu(1)
  std::vector<std::pair<std::string, TrainingKernels>> all = CpuTrainingKernelsOfAllTargets();
  all.emplace_back("ref", RefTrainingKernels());
  for (const auto& [target, kernels] : all) {
    for (const float value : {-1e4F, -80.0F, -30.0F, -5.0F, -1e-3F, 0.0F, 1.0F, 12.0F, 1e4F}) {
      for (const int64_t dim : {1, 24}) {
        for (int64_t part = 0; part < 3; ++part) {
          // Sums over the head have one term that is not 0, as silu(0) is.
          TestContext test;
          std::vector<float> qkv(static_cast<size_t>(3 * dim));
          for (int64_t p = 0; p < 3; ++p) qkv[static_cast<size_t>(p * dim)] = 1.0F;
          qkv[static_cast<size_t>(part * dim)] = value;
          std::vector<float> dqkv(qkv.size());
          std::vector<float> dout(static_cast<size_t>(dim));
          dout[0] = 1.0F;
          kernels.lightning_attention_backward(test.context, {qkv.data(), 1, 3 * dim}, Decays(1),
                                               Borders({1}), {dout.data(), 1, dim},
                                               {dqkv.data(), 1, 3 * dim});
          const double expected = slope(double{value}) * one * one;
          EXPECT_NEAR(dqkv[static_cast<size_t>(part * dim)], expected, 2e-6 * std::abs(expected))
              << target << " " << value << " dim " << dim;
        }
      }
    }
  }
}

// A document gives the same bits wherever it lies, and a broken neighbour does not reach it.
TEST(LightningAttentionTraining, NothingCrossesBorders) {
  constexpr int64_t kTokens = 45;
  constexpr int64_t kDim = 20;
  const std::vector<float> values = RandomNormal(kTokens * 3 * kDim, 1);
  const std::vector<float> gradients = RandomNormal(kTokens * kDim, 2);
  for (const auto& [target, kernels] : CpuTrainingKernelsOfAllTargets()) {
    std::vector<std::vector<float>> answers;
    for (const int64_t before : {0, 33}) {
      TestContext test;
      const int64_t rows = before + kTokens + before;
      TestMatrix qkv(rows, 3 * kDim);
      TestMatrix dout(rows, kDim);
      TestMatrix dqkv(rows, 3 * kDim);
      std::copy(values.begin(), values.end(), qkv.view().row(before));
      std::copy(gradients.begin(), gradients.end(), dout.view().row(before));
      kernels.lightning_attention_backward(test.context, qkv.view(), Decays(1),
                                           Borders({before, kTokens, before}), dout.view(),
                                           dqkv.view());
      const float* from = dqkv.view().row(before);
      answers.emplace_back(from, from + kTokens * 3 * kDim);
    }
    EXPECT_TRUE(SameBits(answers[0], answers[1])) << target;
  }
}

}  // namespace
}  // namespace fulmen
