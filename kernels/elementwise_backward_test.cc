#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <span>

#include "kernels/elementwise.h"
#include "kernels/testing/kernels.h"
#include "kernels/testing/test_weight.h"
#include "kernels/testing/training_kernels.h"

namespace fulmen {
namespace {

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

double Largest(const std::vector<float>& values) {
  double largest = 0;
  for (const float value : values) largest = std::max(largest, std::abs(double{value}));
  return largest;
}

// What NearRelativeToLargest is to allow where no element errs by more than `error`.
double Tolerance(double error, const std::vector<float>& expected) {
  return expected.empty() ? 0 : error / Largest(expected);
}

struct NormCase {
  int64_t rows, cols;
  DType type;

  std::string Name() const { return fmt::format("[{}, {}] {}", rows, cols, DTypeName(type)); }
};

struct NormAnswer {
  std::vector<float> dx;
  std::vector<float> dweight;
};

struct GatedNormAnswer : NormAnswer {
  std::vector<float> dgate, out;
};

// Values whose exponentials underflow and overflow are among them.
std::vector<float> WideValues(int64_t count, uint64_t seed) {
  std::vector<float> values = RandomNormal(count, seed, 3.0F);
  for (size_t i = 0; i < values.size(); i += 5) values[i] *= 40.0F;
  return values;
}

// Exp errs by 1 ulp, 2 * 2^-24, and four roundings follow until a sigmoid or its complement.
constexpr int64_t kSigmoidRoundings = 6;

class Norm {
 public:
  static constexpr float kEpsilon = 1e-2F;  // large enough to matter

  explicit Norm(const NormCase& c, bool gated = false)
      : case_(c),
        gated_(gated),
        x_(RandomNormal(c.rows * c.cols, 1, 2.0F)),
        dy_(RandomNormal(c.rows * c.cols, 2)),
        gates_(WideValues(c.rows * c.cols, 5)),
        before_(RandomNormal(c.cols, 3)),
        weight_(1, c.cols, c.type, 4) {}

  enum class Into { kNew, kGradient, kSkip };

  // The gradient of the output is dy_; with a skip connection, half of it comes there, exactly.
  NormAnswer Backward(const TrainingKernels& kernels, int threads, bool has_skip, Into into) const {
    TestContext test(threads);
    TestMatrix x(case_.rows, case_.cols, 3, x_);
    std::vector<float> half = dy_;
    for (float& value : half) value /= 2;
    TestMatrix dy(case_.rows, case_.cols, 1, has_skip ? half : dy_);
    for (float& value : half) value *= 4;
    TestMatrix skip_gradient(case_.rows, case_.cols, 4, half);
    TestMatrix dx(case_.rows, case_.cols, 2);
    TestMatrix& to = into == Into::kNew ? dx : into == Into::kGradient ? dy : skip_gradient;
    std::vector<float> dweight = before_;
    const SkipConnection skip =
        has_skip ? SkipConnection{0.25F, skip_gradient.view()} : SkipConnection{};
    kernels.rms_norm_backward(test.context, x.view(), weight_.view(), kEpsilon, dy.view(), skip,
                              to.view(), dweight);
    return {to.Values(), dweight};
  }

  GatedNormAnswer GatedBackward(const TrainingKernels& kernels, int threads) const {
    TestContext test(threads);
    TestMatrix x(case_.rows, case_.cols, 1, x_);
    TestMatrix gate(case_.rows, case_.cols, 3, gates_);
    TestMatrix dy(case_.rows, case_.cols, 2, dy_);
    TestMatrix dgate(case_.rows, case_.cols, 4);
    TestMatrix out(case_.rows, case_.cols, 5);
    std::vector<float> dweight = before_;
    kernels.gated_rms_norm_backward(test.context, x.view(), weight_.view(), kEpsilon, gate.view(),
                                    dy.view(), dgate.view(), out.view(), dweight);
    return {{dy.Values(), dweight}, dgate.Values(), out.Values()};
  }

