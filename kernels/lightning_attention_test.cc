#include "kernels/lightning_attention.h"

#include <gtest/gtest.h>

#include <cmath>

#include "kernels/testing/kernels.h"

namespace fulmen {
namespace {

using testing::Borders;
using testing::CpuKernelsOfAllTargets;
using testing::NanFilled;
using testing::NearRelativeToLargest;
using testing::RandomNormal;
using testing::SameBits;
using testing::TestContext;
using testing::TestMatrix;

struct Case {
  int64_t tokens, heads, dim;
  uint32_t seed = 1;

  int64_t width() const { return heads * dim; }
  std::string Name() const { return fmt::format("T {} heads {} dim {}", tokens, heads, dim); }
};

// Decays from that of a head that keeps everything to one that forgets at once.
std::vector<float> Decays(int64_t heads) {
  const std::vector<float> all = {0.0F, 0.5F, 0.004F, 1.0F, 0.06F, 30.0F, 200.0F, 1e-4F};
  return std::vector<float>(all.begin(), all.begin() + heads);
}

std::vector<float> Qkv(const Case& c) { return RandomNormal(c.tokens * 3 * c.width(), c.seed); }

// Sequences of the same heads, each with a memory that begins as NaN.
class Batches {
 public:
  Batches(const Kernels& kernels, std::vector<Case> cases, int threads, int64_t gap = 0)
      : kernels_(kernels), cases_(std::move(cases)), test_(threads), gap_(gap) {
    for (const Case& c : cases_) {
      qkv_.push_back(Qkv(c));
      memory_.push_back(NanFilled(LightningMemorySize(c.heads, c.dim)));
      answers_.emplace_back();
      read_.push_back(0);
    }
  }

  // The next `counts` tokens of each; `keep`: with memory.
  void Read(const std::vector<int64_t>& counts, bool keep = true) {
    const std::vector<int64_t> starts = Borders(counts);
    const int64_t width = cases_.front().width();
    TestMatrix qkv(starts.back(), 3 * width, gap_);
    TestMatrix out(starts.back(), width, gap_);
    std::vector<float*> memory;
    for (size_t s = 0; s < counts.size(); ++s) {
      memory.push_back(keep ? memory_[s].data() : nullptr);
      for (int64_t t = 0; t < counts[s]; ++t) {
        std::copy_n(&qkv_[s][static_cast<size_t>((read_[s] + t) * 3 * width)], 3 * width,
                    qkv.view().row(starts[s] + t));
      }
    }
    kernels_.lightning_attention(test_.context, qkv.view(), Decays(cases_.front().heads),
                                 {starts, read_}, memory, out.view());
    const std::vector<float> values = out.Values();
    for (size_t s = 0; s < counts.size(); ++s) {
      answers_[s].insert(answers_[s].end(), values.begin() + starts[s] * width,
                         values.begin() + starts[s + 1] * width);
      read_[s] += counts[s];
    }
  }

  const std::vector<float>& answer(size_t sequence) const { return answers_[sequence]; }

