#include "kernels/moe.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <deque>
#include <random>

#include "kernels/testing/kernels.h"
#include "kernels/testing/test_weight.h"

namespace fulmen {
namespace {

using testing::CpuKernelsOfAllTargets;
using testing::RandomNormal;
using testing::SameBits;
using testing::SumErrorBound;
using testing::TestContext;
using testing::TestMatrix;
using testing::TestWeight;

constexpr double kEpsilon = 0x1p-24;

class Problem {
 public:
  Problem(int64_t tokens, int64_t width, int64_t ffn, int64_t experts, int64_t chosen, DType type)
      : Problem(tokens, width, ffn, experts, chosen, type, type, type) {}
  Problem(int64_t tokens, int64_t width, int64_t ffn, int64_t experts, int64_t chosen,
          DType gate_type, DType up_type, DType down_type)
      : tokens_(tokens),
        chosen_(chosen),
        x_(tokens, width, 0, RandomNormal(tokens * width, 1)),
        weights_(tokens, chosen, 0, RandomNormal(tokens * chosen, 2)) {
    const float deviation = 1.0F / std::sqrt(static_cast<float>(width));
    for (int64_t e = 0; e < experts; ++e) {
      const auto seed = static_cast<uint64_t>(10 + 3 * e);
      tensors_.emplace_back(ffn, width, gate_type, seed, deviation);
      tensors_.emplace_back(ffn, width, up_type, seed + 1, deviation);
      tensors_.emplace_back(width, ffn, down_type, seed + 2, deviation);
      const size_t last = tensors_.size();
      for (size_t i = last - 3; i < last; ++i) values_.emplace_back(tensors_[i].view());
      experts_.push_back(
          {tensors_[last - 3].view(), tensors_[last - 2].view(), tensors_[last - 1].view()});
    }
    std::mt19937_64 random(3);
    for (int64_t i = 0; i < tokens * chosen; ++i) {
      // Distinct experts per token, unevenly liked.
      const auto first = static_cast<int64_t>(random() % static_cast<uint64_t>(experts));
      choice_.push_back(static_cast<int32_t>(i % chosen == 0 ? first * first / experts
                                                             : (choice_.back() + 1) % experts));
    }
  }

  std::vector<float> Run(MoeFn moe, TestContext& context, int64_t first, int64_t count,
                         int64_t gap = 0) {
    TestMatrix out(count, x_.view().cols, gap);
    const MatrixView<const int32_t> choice(choice_.data(), tokens_, chosen_);
    moe(context.context, x_.view().Rows(first, count), experts_, choice.Rows(first, count),
        weights_.view().Rows(first, count), {}, out.view());
    return out.Values();
  }
  std::vector<float> Run(MoeFn moe, TestContext& context) {
    return Run(moe, context, 0, tokens_, 3);
  }

  // Compares with sums in double; the bound carries each stage's float32 error through the next.
  void ExpectNearDouble(const std::vector<float>& actual) {
    const int64_t width = x_.view().cols;
    for (int64_t t = 0; t < tokens_; ++t) {
      std::vector<double> sum(static_cast<size_t>(width));
      std::vector<double> bound(static_cast<size_t>(width));
      for (int64_t s = 0; s < chosen_; ++s) AddSlot(t, s, sum, bound);
      for (int64_t c = 0; c < width; ++c) {
        const auto i = static_cast<size_t>(c);
        const double found = actual[static_cast<size_t>(t * width + c)];
        if (!(std::abs(found - sum[i]) <= bound[i])) {
          ADD_FAILURE() << "token " << t << ", channel " << c << ": " << found << ", expected "
                        << sum[i] << " within " << bound[i];
          return;
        }
      }
    }
  }

 private:
  struct Bounded {
    double value;
    double error;
  };

  // A weight in double, with the minima its elements are counted from.
  struct Values {
    explicit Values(const WeightMatrix& weight)
        : values(Dequantize(weight)), minima(testing::Minima(weight)) {}
    std::vector<float> values;
    std::vector<float> minima;
  };