  // The largest error a kernel may make. Where a sum of n terms errs by gamma_n times that of their
  // magnitudes, so does a root by half of it, and a product by the sum of its factors'.
  double InputError() const {
    double largest = 0;
    ForRows([&](int64_t t, double scale, double mean_product) {
      for (int64_t c = 0; c < case_.cols; ++c) {
        const double direct = std::abs(double{weight_.at(0, c)} * Dy(t, c));
        const double shared = std::abs(X(t, c)) * scale * scale * mean_product;
        largest = std::max(largest, scale * (direct + shared));
      }
    });
    return largest * SumErrorBound(3 * case_.cols + 10 + 2 * GateRoundings());
  }
  double WeightError() const {
    std::vector<double> sums(before_.size());
    std::transform(before_.begin(), before_.end(), sums.begin(),
                   [](float value) { return std::abs(double{value}); });
    ForRows([&](int64_t t, double scale, double) {
      for (int64_t c = 0; c < case_.cols; ++c) {
        sums[static_cast<size_t>(c)] += std::abs(Dy(t, c) * X(t, c)) * scale;
      }
    });
    return *std::max_element(sums.begin(), sums.end()) *
           SumErrorBound(case_.rows + case_.cols + 10 + GateRoundings());
  }

 private:
  double X(int64_t t, int64_t c) const {
    return double{x_[static_cast<size_t>(t * case_.cols + c)]};
  }
  // Of the norm's output.
  double Dy(int64_t t, int64_t c) const {
    const auto i = static_cast<size_t>(t * case_.cols + c);
    return gated_ ? double{dy_[i]} / (1 + std::exp(-double{gates_[i]})) : double{dy_[i]};
  }
  int64_t GateRoundings() const { return gated_ ? kSigmoidRoundings : 0; }
  // body(row, 1 / root, mean |x weight dy|)
  template <class Body>
  void ForRows(const Body& body) const {
    const auto width = static_cast<double>(case_.cols);
    for (int64_t t = 0; t < case_.rows; ++t) {
      double squares = 0;
      double products = 0;
      for (int64_t c = 0; c < case_.cols; ++c) {
        squares += X(t, c) * X(t, c);
        products += std::abs(X(t, c) * double{weight_.at(0, c)} * Dy(t, c));
      }
      body(t, 1 / std::sqrt(squares / width + double{kEpsilon}), products / width);
    }
  }

