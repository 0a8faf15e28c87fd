#include <cmath>
#include <vector>

#include "kernels/ref/training_operations.h"

namespace fulmen::ref {
namespace {

double Sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }

}  // namespace

void RmsNormBackward(KernelContext&, ConstMatrix x, const TensorView& weight, float epsilon,
                     ConstMatrix dy, const Bypass& bypass, Matrix dx, std::span<float> dweight) {
  const int64_t width = x.cols;
  FULMEN_CHECK(weight.elements() == width && dy.cols == width && dx.cols == width &&
                   dy.rows == x.rows && dx.rows == x.rows &&
                   static_cast<int64_t>(dweight.size()) == width,
               "x is [{}, {}], dy [{}, {}], dx [{}, {}], weight {}, dweight [{}]", x.rows, x.cols,
               dy.rows, dy.cols, dx.rows, dx.cols, ShapeString(weight.shape), dweight.size());
  std::vector<double> sums(dweight.begin(), dweight.end());
  const auto gradient_of = [&](int64_t t, int64_t c) {
    const double around = bypass.gradient.data == nullptr ? 0.0 : bypass.gradient.row(t)[c];
    return double{dy.row(t)[c]} + double{bypass.scale} * around;
  };
  for (int64_t t = 0; t < x.rows; ++t) {
    double squares = 0.0;
    double product = 0.0;  // of x and the gradient of the normalised x
    for (int64_t c = 0; c < width; ++c) {
      const double value = x.row(t)[c];
      const double factor = LoadFloat(weight.dtype, weight.data, static_cast<size_t>(c));
      squares += value * value;
      product += value * factor * gradient_of(t, c);
    }
    const double mean = squares / static_cast<double>(width) + double{epsilon};
    const double scale = 1.0 / std::sqrt(mean);
    const double shared = product / (static_cast<double>(width) * mean);
    for (int64_t c = 0; c < width; ++c) {
      const double value = x.row(t)[c];
      const double gradient = gradient_of(t, c);
      const double factor = LoadFloat(weight.dtype, weight.data, static_cast<size_t>(c));
      sums[static_cast<size_t>(c)] += gradient * value * scale;
      dx.row(t)[c] = static_cast<float>(scale * (factor * gradient - value * shared));
    }
  }
  for (size_t c = 0; c < sums.size(); ++c) dweight[c] = static_cast<float>(sums[c]);
}

void SiluBackward(KernelContext&, ConstMatrix x, Matrix dy) {
  for (int64_t t = 0; t < x.rows; ++t) {
    for (int64_t c = 0; c < x.cols; ++c) {
      const double value = x.row(t)[c];
      const double sigmoid = Sigmoid(value);
      const double slope = sigmoid * (1.0 + value * (1.0 - sigmoid));
      dy.row(t)[c] = static_cast<float>(double{dy.row(t)[c]} * slope);
    }
  }
}

void SigmoidGateBackward(KernelContext&, ConstMatrix gate, ConstMatrix x, Matrix dy, Matrix dgate) {
  for (int64_t t = 0; t < x.rows; ++t) {
    for (int64_t c = 0; c < x.cols; ++c) {
      const double gradient = dy.row(t)[c];
      const double sigmoid = Sigmoid(gate.row(t)[c]);
      dgate.row(t)[c] =
          static_cast<float>(gradient * double{x.row(t)[c]} * sigmoid * (1.0 - sigmoid));
      dy.row(t)[c] = static_cast<float>(gradient * sigmoid);
    }
  }
}

void EmbeddingBackward(KernelContext&, std::span<const int32_t> tokens, ConstMatrix dy,
                       Matrix dtable) {
  FULMEN_CHECK(dy.rows == static_cast<int64_t>(tokens.size()) && dy.cols == dtable.cols,
               "dy is [{}, {}] for {} tokens of width {}", dy.rows, dy.cols, tokens.size(),
               dtable.cols);
  for (int64_t t = 0; t < dy.rows; ++t) {
    const int64_t token = tokens[static_cast<size_t>(t)];
    FULMEN_CHECK(token >= 0 && token < dtable.rows, "token {} of a table of {} rows", token,
                 dtable.rows);
    for (int64_t c = 0; c < dy.cols; ++c) dtable.row(token)[c] += dy.row(t)[c];
  }
}

}  // namespace fulmen::ref
