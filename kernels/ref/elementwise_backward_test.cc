#include <gtest/gtest.h>

#include <array>
#include <cmath>

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

struct Shape2 {
  int64_t rows, cols;
};
constexpr std::array<Shape2, 4> kShapes = {{{1, 1}, {1, 9}, {5, 1}, {7, 13}}};

double Sigmoid(double x) { return 0.5 * (1 + std::tanh(x / 2)); }

std::vector<double> RmsNorm(const std::vector<double>& x, const std::vector<double>& weight,
                            double epsilon) {
  std::vector<double> out(x.size());
  const size_t width = weight.size();
  for (size_t first = 0; first < x.size(); first += width) {
    double squares = 0;
    for (size_t c = 0; c < width; ++c) squares += x[first + c] * x[first + c];
    const double root = std::sqrt(squares / static_cast<double>(width) + epsilon);
    for (size_t c = 0; c < width; ++c) out[first + c] = x[first + c] / root * weight[c];
  }
  return out;
}

void CheckRmsNorm(Shape2 shape, DType type, bool in_place) {
  SCOPED_TRACE(
      fmt::format("[{}, {}] {} in place {}", shape.rows, shape.cols, DTypeName(type), in_place));
  constexpr float kEpsilon = 1e-2F;  // large enough to matter
  const TestMatrix x(shape.rows, shape.cols, 2, RandomNormal(shape.rows * shape.cols, 1));
  const TestMatrix dy(shape.rows, shape.cols, 3, RandomNormal(shape.rows * shape.cols, 2));
  const TestWeight weight(1, shape.cols, type, 3);
  const std::vector<float> before = RandomNormal(shape.cols, 4);
  TestContext test;

  TestMatrix x_copy = x;
  TestMatrix dy_copy = dy;
  TestMatrix dx(shape.rows, shape.cols, 1);
  std::vector<float> dweight = before;
  const WeightMatrix& view = weight.view();
  ref::RmsNormBackward(test.context, x_copy.view(), view, kEpsilon, dy_copy.view(), {},
                       in_place ? dy_copy.view() : dx.view(), dweight);

  std::vector<double> x64 = Widened(x.Values());
  std::vector<double> weight64;
  for (int64_t c = 0; c < shape.cols; ++c) weight64.push_back(weight.at(0, c));
  const auto loss = [&] { return Dot(RmsNorm(x64, weight64, double{kEpsilon}), dy.Values()); };
  EXPECT_TRUE(NearRelativeToLargest((in_place ? dy_copy : dx).Values(), NumericGradient(x64, loss),
                                    GradientTolerance(1)));
  EXPECT_TRUE(NearRelativeToLargest(dweight, NumericGradient(weight64, loss, before),
                                    GradientTolerance(1)));
}

TEST(RefRmsNormBackward, MatchesFiniteDifferences) {
  for (const Shape2 shape : kShapes) {
    for (const DType type : {DType::kF32, DType::kF16, DType::kBF16}) {
      CheckRmsNorm(shape, type, /*in_place=*/false);
    }
    CheckRmsNorm(shape, DType::kF32, /*in_place=*/true);
  }
}

