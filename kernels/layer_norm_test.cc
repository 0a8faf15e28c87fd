#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "kernels/elementwise.h"
#include "kernels/testing/kernels.h"
#include "kernels/testing/test_weight.h"
#include "kernels/testing/training_kernels.h"

namespace fulmen {
namespace {

using testing::CpuKernelsOfAllTargets;
using testing::CpuTrainingKernelsOfAllTargets;
using testing::NearRelativeToLargest;
using testing::RandomNormal;
using testing::SameBits;
using testing::SumErrorBound;
using testing::TestContext;
using testing::TestMatrix;
using testing::TestWeight;

// Rows and columns: ragged, one token, and more than one task's worth.
const std::vector<std::pair<int64_t, int64_t>> kShapes = {
    {0, 5}, {1, 1}, {1, 3}, {3, 16}, {2, 37}, {70, 100}, {1, 20011}, {300, 129}};

TEST(LayerNorm, OfKnownValues) {
  std::vector<Kernels> all = CpuKernelsOfAllTargets();
  all.push_back(RefKernels());
  // (1, 3, 5, 7) has the mean 4 and the variance 5; with an epsilon of 4 its root is 3.
  const TestWeight weight(1, 4, DType::kBF16, std::vector<float>{1.0F, 2.0F, 3.0F, -1.0F});
  const TestWeight bias(1, 4, DType::kF16, std::vector<float>{0.5F, 0.0F, 0.0F, 1.0F});
  for (const Kernels& kernels : all) {
    TestContext test;
    // The same values far from 0: their mean must not swallow the variance.
    TestMatrix x(2, 4, 1, {1.0F, 3.0F, 5.0F, 7.0F, 65537.0F, 65539.0F, 65541.0F, 65543.0F});
    TestMatrix out(2, 4);
    kernels.layer_norm(test.context, x.view(), weight.view(), bias.view(), 4.0F, out.view());
    EXPECT_TRUE(NearRelativeToLargest(
        out.Values(),
        std::vector<float>{-0.5F, -2 / 3.0F, 1.0F, 0.0F, -0.5F, -2 / 3.0F, 1.0F, 0.0F}, 2e-7))
        << kernels.name;
  }
}

TEST(LayerNorm, MatchesReference) {
  for (const auto& [rows, cols] : kShapes) {
    for (const DType type : {DType::kF32, DType::kF16, DType::kBF16}) {
      const TestWeight weight(1, cols, type, 2);
      const TestWeight bias(1, cols, type, 3);
      const std::vector<float> values = RandomNormal(rows * cols, 4, 4.0F);
      TestContext one;
      TestMatrix expected(rows, cols, 0, values);
      RefKernels().layer_norm(one.context, expected.view(), weight.view(), bias.view(), 1e-5F,
                              expected.view());
      for (const Kernels& kernels : CpuKernelsOfAllTargets()) {
        std::vector<float> first;
        for (const int threads : {1, 2, 3}) {
          TestContext test(threads);
          TestMatrix x(rows, cols, 3, values);
          TestMatrix out(rows, cols, 1);
          const auto run = [&](Matrix to) {
            kernels.layer_norm(test.context, x.view(), weight.view(), bias.view(), 1e-5F, to);
          };
          run(out.view());
          // Two sums of `cols`, the second halved by the root, and some roundings.
          EXPECT_TRUE(
              NearRelativeToLargest(out.Values(), expected.Values(), SumErrorBound(2 * cols + 10)))
              << kernels.name << " [" << rows << ", " << cols << "]";
          if (threads == 1) first = out.Values();
          EXPECT_TRUE(SameBits(out.Values(), first));
          run(x.view());
          EXPECT_TRUE(SameBits(x.Values(), first)) << "in place";
        }
      }
    }
  }
}

struct Answer {
  std::vector<float> dx, dweight, dbias;
};

bool SameAnswer(const Answer& a, const Answer& b) {
  return SameBits(a.dx, b.dx) && SameBits(a.dweight, b.dweight) && SameBits(a.dbias, b.dbias);
}

double LargestDifference(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(a.size(), b.size());
  double largest = 0;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    EXPECT_TRUE(std::isfinite(a[i]));
    largest = std::max(largest, std::abs(double{a[i]} - double{b[i]}));
  }
  return largest;
}

class Backward {
 public:
  static constexpr float kEpsilon = 1e-2F;  // large enough to matter
  enum class Into { kNew, kGradient, kSkip };

  Backward(int64_t rows, int64_t cols, DType type)
      : rows_(rows), cols_(cols), weight_(1, cols, type, 1) {}

  Answer Run(const TrainingKernels& kernels, int threads, bool has_skip, Into into) const {
    TestContext test(threads);
    TestMatrix x(rows_, cols_, 3, x_);
    TestMatrix dy(rows_, cols_, 1, dy_);
    TestMatrix skip(rows_, cols_, 4, skip_);
    TestMatrix dx(rows_, cols_, 2);
    TestMatrix& to = into == Into::kNew ? dx : into == Into::kGradient ? dy : skip;
    std::vector<float> dweight = before_;
    std::vector<float> dbias = before_;
    kernels.layer_norm_backward(test.context, x.view(), weight_.view(), kEpsilon, dy.view(),
                                has_skip ? skip.view() : Matrix(), to.view(), dweight, dbias);
    return {to.Values(), dweight, dbias};
  }