  // row . x, where x is known within x.error: the float32 sum and what it inherits. For quantized
  // weights x is off by half a step more, 1/254 of the largest in its block.
  static Bounded Dot(const WeightMatrix& weight, const Values& w, int64_t row,
                     const std::vector<Bounded>& x) {
    const auto block = static_cast<size_t>(FormatOf(weight.type).elements);
    double sum = 0;
    double magnitude = 0;
    double inherited = 0;
    double half_step = 0;
    for (size_t k = 0; k < x.size(); ++k) {
      if (IsQuantized(weight.type) && k % block == 0) {
        double largest = 0;
        for (size_t i = k; i < k + block; ++i) {
          largest = std::max(largest, std::abs(x[i].value) + x[i].error);
        }
        half_step = largest / 254 * (1 + 0x1p-15);
      }
      const size_t at = static_cast<size_t>(row) * x.size() + k;
      const double error = x[k].error + half_step;
      sum += double{w.values[at]} * x[k].value;
      magnitude +=
          (std::abs(w.values[at]) + 2 * std::abs(w.minima[at])) * (std::abs(x[k].value) + error);
      inherited += std::abs(w.values[at]) * error;
    }
    const auto terms = static_cast<int64_t>(x.size()) + 8;
    return {sum, inherited + SumErrorBound(terms) * magnitude};
  }

  void AddSlot(int64_t t, int64_t s, std::vector<double>& sum, std::vector<double>& bound) {
    const auto expert = static_cast<size_t>(choice_[static_cast<size_t>(t * chosen_ + s)]);
    std::vector<Bounded> x;
    for (int64_t c = 0; c < x_.view().cols; ++c) x.push_back({x_.view().row(t)[c], 0});
    std::vector<Bounded> hidden;
    for (int64_t f = 0; f < experts_[expert].gate.rows; ++f) {
      const Bounded gate = Dot(experts_[expert].gate, values_[3 * expert], f, x);
      const Bounded up = Dot(experts_[expert].up, values_[3 * expert + 1], f, x);
      const double silu = gate.value / (1 + std::exp(-gate.value));
      // |silu'| < 1.1; exp, sum, quotient and product are each off by an ulp or two.
      const double silu_error = 1.1 * gate.error + 8 * kEpsilon * std::abs(silu);
      hidden.push_back({silu * up.value, silu_error * (std::abs(up.value) + up.error) +
                                             std::abs(silu) * up.error +
                                             2 * kEpsilon * std::abs(silu * up.value)});
    }
    const double weight = weights_.view().row(t)[s];
    for (size_t c = 0; c < sum.size(); ++c) {
      const Bounded down =
          Dot(experts_[expert].down, values_[3 * expert + 2], static_cast<int64_t>(c), hidden);
      sum[c] += weight * down.value;
      bound[c] += std::abs(weight) * (down.error + static_cast<double>(chosen_ + 1) * 2 * kEpsilon *
                                                       (std::abs(down.value) + down.error));
    }
  }

