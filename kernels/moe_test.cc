#include "kernels/moe.h"

#include <gtest/gtest.h>

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
      : tokens_(tokens),
        chosen_(chosen),
        x_(tokens, width, 0, RandomNormal(tokens * width, 1)),
        weights_(tokens, chosen, 0, RandomNormal(tokens * chosen, 2)) {
    const float deviation = 1.0F / std::sqrt(static_cast<float>(width));
    for (int64_t e = 0; e < experts; ++e) {
      const auto seed = static_cast<uint64_t>(10 + 3 * e);
      tensors_.emplace_back(ffn, width, type, seed, deviation);
      tensors_.emplace_back(ffn, width, type, seed + 1, deviation);
      tensors_.emplace_back(width, ffn, type, seed + 2, deviation);
      const size_t last = tensors_.size();
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

  // row . x, where x is known within x_error: the float32 sum and what it inherits.
  static Bounded Dot(const TestWeight& weight, int64_t row, const std::vector<Bounded>& x) {
    double sum = 0;
    double magnitude = 0;
    double inherited = 0;
    for (size_t k = 0; k < x.size(); ++k) {
      const double w = weight.at(row, static_cast<int64_t>(k));
      sum += w * x[k].value;
      magnitude += std::abs(w) * (std::abs(x[k].value) + x[k].error);
      inherited += std::abs(w) * x[k].error;
    }
    const auto terms = static_cast<int64_t>(x.size()) + 1;
    return {sum, inherited + SumErrorBound(terms) * magnitude};
  }

  void AddSlot(int64_t t, int64_t s, std::vector<double>& sum, std::vector<double>& bound) {
    const auto expert = static_cast<size_t>(choice_[static_cast<size_t>(t * chosen_ + s)]);
    std::vector<Bounded> x;
    for (int64_t c = 0; c < x_.view().cols; ++c) x.push_back({x_.view().row(t)[c], 0});
    std::vector<Bounded> hidden;
    for (int64_t f = 0; f < experts_[expert].gate.rows; ++f) {
      const Bounded gate = Dot(tensors_[3 * expert], f, x);
      const Bounded up = Dot(tensors_[3 * expert + 1], f, x);
      const double silu = gate.value / (1 + std::exp(-gate.value));
      // |silu'| < 1.1; exp, sum, quotient and product are each off by an ulp or two.
      const double silu_error = 1.1 * gate.error + 8 * kEpsilon * std::abs(silu);
      hidden.push_back({silu * up.value, silu_error * (std::abs(up.value) + up.error) +
                                             std::abs(silu) * up.error +
                                             2 * kEpsilon * std::abs(silu * up.value)});
    }
    const double weight = weights_.view().row(t)[s];
    for (size_t c = 0; c < sum.size(); ++c) {
      const Bounded down = Dot(tensors_[3 * expert + 2], static_cast<int64_t>(c), hidden);
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

TEST(Moe, NeighboursThreadsAndChunksDoNotChangeBits) {
  constexpr int64_t kTokens = 330;
  Problem problem(kTokens, 50, 37, 3, 2, DType::kBF16);
  for (const Kernels& kernels : CpuKernelsOfAllTargets()) {
    TestContext one;
    const std::vector<float> expected = problem.Run(kernels.moe, one);
    for (const int threads : {1, 2, 3}) {
      TestContext context(threads);
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