TEST(RefGatedRmsNormBackward, MatchesFiniteDifferences) {
  constexpr float kEpsilon = 1e-2F;
  for (const Shape2 shape : kShapes) {
    SCOPED_TRACE(fmt::format("[{}, {}]", shape.rows, shape.cols));
    const int64_t count = shape.rows * shape.cols;
    TestMatrix x(shape.rows, shape.cols, 1, RandomNormal(count, 1));
    TestMatrix gate(shape.rows, shape.cols, 2, RandomNormal(count, 2, 3));
    TestMatrix dy(shape.rows, shape.cols, 3, RandomNormal(count, 3));
    TestMatrix dgate(shape.rows, shape.cols, 4);
    TestMatrix out(shape.rows, shape.cols, 5);
    const TestWeight weight(1, shape.cols, DType::kF32, 4);
    const std::vector<float> before = RandomNormal(shape.cols, 5);
    std::vector<float> dweight = before;
    const std::vector<float> gradient = dy.Values();
    TestContext test;
    ref::GatedRmsNormBackward(test.context, x.view(), weight.view(), kEpsilon, gate.view(),
                              dy.view(), dgate.view(), out.view(), dweight);
    std::vector<double> x64 = Widened(x.Values());
    std::vector<double> gate64 = Widened(gate.Values());
    std::vector<double> weight64;
    for (int64_t c = 0; c < shape.cols; ++c) weight64.push_back(weight.at(0, c));
    const auto forward = [&] {
      std::vector<double> y = RmsNorm(x64, weight64, double{kEpsilon});
      for (size_t i = 0; i < y.size(); ++i) y[i] *= Sigmoid(gate64[i]);
      return y;
    };
    const auto loss = [&] { return Dot(forward(), gradient); };
    const std::vector<double> y = forward();
    EXPECT_TRUE(NearRelativeToLargest(out.Values(), std::vector<float>(y.begin(), y.end()), 2e-7));
    EXPECT_TRUE(
        NearRelativeToLargest(dy.Values(), NumericGradient(x64, loss), GradientTolerance(1)));
    EXPECT_TRUE(
        NearRelativeToLargest(dgate.Values(), NumericGradient(gate64, loss), GradientTolerance(1)));
    EXPECT_TRUE(NearRelativeToLargest(dweight, NumericGradient(weight64, loss, before),
                                      GradientTolerance(1)));
  }
}

std::vector<double> LayerNorm(const std::vector<double>& x, const std::vector<double>& weight,
                              const std::vector<double>& bias, double epsilon) {
  std::vector<double> out(x.size());
  const size_t width = weight.size();
  for (size_t first = 0; first < x.size(); first += width) {
    double sum = 0;
    double squares = 0;
    for (size_t c = 0; c < width; ++c) {
      sum += x[first + c];
      squares += x[first + c] * x[first + c];
    }
    const double mean = sum / static_cast<double>(width);
    const double variance = squares / static_cast<double>(width) - mean * mean;
    for (size_t c = 0; c < width; ++c) {
      out[first + c] = (x[first + c] - mean) / std::sqrt(variance + epsilon) * weight[c] + bias[c];
    }
  }
  return out;
}

// The loss sees the output of layer_norm and, with a skip connection, its input.
void CheckLayerNorm(Shape2 shape, bool has_skip) {
  SCOPED_TRACE(fmt::format("[{}, {}] skip {}", shape.rows, shape.cols, has_skip));
  constexpr float kEpsilon = 1e-1F;  // large enough to matter
  const int64_t count = shape.rows * shape.cols;
  TestMatrix x(shape.rows, shape.cols, 2, RandomNormal(count, 1));
  TestMatrix dy(shape.rows, shape.cols, 3, RandomNormal(count, 2));
  TestMatrix skip(shape.rows, shape.cols, 1, RandomNormal(count, 3));
  TestMatrix dx(shape.rows, shape.cols, 4);
  const TestWeight weight(1, shape.cols, DType::kF32, 4);
  const std::vector<float> before = RandomNormal(shape.cols, 5);
  std::vector<float> dweight = before;
  std::vector<float> dbias = before;
  TestContext test;
  ref::LayerNormBackward(test.context, x.view(), weight.view(), kEpsilon, dy.view(),
                         has_skip ? skip.view() : Matrix(), dx.view(), dweight, dbias);
  std::vector<double> x64 = Widened(x.Values());
  std::vector<double> weight64 = Widened(Dequantize(weight.view()));
  std::vector<double> bias64(weight64.size());
  const auto loss = [&] {
    const double skipped = has_skip ? Dot(x64, skip.Values()) : 0.0;
    return skipped + Dot(LayerNorm(x64, weight64, bias64, double{kEpsilon}), dy.Values());
  };
  if (shape.cols == 1 && !has_skip) {
    // A single value is its own mean.
    for (const float zero : dx.Values()) EXPECT_EQ(zero, 0.0F);
  } else {
    EXPECT_TRUE(
        NearRelativeToLargest(dx.Values(), NumericGradient(x64, loss), GradientTolerance(1)));
  }
  EXPECT_TRUE(NearRelativeToLargest(dweight, NumericGradient(weight64, loss, before),
                                    GradientTolerance(1)));
  EXPECT_TRUE(
      NearRelativeToLargest(dbias, NumericGradient(bias64, loss, before), GradientTolerance(1)));
}