  int64_t tokens_;
  int64_t chosen_;
  TestMatrix x_;
  TestMatrix weights_;
  std::vector<int32_t> choice_;
  std::deque<TestWeight> tensors_;  // gate, up, down of each expert
  std::deque<Values> values_;       // theirs
  std::vector<ExpertWeights> experts_;
};

TEST(Moe, MatchesTheReferenceOnRaggedShapes) {
  struct Shape {
    int64_t tokens, width, ffn, experts, chosen;
  };
  constexpr Shape kShapes[] = {{1, 75, 43, 5, 2}, {7, 16, 16, 3, 3},   {60, 75, 43, 5, 2},
                               {9, 5, 3, 1, 1},   {50, 70, 300, 2, 1}, {200, 33, 150, 4, 2}};
  TestContext context(2);
  for (const Shape& s : kShapes) {
    for (const DType type : {DType::kF32, DType::kF16, DType::kBF16}) {
      Problem problem(s.tokens, s.width, s.ffn, s.experts, s.chosen, type);
      problem.ExpectNearDouble(problem.Run(RefKernels().moe, context));
      for (const Kernels& kernels : CpuKernelsOfAllTargets()) {
        SCOPED_TRACE(fmt::format("{} tokens {} width {} ffn {} {}", kernels.name, s.tokens, s.width,
                                 s.ffn, DTypeName(type)));
        problem.ExpectNearDouble(problem.Run(kernels.moe, context));
      }
    }
  }
}

TEST(Moe, QuantizedExpertsMatchTheReference) {
  struct Mix {
    DType gate, up, down;
  };
  TestContext context(2);
  for (const Mix& mix : {Mix{DType::kQ4_K, DType::kQ4_K, DType::kQ6_K},
                         Mix{DType::kQ8_0, DType::kQ8_0, DType::kQ8_0},
                         Mix{DType::kQ2_K, DType::kQ5_1, DType::kIQ4_NL},
                         Mix{DType::kQ3_K, DType::kIQ4_XS, DType::kBF16},
                         Mix{DType::kF32, DType::kQ5_K, DType::kQ4_0}}) {
    Problem problem(20, 512, 256, 3, 2, mix.gate, mix.up, mix.down);
    problem.ExpectNearDouble(problem.Run(RefKernels().moe, context));
    for (const Kernels& kernels : CpuKernelsOfAllTargets()) {
      SCOPED_TRACE(fmt::format("{} {} {} {}", kernels.name, DTypeName(mix.gate), DTypeName(mix.up),
                               DTypeName(mix.down)));
      problem.ExpectNearDouble(problem.Run(kernels.moe, context));
    }
  }
}

TEST(Moe, ExtensionsOfASetGiveItsBits) {
  for (const auto& [with, without] :
       {std::array{"AVX2_VNNI", "AVX2"}, std::array{"AVX3_AMX", "AVX3_DL"},
        std::array{"NEON_DOTPROD", "NEON"}}) {
    const Result<Kernels> extended = cpu::KernelsFor(with);
    if (!extended) continue;
    const Result<Kernels> plain = cpu::KernelsFor(without);
    ASSERT_TRUE(plain);
    EXPECT_NE(extended->moe, plain->moe);
    TestContext context;
    for (const DType type : {DType::kQ4_K, DType::kQ8_0, DType::kIQ4_XS}) {
      for (const int64_t tokens : {20, 90}) {
        Problem problem(tokens, 512, 256, 3, 2, type, DType::kQ6_K, type);
        EXPECT_TRUE(SameBits(problem.Run(extended->moe, context), problem.Run(plain->moe, context)))
            << with << " " << DTypeName(type) << " " << tokens;
      }
    }
  }
}

class MoeBits : public ::testing::TestWithParam<DType> {};

TEST_P(MoeBits, NeighboursThreadsAndChunksDoNotChangeThem) {
  constexpr int64_t kTokens = 330;
  const bool quantized = IsQuantized(GetParam());
  Problem problem(kTokens, quantized ? 256 : 50, quantized ? 768 : 37, 3, 2, GetParam());
  for (const Kernels& kernels : CpuKernelsOfAllTargets()) {
    TestContext one;
    const std::vector<float> expected = problem.Run(kernels.moe, one);
    for (const int threads : {1, 2, 3}) {
      TestContext context(threads, testing::TwoNodes());
      for (const int64_t chunk : {kTokens, int64_t{141}, int64_t{7}, int64_t{1}}) {
        std::vector<float> all;
        for (int64_t first = 0; first < kTokens; first += chunk) {
          const std::vector<float> part =
              problem.Run(kernels.moe, context, first, std::min(chunk, kTokens - first));
          all.insert(all.end(), part.begin(), part.end());
        }
        EXPECT_TRUE(SameBits(all, expected))
            << kernels.name << " threads " << threads << " chunk " << chunk;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Types, MoeBits,
                         ::testing::Values(DType::kBF16, DType::kQ4_K, DType::kQ8_0));

// Longer than what is worked on at once.
TEST(Moe, LongPromptsAgreeWithTheirPieces) {
  constexpr int64_t kTokens = 2100;
  Problem problem(kTokens, 18, 10, 3, 2, DType::kF32);
  TestContext context(2);
  const Kernels kernels = CpuKernelsOfAllTargets().front();
  const std::vector<float> expected = problem.Run(kernels.moe, context);
  std::vector<float> all;
  for (int64_t first = 0; first < kTokens; first += 300) {
    const std::vector<float> part = problem.Run(kernels.moe, context, first, 300);
    all.insert(all.end(), part.begin(), part.end());
  }
  EXPECT_TRUE(SameBits(all, expected));
}

}  // namespace
}  // namespace fulmen