 private:
  Kernels kernels_;
  std::vector<Case> cases_;
  TestContext test_;
  int64_t gap_;
  std::vector<std::vector<float>> qkv_, memory_, answers_;
  std::vector<int64_t> read_;
};

// One sequence, cut into pieces of `chunk` tokens.
std::vector<float> Attend(const Kernels& kernels, const Case& c, int64_t chunk, int threads = 1,
                          int64_t gap = 0) {
  Batches batches(kernels, {c}, threads, gap);
  for (int64_t t = 0; t < c.tokens; t += chunk) batches.Read({std::min(chunk, c.tokens - t)});
  return batches.answer(0);
}

// The definition without a recurrence: o_t = sum_{j<=t} exp(-s(t-j)) (q_t . k_j) v_j.
std::vector<float> DoubleSum(const Case& c) {
  std::vector<float> qkv = Qkv(c);
  // Rounded, as what is remembered is.
  for (float& x : qkv) x = static_cast<float>(double{x} / (1 + std::exp(-double{x})));
  std::vector<float> out(static_cast<size_t>(c.tokens * c.width()));
  for (int64_t h = 0; h < c.heads; ++h) {
    const double decay = Decays(c.heads)[static_cast<size_t>(h)];
    const auto at = [&](int64_t t, int64_t part, int64_t d) {
      return double{qkv[static_cast<size_t>(((t * c.heads + h) * 3 + part) * c.dim + d)]};
    };
    for (int64_t t = 0; t < c.tokens; ++t) {
      for (int64_t e = 0; e < c.dim; ++e) {
        double sum = 0;
        for (int64_t j = 0; j <= t; ++j) {
          double dot = 0;
          for (int64_t d = 0; d < c.dim; ++d) dot += at(t, 0, d) * at(j, 1, d);
          sum += std::exp(-decay * static_cast<double>(t - j)) * dot * at(j, 2, e);
        }
        out[static_cast<size_t>((t * c.heads + h) * c.dim + e)] = static_cast<float>(sum);
      }
    }
  }
  return out;
}

// Heads are compared one by one: a head that forgets has much smaller values than one that keeps.
void ExpectNear(const Case& c, const std::vector<float>& actual, const std::vector<float>& expected,
                double tolerance, const std::string& what) {
  const auto head = [&](const std::vector<float>& values, int64_t h) {
    std::vector<float> part;
    for (int64_t t = 0; t < c.tokens; ++t) {
      const auto from = values.begin() + t * c.width() + h * c.dim;
      part.insert(part.end(), from, from + c.dim);
    }
    return part;
  };
  ASSERT_EQ(actual.size(), expected.size()) << what;
  for (int64_t h = 0; h < c.heads; ++h) {
    EXPECT_TRUE(NearRelativeToLargest(head(actual, h), head(expected, h), tolerance))
        << what << " head " << h;
  }
}

TEST(LightningAttention, ReferenceIsTheDoubleSum) {
  for (const int64_t dim : {3, 20}) {
    const Case c = {.tokens = 100, .heads = 8, .dim = dim};
    // Both sum in double; the reference rounds the state once a block, and at the end.
    ExpectNear(c, Attend(RefKernels(), c, c.tokens), DoubleSum(c), 4e-7, c.Name());
  }
}

TEST(LightningAttention, MatchesReferenceOnRaggedShapes) {
  for (const Kernels& kernels : CpuKernelsOfAllTargets()) {
    for (const int64_t dim : {1, 5, 20, 24, 32, 128}) {
      for (const int64_t tokens : {1, 2, 7, 31, 32, 33, 64, 65, 130, 257}) {
        const Case c = {.tokens = tokens, .heads = 5, .dim = dim};
        ExpectNear(c, Attend(kernels, c, tokens, 1, 3), Attend(RefKernels(), c, tokens), 1e-5,
                   kernels.name + " " + c.Name());
      }
    }
  }
}

TEST(LightningAttention, BlockFormStaysWithTheRecurrence) {
  const Case c = {.tokens = 700, .heads = 8, .dim = 64};
  for (const Kernels& kernels : CpuKernelsOfAllTargets()) {
    ExpectNear(c, Attend(kernels, c, c.tokens, 2), Attend(RefKernels(), c, c.tokens), 1e-5,
               kernels.name);
  }
}

std::vector<Kernels> AllKernels() {
  std::vector<Kernels> all = CpuKernelsOfAllTargets();
  all.push_back(RefKernels());
  return all;
}

TEST(LightningAttention, CutsDoNotChangeABit) {
  for (const Kernels& kernels : AllKernels()) {
    for (const int64_t dim : {20, 32}) {
      const Case c = {.tokens = 140, .heads = 3, .dim = dim};
      Batches whole(kernels, {c}, 1);
      whole.Read({c.tokens}, /*keep=*/false);
      for (const int64_t chunk : {1, 7, 31, 32, 33, 64, 139}) {
        EXPECT_TRUE(SameBits(Attend(kernels, c, chunk), whole.answer(0)))
            << kernels.name << " dim " << dim << " chunks of " << chunk;
      }
    }
  }
}

TEST(LightningAttention, ThreadsDoNotChangeABit) {
  for (const Kernels& kernels : CpuKernelsOfAllTargets()) {
    for (const int64_t tokens : {1, 150}) {
      const Case c = {.tokens = tokens, .heads = 3, .dim = 100};
      const std::vector<float> one = Attend(kernels, c, tokens, 1);
      for (const int threads : {2, 3, 5}) {
        EXPECT_TRUE(SameBits(Attend(kernels, c, tokens, threads), one))
            << kernels.name << " threads " << threads;
      }
    }
  }
}

// Prompts and decoding steps of several sequences share batches; a broken one breaks no other.
TEST(LightningAttention, NeighboursDoNotChangeABit) {
  for (const Kernels& kernels : AllKernels()) {
    std::vector<Case> cases;
    for (uint32_t s = 0; s < 4; ++s) {
      cases.push_back({.tokens = 80, .heads = 2, .dim = 20, .seed = s + 1});
    }
    Batches together(kernels, cases, 2);
    together.Read({40, 0, 31, 70});
    together.Read({1, 33, 2, 1});
    together.Read({1, 1, 1, 1});
    together.Read({38, 46, 46, 8});
    for (size_t s = 0; s < cases.size(); ++s) {
      EXPECT_TRUE(SameBits(together.answer(s), Attend(kernels, cases[s], 80)))
          << kernels.name << " sequence " << s;
    }
  }
}

TEST(LightningAttention, ABrokenSequenceBreaksNoOther) {
  for (const Kernels& kernels : AllKernels()) {
    TestContext test;
    const Case c = {.tokens = 50, .heads = 2, .dim = 20};
    const std::vector<int64_t> starts = {0, 7, 57, 60};
    TestMatrix qkv(60, 3 * c.width());  // NaN
    TestMatrix out(60, c.width());
    const std::vector<float> values = Qkv(c);
    std::copy(values.begin(), values.end(), qkv.view().row(7));
    kernels.lightning_attention(test.context, qkv.view(), Decays(2), {starts, {}},
                                std::vector<float*>(3), out.view());
    const float* from = out.view().row(7);
    EXPECT_TRUE(SameBits({from, from + c.tokens * c.width()}, Attend(kernels, c, c.tokens)))
        << kernels.name;
    EXPECT_TRUE(std::isnan(out.view().row(0)[0]) && std::isnan(out.view().row(59)[0]));
  }
}

// A query that is 1 in one dimension and read at once after a token shows a row of the state.
TEST(LightningAttention, TheStateIsWhatAQueryReads) {
  for (const Kernels& kernels : AllKernels()) {
    for (const int64_t tokens : {0, 1, 20, 32, 33, 64, 75}) {
      TestContext test(2);
      const Case c = {.tokens = tokens, .heads = 3, .dim = 20};
      std::vector<float> memory = NanFilled(LightningMemorySize(c.heads, c.dim));
      const std::vector<float*> memories = {memory.data()};
      TestMatrix qkv(tokens, 3 * c.width(), 0, Qkv(c));
      TestMatrix out(tokens, c.width());
      kernels.lightning_attention(test.context, qkv.view(), Decays(3),
                                  {std::vector<int64_t>{0, tokens}, {}}, memories, out.view());
      TestMatrix state(c.width(), c.dim, 2);
      kernels.lightning_state(test.context, Decays(3), tokens, memory.data(), state.view());
      // o = S^T q of a token without key and value.
      TestMatrix next(1, 3 * c.width(), 0,
                      std::vector<float>(static_cast<size_t>(3 * c.width()), 0.0F));
      for (int64_t h = 0; h < c.heads; ++h) next.view().row(0)[h * 3 * c.dim + 7] = 1.0F;
      TestMatrix read(1, c.width());
      kernels.lightning_attention(test.context, next.view(), Decays(3),
                                  {std::vector<int64_t>{0, 1}, std::vector<int64_t>{tokens}},
                                  memories, read.view());
      const double query = 1 / (1 + std::exp(-1.0));  // silu(1)
      for (int64_t h = 0; h < c.heads; ++h) {
        const double keep = std::exp(-double{Decays(3)[static_cast<size_t>(h)]});
        std::vector<float> expected;
        const float* row = state.view().row(h * c.dim + 7);
        for (int64_t e = 0; e < c.dim; ++e) {
          expected.push_back(static_cast<float>(query * keep * double{row[e]}));
        }
        const float* from = read.view().row(0) + h * c.dim;
        EXPECT_TRUE(NearRelativeToLargest({from, from + c.dim}, expected, 1e-5))
            << kernels.name << " head " << h << " after " << tokens;
      }
    }
  }
}

// Relative to each value itself, which a comparison with the largest cannot see: of one token and
// one dimension, out = silu(q) silu(k) silu(v).
TEST(LightningAttention, SiluIsAccurateWhereItIsSmall) {
  const auto silu = [](double x) { return x / (1.0 + std::exp(-x)); };
  for (const Kernels& kernels : AllKernels()) {
    TestContext test;
    for (const float value : {-30.0F, -5.0F, -1e-3F, 0.0F, 1e-6F, 1.0F, 50.0F, 1e4F}) {
      for (int64_t part = 0; part < 3; ++part) {
        std::vector<float> qkv(3, 1.0F);
        qkv[static_cast<size_t>(part)] = value;
        float out = NAN;
        kernels.lightning_attention(test.context, {qkv.data(), 1, 3}, Decays(1),
                                    {std::vector<int64_t>{0, 1}, {}}, std::vector<float*>(1),
                                    {&out, 1, 1});
        const double expected = silu(double{value}) * silu(1.0) * silu(1.0);
        EXPECT_NEAR(out, expected, 2e-6 * std::abs(expected)) << kernels.name << " " << value;
      }
    }
  }
}

}  // namespace
}  // namespace fulmen