TEST(RefLayerNormBackward, MatchesFiniteDifferences) {
  for (const Shape2 shape : kShapes) {
    for (const bool has_skip : {false, true}) CheckLayerNorm(shape, has_skip);
  }
}

TEST(RefBiasGeluBackward, MatchesFiniteDifferencesAsDoesAddBias) {
  for (const Shape2 shape : kShapes) {
    SCOPED_TRACE(fmt::format("[{}, {}]", shape.rows, shape.cols));
    const int64_t count = shape.rows * shape.cols;
    TestMatrix x(shape.rows, shape.cols, 2, RandomNormal(count, 1, 2));
    TestMatrix dy(shape.rows, shape.cols, 3, RandomNormal(count, 2));
    TestMatrix dx(shape.rows, shape.cols, 1);
    const TestWeight bias(1, shape.cols, DType::kBF16, 3);
    const std::vector<float> before = RandomNormal(shape.cols, 4);
    std::vector<float> dbias = before;
    std::vector<float> dbias_alone = before;
    TestContext test;
    ref::BiasGeluBackward(test.context, x.view(), bias.view(), dy.view(), dx.view(), dbias);
    ref::AddBiasBackward(test.context, dy.view(), dbias_alone);
    std::vector<double> x64 = Widened(x.Values());
    std::vector<double> bias64 = Widened(Dequantize(bias.view()));
    const auto loss = [&](bool gelu) {
      std::vector<double> y = x64;
      for (size_t i = 0; i < y.size(); ++i) {
        y[i] += bias64[i % bias64.size()];
        if (gelu) y[i] *= (1 + std::erf(y[i] / std::sqrt(2.0))) / 2;
      }
      return Dot(y, dy.Values());
    };
    const auto gelu_loss = [&] { return loss(true); };
    EXPECT_TRUE(
        NearRelativeToLargest(dx.Values(), NumericGradient(x64, gelu_loss), GradientTolerance(1)));
    EXPECT_TRUE(NearRelativeToLargest(dbias, NumericGradient(bias64, gelu_loss, before),
                                      GradientTolerance(1)));
    EXPECT_TRUE(NearRelativeToLargest(dbias_alone,
                                      NumericGradient(
                                          bias64, [&] { return loss(false); }, before),
                                      GradientTolerance(1)));
  }
}

TEST(RefEmbeddingBackward, MatchesFiniteDifferences) {
  constexpr int64_t kVocabulary = 5;
  constexpr int64_t kWidth = 7;
  const std::vector<int32_t> tokens = {3, 0, 3, 4, 3};  // 1 and 2 never appear
  const auto count = static_cast<int64_t>(tokens.size());
  TestMatrix dy(count, kWidth, 2, RandomNormal(count * kWidth, 1));
  const std::vector<float> before = RandomNormal(kVocabulary * kWidth, 2);
  TestMatrix dtable(kVocabulary, kWidth, 3, before);
  TestContext test;
  ref::EmbeddingBackward(test.context, tokens, dy.view(), dtable.view());
  std::vector<double> table = Widened(RandomNormal(kVocabulary * kWidth, 3));
  const auto loss = [&] {
    std::vector<double> y;
    for (const int32_t token : tokens) {
      y.insert(y.end(), table.begin() + token * kWidth, table.begin() + (token + 1) * kWidth);
    }
    return Dot(y, dy.Values());
  };
  // Three additions to one row, one after the other, in float32.
  EXPECT_TRUE(NearRelativeToLargest(dtable.Values(), NumericGradient(table, loss, before),
                                    GradientTolerance(3)));
}

}  // namespace
}  // namespace fulmen
