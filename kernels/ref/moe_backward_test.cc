#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <deque>

#include "kernels/ref/operations.h"
#include "kernels/ref/training_operations.h"
#include "kernels/testing/gradients.h"
#include "kernels/testing/kernels.h"
#include "kernels/testing/test_weight.h"

namespace fulmen {
namespace {

using testing::Dot;
using testing::GradientTolerance;
using testing::NearRelativeToLargest;
using testing::NumericGradient;
using testing::RandomNormal;
using testing::TestContext;
using testing::TestMatrix;
using testing::TestWeight;
using testing::Widened;

struct Case {
  int64_t tokens, width, ffn, experts, k;
  bool dropped;  // every third slot has no expert
  DType type;

  std::string Name() const {
    return fmt::format("T {} C {} ffn {} top {} of {} {}{}", tokens, width, ffn, k, experts,
                       DTypeName(type), dropped ? " dropped" : "");
  }
};

constexpr std::array<Case, 6> kCases = {{{1, 3, 2, 1, 1, false, DType::kF32},
                                         {1, 5, 7, 4, 2, true, DType::kF32},
                                         {6, 7, 5, 4, 2, false, DType::kF32},
                                         {7, 4, 9, 5, 3, true, DType::kBF16},
                                         {5, 3, 4, 3, 3, false, DType::kF16},
                                         {8, 5, 3, 3, 1, true, DType::kF32}}};

enum Part { kGate, kUp, kDown };

// The problem, the answer of ref, and the problem again in double.
class Problem {
 public:
  explicit Problem(const Case& c)
      : case_(c),
        x_(c.tokens, c.width, 2, RandomNormal(c.tokens * c.width, 1)),
        weights_(c.tokens, c.k, 1, RandomNormal(c.tokens * c.k, 2)),
        dout_(c.tokens, c.width, 3, RandomNormal(c.tokens * c.width, 3)),
        kept_gate_(c.tokens * c.k, c.ffn, 1),
        kept_up_(c.tokens * c.k, c.ffn, 2),
        x64_(Widened(x_.Values())),
        weights64_(Widened(weights_.Values())) {
    for (int64_t e = 0; e < c.experts; ++e) {
      for (const Part part : {kGate, kUp, kDown}) {
        const int64_t rows = part == kDown ? c.width : c.ffn;
        const int64_t cols = part == kDown ? c.ffn : c.width;
        const auto seed = static_cast<uint64_t>(10 + 3 * e + part);
        tensors_.emplace_back(rows, cols, c.type, seed);
        before_.push_back(RandomNormal(rows * cols, 100 + seed));
        gradients_.emplace_back(rows, cols, 2, before_.back());
        tensors64_.emplace_back();
        for (int64_t i = 0; i < rows * cols; ++i) {
          tensors64_.back().push_back(tensors_.back().at(i / cols, i % cols));
        }
      }
      const size_t first = tensors_.size() - 3;
      expert_weights_.push_back(
          {tensors_[first].view(), tensors_[first + 1].view(), tensors_[first + 2].view()});
      expert_gradients_.push_back(
          {gradients_[first].view(), gradients_[first + 1].view(), gradients_[first + 2].view()});
    }
    for (int64_t i = 0; i < c.tokens * c.k; ++i) {
      // Distinct experts per token; the last expert of several is chosen by few.
      const int64_t t = i / c.k;
      const auto expert = static_cast<int32_t>((t * t + i % c.k) % c.experts);
      choice_.push_back(c.dropped && i % 3 == 1 ? -1 : expert);
    }
  }

  MatrixView<const int32_t> experts() const { return {choice_.data(), case_.tokens, case_.k}; }
  MoeActivations kept() { return {kept_gate_.view(), kept_up_.view()}; }

  std::vector<float> RunForward() {
    TestMatrix out(case_.tokens, case_.width, 4);
    ref::Moe<Precision::kFloat32>(test_.context, x_.view(), expert_weights_, experts(),
                                  weights_.view(), kept(), out.view());
    return out.Values();
  }

