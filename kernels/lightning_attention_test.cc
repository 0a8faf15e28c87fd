#include "kernels/lightning_attention.h"

#include <gtest/gtest.h>

#include <cmath>

#include "kernels/testing.h"

namespace fulmen {
namespace {

using testing::CpuKernelsOfAllTargets;
using testing::NearRelativeToLargest;
using testing::RandomNormal;
using testing::SameBits;
using testing::TestContext;
using testing::TestMatrix;

struct Case {
  int64_t tokens, heads, dim;
  std::vector<float> decay;

  std::string Name() const { return fmt::format("T {} heads {} dim {}", tokens, heads, dim); }
};

struct Answer {
  std::vector<float> out;
  std::vector<float> state;
};

// Decays from that of a head that keeps everything to one that forgets at once.
std::vector<float> Decays(int64_t heads) {
  const std::vector<float> all = {0.0F, 0.5F, 0.004F, 1.0F, 0.06F, 30.0F, 200.0F, 1e-4F};
  return std::vector<float>(all.begin(), all.begin() + heads);
}

std::vector<float> Qkv(const Case& c) { return RandomNormal(c.tokens * c.heads * 3 * c.dim, 1); }
std::vector<float> StartState(const Case& c) { return RandomNormal(c.heads * c.dim * c.dim, 2); }

// Runs the case in chunks of the given size from a state that is not empty.
Answer Attend(const Kernels& kernels, const Case& c, int64_t chunk, int threads, int64_t gap = 0) {
  TestContext test(threads);
  TestMatrix qkv(c.tokens, c.heads * 3 * c.dim, gap, Qkv(c));
  TestMatrix state(c.heads * c.dim, c.dim, gap, StartState(c));
  TestMatrix out(c.tokens, c.heads * c.dim, gap);
  for (int64_t t = 0; t < c.tokens; t += chunk) {
    const int64_t count = std::min(chunk, c.tokens - t);
    kernels.lightning_attention(test.context, qkv.view().Rows(t, count), c.decay, state.view(),
                                out.view().Rows(t, count));
  }
  return {out.Values(), state.Values()};
}

// The definition without a recurrence: o_t = sum_{j<=t} exp(-s(t-j)) (q_t . k_j) v_j, plus what
// the start state still contributes.
Answer DoubleSum(const Case& c) {
  const std::vector<float> qkv = Qkv(c);
  const std::vector<float> start = StartState(c);
  Answer answer = {std::vector<float>(static_cast<size_t>(c.tokens * c.heads * c.dim)), start};
  for (int64_t h = 0; h < c.heads; ++h) {
    const double decay = c.decay[static_cast<size_t>(h)];
    const auto at = [&](int64_t t, int64_t part, int64_t d) {
      return double{qkv[static_cast<size_t>(((t * c.heads + h) * 3 + part) * c.dim + d)]};
    };
    const auto state = [&](int64_t d, int64_t e) {
      return static_cast<size_t>((h * c.dim + d) * c.dim + e);
    };
    for (int64_t e = 0; e < c.dim; ++e) {
      for (int64_t t = 0; t < c.tokens; ++t) {
        double sum = 0;
        for (int64_t d = 0; d < c.dim; ++d) {
          sum += std::exp(-decay * static_cast<double>(t + 1)) * at(t, 0, d) *
                 double{start[state(d, e)]};
        }
        for (int64_t j = 0; j <= t; ++j) {
          double dot = 0;
          for (int64_t d = 0; d < c.dim; ++d) dot += at(t, 0, d) * at(j, 1, d);
          sum += std::exp(-decay * static_cast<double>(t - j)) * dot * at(j, 2, e);
        }
        answer.out[static_cast<size_t>((t * c.heads + h) * c.dim + e)] = static_cast<float>(sum);
      }
      for (int64_t d = 0; d < c.dim; ++d) {
        double sum = std::exp(-decay * static_cast<double>(c.tokens)) * double{start[state(d, e)]};
        for (int64_t j = 0; j < c.tokens; ++j) {
          sum +=
              std::exp(-decay * static_cast<double>(c.tokens - 1 - j)) * at(j, 1, d) * at(j, 2, e);
        }
        answer.state[state(d, e)] = static_cast<float>(sum);
      }
    }
  }
  return answer;
}

// Heads are compared one by one: a head that forgets has much smaller values than one that keeps.
void ExpectNear(const Case& c, const Answer& actual, const Answer& expected, double tolerance,
                const std::string& what) {
  const size_t dim = static_cast<size_t>(c.dim);
  const size_t heads = static_cast<size_t>(c.heads);
  for (size_t h = 0; h < heads; ++h) {
    std::vector<float> a;
    std::vector<float> e;
    for (size_t t = 0; t < static_cast<size_t>(c.tokens); ++t) {
      const size_t at = (t * heads + h) * dim;
      a.insert(a.end(), &actual.out[at], &actual.out[at] + dim);
      e.insert(e.end(), &expected.out[at], &expected.out[at] + dim);
    }
    EXPECT_TRUE(NearRelativeToLargest(a, e, tolerance)) << what << " out of head " << h;
    const std::span<const float> actual_state(&actual.state[h * dim * dim], dim * dim);
    const std::span<const float> expected_state(&expected.state[h * dim * dim], dim * dim);
    EXPECT_TRUE(NearRelativeToLargest(actual_state, expected_state, tolerance))
        << what << " state of head " << h;
  }
}

TEST(LightningAttention, ReferenceIsTheDoubleSum) {
  for (const int64_t dim : {3, 20}) {
    const Case c = {.tokens = 70, .heads = 8, .dim = dim, .decay = Decays(8)};
    // Both sum in double and round once.
    ExpectNear(c, Attend(RefKernels(), c, c.tokens, 1), DoubleSum(c), 2e-7, c.Name());
  }
}

TEST(LightningAttention, MatchesReferenceOnRaggedShapes) {
  for (const Kernels& kernels : CpuKernelsOfAllTargets()) {
    for (const int64_t dim : {1, 5, 20, 24, 32, 128}) {
      for (const int64_t tokens : {1, 2, 7, 8, 63, 64, 65, 130, 257}) {
        const Case c = {.tokens = tokens, .heads = 5, .dim = dim, .decay = Decays(5)};
        ExpectNear(c, Attend(kernels, c, tokens, 1, 3), Attend(RefKernels(), c, tokens, 1), 1e-5,
                   kernels.name + " " + c.Name());
      }
    }
  }
}

TEST(LightningAttention, BlockFormStaysWithTheRecurrence) {
  for (const Kernels& kernels : CpuKernelsOfAllTargets()) {
    const Case c = {.tokens = 700, .heads = 8, .dim = 64, .decay = Decays(8)};
    ExpectNear(c, Attend(kernels, c, c.tokens, 2), Attend(RefKernels(), c, c.tokens, 1), 1e-5,
               kernels.name);
  }
}

TEST(LightningAttention, ChunksDoNotMatter) {
  for (const Kernels& kernels : CpuKernelsOfAllTargets()) {
    const Case c = {.tokens = 300, .heads = 4, .dim = 32, .decay = Decays(4)};
    const Answer whole = Attend(kernels, c, c.tokens, 1);
    for (const int64_t chunk : {1, 2, 7, 64, 255, 256, 257}) {
      ExpectNear(c, Attend(kernels, c, chunk, 1), whole, 1e-5,
                 fmt::format("{} chunks of {}", kernels.name, chunk));
    }
  }
}

TEST(LightningAttention, ThreadsDoNotChangeABit) {
  for (const Kernels& kernels : CpuKernelsOfAllTargets()) {
    for (const int64_t heads : {1, 3}) {
      for (const int64_t tokens : {1, 150}) {
        const Case c = {.tokens = tokens, .heads = heads, .dim = 100, .decay = Decays(heads)};
        const Answer one = Attend(kernels, c, tokens, 1);
        for (const int threads : {2, 3, 5}) {
          const Answer many = Attend(kernels, c, tokens, threads);
          EXPECT_TRUE(SameBits(many.out, one.out)) << kernels.name << " threads " << threads;
          EXPECT_TRUE(SameBits(many.state, one.state)) << kernels.name << " threads " << threads;
        }
      }
    }
  }
}

// A broken token must not reach the answers of those before it.
TEST(LightningAttention, LaterTokensDoNotLeak) {
  for (const Kernels& kernels : CpuKernelsOfAllTargets()) {
    TestContext test;
    const Case c = {.tokens = 70, .heads = 1, .dim = 32, .decay = {0.1F}};
    std::vector<float> values = Qkv(c);
    std::fill(values.end() - 3 * c.dim, values.end(), std::numeric_limits<float>::quiet_NaN());
    TestMatrix qkv(c.tokens, 3 * c.dim, 0, values);
    TestMatrix state(c.dim, c.dim, 0, StartState(c));
    TestMatrix out(c.tokens, c.dim);
    kernels.lightning_attention(test.context, qkv.view(), c.decay, state.view(), out.view());
    const Answer expected = Attend(RefKernels(), c, c.tokens, 1);
    const size_t before = static_cast<size_t>((c.tokens - 1) / 8 * 8 * c.dim);
    const std::vector<float> actual = out.Values();
    EXPECT_TRUE(NearRelativeToLargest(std::span(actual).first(before),
                                      std::span(expected.out).first(before), 1e-5))
        << kernels.name;
  }
}

}  // namespace
}  // namespace fulmen