  NormCase case_;
  bool gated_;
  std::vector<float> x_, dy_, gates_, before_;
  TestWeight weight_;
};

TEST(RmsNormBackward, MatchesReferenceWithAnyThreads) {
  for (const auto& [rows, cols] : kShapes) {
    for (const DType type : {DType::kF32, DType::kF16, DType::kBF16}) {
      const NormCase c = {rows, cols, type};
      const Norm norm(c);
      using Into = Norm::Into;
      const NormAnswer expected = norm.Backward(RefTrainingKernels(), 1, false, Into::kNew);
      const NormAnswer skip_gradient = norm.Backward(RefTrainingKernels(), 1, true, Into::kNew);
      EXPECT_TRUE(SameBits(skip_gradient.dx, expected.dx) &&
                  SameBits(skip_gradient.dweight, expected.dweight));
      for (const auto& [target, kernels] : CpuTrainingKernelsOfAllTargets()) {
        SCOPED_TRACE(target + " " + c.Name());
        const NormAnswer one = norm.Backward(kernels, 1, false, Into::kNew);
        EXPECT_TRUE(
            NearRelativeToLargest(one.dx, expected.dx, Tolerance(norm.InputError(), expected.dx)));
        EXPECT_TRUE(NearRelativeToLargest(one.dweight, expected.dweight,
                                          Tolerance(norm.WeightError(), expected.dweight)));
        for (const int threads : {2, 4}) {
          for (const bool has_skip : {false, true}) {
            for (const Into into : {Into::kNew, Into::kGradient, Into::kSkip}) {
              if (into == Into::kSkip && !has_skip) continue;
              const NormAnswer many = norm.Backward(kernels, threads, has_skip, into);
              EXPECT_TRUE(SameBits(many.dx, one.dx)) << threads << " threads";
              EXPECT_TRUE(SameBits(many.dweight, one.dweight)) << threads << " threads";
            }
          }
        }
      }
    }
  }
}

TEST(GatedRmsNormBackward, MatchesReferenceWithAnyThreads) {
  for (const auto& [rows, cols] : kShapes) {
    for (const DType type : {DType::kF32, DType::kF16, DType::kBF16}) {
      const NormCase c = {rows, cols, type};
      const Norm norm(c, /*gated=*/true);
      const GatedNormAnswer expected = norm.GatedBackward(RefTrainingKernels(), 1);
      // Nothing but products of a root, a sigmoid and at most its complement.
      const double products = SumErrorBound(cols / 2 + 8 + 2 * kSigmoidRoundings);
      for (const auto& [target, kernels] : CpuTrainingKernelsOfAllTargets()) {
        SCOPED_TRACE(target + " " + c.Name());
        const GatedNormAnswer one = norm.GatedBackward(kernels, 1);
        EXPECT_TRUE(NearRelativeToLargest(one.out, expected.out, products));
        EXPECT_TRUE(NearRelativeToLargest(one.dgate, expected.dgate, products));
        EXPECT_TRUE(
            NearRelativeToLargest(one.dx, expected.dx, Tolerance(norm.InputError(), expected.dx)));
        EXPECT_TRUE(NearRelativeToLargest(one.dweight, expected.dweight,
                                          Tolerance(norm.WeightError(), expected.dweight)));
        for (const int threads : {2, 4}) {
          const GatedNormAnswer many = norm.GatedBackward(kernels, threads);
          EXPECT_TRUE(SameBits(many.dx, one.dx) && SameBits(many.dgate, one.dgate) &&
                      SameBits(many.out, one.out) && SameBits(many.dweight, one.dweight))
              << threads << " threads";
        }
      }
    }
  }
}

// Relative to each value itself, which a comparison with the largest cannot see: of a norm that
// gives 1, dgate is sigmoid (1 - sigmoid). Down to where it is subnormal and known to a few units.
TEST(GatedRmsNormBackward, SlopesAreAccurateWhereTheyAreSmall) {
  std::vector<std::pair<std::string, TrainingKernels>> all = CpuTrainingKernelsOfAllTargets();
  all.emplace_back("ref", RefTrainingKernels());
  const std::vector<float> magnitudes = {0.0F,  1.0F,  12.0F, 30.0F,  80.0F,
                                         87.5F, 88.5F, 95.0F, 103.0F, 1e4F};
  for (const auto& [target, kernels] : all) {
    for (const float magnitude : magnitudes) {
      for (const int64_t width : {1, 37}) {  // a part of a vector, and more than one
        TestContext test;
        const auto row = [width](float value) {
          return TestMatrix(1, width, 0, std::vector<float>(static_cast<size_t>(width), value));
        };
        TestMatrix x = row(1.0F);
        TestMatrix gate = row(magnitude);
        for (int64_t c = 0; c < width; c += 2) gate.view().data[c] = -magnitude;
        TestMatrix dy = row(1.0F);
        TestMatrix dgate = row(0.0F);
        TestMatrix out = row(0.0F);
        const TestMatrix weight = row(1.0F);
        std::vector<float> dweight(static_cast<size_t>(width));
        const std::vector<float> ones = weight.Values();
        kernels.gated_rms_norm_backward(test.context, x.view(),
                                        {ones.data(), DType::kF32, 1, width}, 0.0F, gate.view(),
                                        dy.view(), dgate.view(), out.view(), dweight);
        const double power = std::exp(-double{magnitude});
        const double expected = power / (1 + power) / (1 + power);
        for (const float slope : dgate.Values()) {
          EXPECT_NEAR(slope, expected, 2e-6 * expected + 3 * 0x1p-149) << target << magnitude;
        }
      }
    }
  }
}

// The order of the additions is given, so there is nothing to differ in.
TEST(EmbeddingBackward, HasTheBitsOfTheReference) {
  constexpr int64_t kVocabulary = 7;
  for (const int64_t tokens : {0, 1, 40, 500}) {
    for (const int64_t width : {1, 3, 16, 50, 129}) {
      std::vector<int32_t> ids;
      for (int64_t t = 0; t < tokens; ++t) {
        ids.push_back(static_cast<int32_t>(t * t % kVocabulary));  // 3, 5 and 6 never appear
      }
      const std::vector<float> gradients = RandomNormal(tokens * width, 1);
      const std::vector<float> before = RandomNormal(kVocabulary * width, 2);
      const auto run = [&](const TrainingKernels& kernels, int threads) {
        TestContext test(threads);
        TestMatrix dy(tokens, width, 2, gradients);
        TestMatrix dtable(kVocabulary, width, 3, before);
        kernels.embedding_backward(test.context, ids, dy.view(), dtable.view());
        return dtable.Values();
      };
      const std::vector<float> expected = run(RefTrainingKernels(), 1);
      for (const auto& [target, kernels] : CpuTrainingKernelsOfAllTargets()) {
        for (const int threads : {1, 2, 4}) {
          EXPECT_TRUE(SameBits(run(kernels, threads), expected))
              << target << " " << tokens << " tokens of width " << width;
        }
      }
    }
  }
}

}  // namespace
}  // namespace fulmen