  // The forward pass of inference, which knows no dropped slots.
  std::vector<double> Forward64() const {
    std::vector<double> out(x64_.size());
    for (size_t i = 0; i < choice_.size(); ++i) {
      if (choice_[i] < 0) continue;
      const double* x = &x64_[i / static_cast<size_t>(case_.k) * static_cast<size_t>(case_.width)];
      double* y = &out[i / static_cast<size_t>(case_.k) * static_cast<size_t>(case_.width)];
      const auto first = 3 * static_cast<size_t>(choice_[i]);
      for (int64_t f = 0; f < case_.ffn; ++f) {
        double gate = 0;
        double up = 0;
        for (int64_t c = 0; c < case_.width; ++c) {
          const auto j = static_cast<size_t>(f * case_.width + c);
          gate += tensors64_[first][j] * x[c];
          up += tensors64_[first + 1][j] * x[c];
        }
        const double hidden = weights64_[i] * gate / (1 + std::exp(-gate)) * up;
        for (int64_t c = 0; c < case_.width; ++c) {
          y[c] += hidden * tensors64_[first + 2][static_cast<size_t>(c * case_.ffn + f)];
        }
      }
    }
    return out;
  }

  void CheckBackward() {
    TestMatrix dx(case_.tokens, case_.width, 1);
    TestMatrix dweights(case_.tokens, case_.k, 2);
    ref::MoeBackward<Precision::kFloat32>(test_.context, x_.view(), expert_weights_, experts(),
                                          weights_.view(), kept(), dout_.view(), dx.view(),
                                          dweights.view(), expert_gradients_);
    const std::vector<float> dout = dout_.Values();
    const auto loss = [&] { return Dot(Forward64(), dout); };
    ExpectNear("dx", dx.Values(), NumericGradient(x64_, loss));
    ExpectNear("dweights", dweights.Values(), NumericGradient(weights64_, loss));
    for (size_t i = 0; i < gradients_.size(); ++i) {
      ExpectNear(fmt::format("tensor {}", i), gradients_[i].Values(),
                 NumericGradient(tensors64_[i], loss, before_[i]));
    }
  }

  // The longest chain of float32 values has 6 roundings: up or gate, hidden, its gradient twice,
  // the product with a weight, the sum of two. Each passes through sums of at most `terms` terms,
  // which add up to no more than `terms` times the largest result.
  void ExpectNear(const std::string& what, const std::vector<float>& actual,
                  const std::vector<float>& expected) const {
    const auto terms = static_cast<double>(std::max(case_.width, case_.ffn));
    EXPECT_TRUE(NearRelativeToLargest(actual, expected, GradientTolerance(6 * terms))) << what;
  }

 private:
  Case case_;
  TestContext test_;
  TestMatrix x_;
  TestMatrix weights_;
  TestMatrix dout_;
  TestMatrix kept_gate_;
  TestMatrix kept_up_;
  std::vector<double> x64_;
  std::vector<double> weights64_;
  std::deque<TestWeight> tensors_;  // gate, up, down of each expert in turn, as all below
  std::deque<TestMatrix> gradients_;
  std::vector<std::vector<float>> before_;
  std::vector<std::vector<double>> tensors64_;
  std::vector<ExpertWeights> expert_weights_;
  std::vector<ExpertGradients> expert_gradients_;
  std::vector<int32_t> choice_;
};

TEST(RefMoe, MatchesDouble) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.Name());
    Problem problem(c);
    const std::vector<double> expected = problem.Forward64();
    const std::vector<float> actual = problem.RunForward();
    problem.ExpectNear("out", actual, std::vector<float>(expected.begin(), expected.end()));
  }
}

TEST(RefMoeBackward, MatchesFiniteDifferences) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.Name());
    Problem problem(c);
    problem.RunForward();
    problem.CheckBackward();
  }
}

}  // namespace
}  // namespace fulmen