  // The largest errors a kernel may make, where a sum of n terms errs by gamma_n of their
  // magnitudes, a root by half of that, and a product by the sum of its factors'. x has a deviation
  // of 2 and a mean of about 0, so the error of the mean moves a normalised value by 1 of those.
  Answer Errors() const {
    double input = 0;
    std::vector<double> weights(before_.size());
    std::vector<double> biases(before_.size());
    for (int64_t t = 0; t < rows_; ++t) {
      double gradients = 0;
      for (int64_t c = 0; c < cols_; ++c) {
        gradients += std::abs(Gradient(t, c)) * Normalised(t, c) / static_cast<double>(cols_);
      }
      for (int64_t c = 0; c < cols_; ++c) {
        const auto i = static_cast<size_t>(c);
        const double shared = gradients * (1 + Normalised(t, c));
        input = std::max(input, Scale(t) * (std::abs(Gradient(t, c)) + shared) +
                                    std::abs(double{skip_[Index(t, c)]}));
        weights[i] += std::abs(double{dy_[Index(t, c)]}) * Normalised(t, c);
        biases[i] += std::abs(double{dy_[Index(t, c)]});
      }
    }
    for (size_t i = 0; i < before_.size(); ++i) {
      weights[i] += std::abs(double{before_[i]});
      biases[i] += std::abs(double{before_[i]});
    }
    const auto bound = [&](double magnitude, int64_t terms) {
      return std::vector<float>{static_cast<float>(magnitude * SumErrorBound(terms))};
    };
    return {bound(input, 4 * cols_ + 20), bound(std::ranges::max(weights), rows_ + 2 * cols_ + 20),
            bound(std::ranges::max(biases), rows_ + 2)};
  }

 private:
  size_t Index(int64_t t, int64_t c) const { return static_cast<size_t>(t * cols_ + c); }
  double Gradient(int64_t t, int64_t c) const {
    return double{weight_.at(0, c)} * double{dy_[Index(t, c)]};
  }
  double Mean(int64_t t) const {
    double mean = 0;
    for (int64_t c = 0; c < cols_; ++c) mean += x_[Index(t, c)] / static_cast<double>(cols_);
    return mean;
  }
  double Scale(int64_t t) const { return scales_[static_cast<size_t>(t)]; }
  // The magnitude that errors of a normalised value are relative to.
  double Normalised(int64_t t, int64_t c) const {
    return (std::abs(double{x_[Index(t, c)]}) + magnitudes_[static_cast<size_t>(t)]) * Scale(t);
  }
  std::vector<double> Magnitudes() const {
    std::vector<double> magnitudes;
    for (int64_t t = 0; t < rows_; ++t) {
      double sum = 0;
      for (int64_t c = 0; c < cols_; ++c) sum += std::abs(double{x_[Index(t, c)]});
      magnitudes.push_back(sum / static_cast<double>(cols_));
    }
    return magnitudes;
  }
  std::vector<double> Scales() const {
    std::vector<double> scales;
    for (int64_t t = 0; t < rows_; ++t) {
      double variance = 0;
      const double mean = Mean(t);
      for (int64_t c = 0; c < cols_; ++c) {
        variance += std::pow(x_[Index(t, c)] - mean, 2) / static_cast<double>(cols_);
      }
      scales.push_back(1 / std::sqrt(variance + double{kEpsilon}));
    }
    return scales;
  }

  int64_t rows_;
  int64_t cols_;
  TestWeight weight_;
  std::vector<float> x_ = RandomNormal(rows_ * cols_, 2, 2.0F);
  std::vector<float> dy_ = RandomNormal(rows_ * cols_, 3);
  std::vector<float> skip_ = RandomNormal(rows_ * cols_, 4);
  std::vector<float> before_ = RandomNormal(cols_, 5);
  std::vector<double> magnitudes_ = Magnitudes();  // the mean of |x|, by row
  std::vector<double> scales_ = Scales();
};

TEST(LayerNormBackward, MatchesReference) {
  using Into = Backward::Into;
  for (const auto& [rows, cols] : kShapes) {
    for (const DType type : {DType::kF32, DType::kF16, DType::kBF16}) {
      const Backward problem(rows, cols, type);
      const Answer errors = problem.Errors();
      for (const bool has_skip : {false, true}) {
        const Answer expected = problem.Run(RefTrainingKernels(), 1, has_skip, Into::kNew);
        for (const auto& [target, kernels] : CpuTrainingKernelsOfAllTargets()) {
          SCOPED_TRACE(fmt::format("{} [{}, {}] {}", target, rows, cols, DTypeName(type)));
          const Answer answer = problem.Run(kernels, 1, has_skip, Into::kNew);
          EXPECT_LE(LargestDifference(answer.dx, expected.dx), errors.dx[0]);
          EXPECT_LE(LargestDifference(answer.dweight, expected.dweight), errors.dweight[0]);
          EXPECT_LE(LargestDifference(answer.dbias, expected.dbias), errors.dbias[0]);
          for (const int threads : {2, 3}) {
            EXPECT_TRUE(SameAnswer(problem.Run(kernels, threads, has_skip, Into::kNew), answer));
          }
          EXPECT_TRUE(SameAnswer(problem.Run(kernels, 2, has_skip, Into::kGradient), answer));
          if (!has_skip) continue;
          EXPECT_TRUE(SameAnswer(problem.Run(kernels, 2, has_skip, Into::kSkip), answer));
        }
      }
    }
  }
}

}  // namespace
}  // namespace fulmen
