#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/ref/normal.h"
#include "kernels/ref/sigmoid.h"
#include "kernels/ref/training_operations.h"

namespace fulmen::ref {
namespace {

double MeanSquare(const float* x, int64_t width) {
  double squares = 0.0;
  for (int64_t c = 0; c < width; ++c) squares += double{x[c]} * double{x[c]};
  return squares / static_cast<double>(width);
}

// dx of one row; gradient(c) is that of its output, and not read after dx[c] is written. Adds to
// `sums`, the gradient of the weight.
template <class Gradient>
void RmsNormRow(const float* x, const std::vector<float>& weight, float epsilon,
                const Gradient& gradient, float* dx, std::vector<double>& sums) {
  const auto width = static_cast<int64_t>(sums.size());
  const auto factor = [&](int64_t c) { return double{weight[static_cast<size_t>(c)]}; };
  const double mean = MeanSquare(x, width) + double{epsilon};
  double product = 0.0;  // of x and the gradient of the normalised x
  for (int64_t c = 0; c < width; ++c) product += double{x[c]} * factor(c) * gradient(c);
  const double scale = 1.0 / std::sqrt(mean);
  const double shared = product / (static_cast<double>(width) * mean);
  for (int64_t c = 0; c < width; ++c) {
    sums[static_cast<size_t>(c)] += gradient(c) * double{x[c]} * scale;
    dx[c] = static_cast<float>(scale * (factor(c) * gradient(c) - double{x[c]} * shared));
  }
}

void Narrow(const std::vector<double>& sums, std::span<float> to) {
  std::ranges::transform(sums, to.begin(), [](double sum) { return static_cast<float>(sum); });
}

void CheckShapes(ConstMatrix x, const WeightMatrix& weight, ConstMatrix dy, ConstMatrix dx,
                 std::span<const float> dweight) {
  const int64_t width = x.cols;
  FULMEN_CHECK(weight.rows == 1 && weight.cols == width && dy.cols == width && dx.cols == width &&
                   dy.rows == x.rows && dx.rows == x.rows &&
                   static_cast<int64_t>(dweight.size()) == width,
               "x is [{}, {}], dy [{}, {}], dx [{}, {}], weight {}, dweight [{}]", x.rows, x.cols,
               dy.rows, dy.cols, dx.rows, dx.cols, Describe(weight), dweight.size());
}

}  // namespace

void RmsNormBackward(KernelContext&, ConstMatrix x, const WeightMatrix& weight, float epsilon,
                     ConstMatrix dy, const SkipConnection& skip, Matrix dx,
                     std::span<float> dweight) {
  CheckShapes(x, weight, dy, dx, dweight);
  const std::vector<float> factors = Dequantize(weight);
  std::vector<double> sums(dweight.begin(), dweight.end());
  for (int64_t t = 0; t < x.rows; ++t) {
    const auto gradient = [&](int64_t c) {
      const double skip_gradient = skip.gradient.data == nullptr ? 0.0 : skip.gradient.row(t)[c];
      return double{dy.row(t)[c]} + double{skip.scale} * skip_gradient;
    };
    RmsNormRow(x.row(t), factors, epsilon, gradient, dx.row(t), sums);
  }
  Narrow(sums, dweight);
}

void GatedRmsNormBackward(KernelContext& context, ConstMatrix x, const WeightMatrix& weight,
                          float epsilon, ConstMatrix gate, Matrix dy, Matrix dgate, Matrix out,
                          std::span<float> dweight) {
  CheckShapes(x, weight, dy, dgate, dweight);
  GatedRmsNorm(context, x, weight, epsilon, gate, out);
  const std::vector<float> factors = Dequantize(weight);
  std::vector<double> sums(dweight.begin(), dweight.end());
  for (int64_t t = 0; t < x.rows; ++t) {
    const double scale = 1.0 / std::sqrt(MeanSquare(x.row(t), x.cols) + double{epsilon});
    std::vector<double> gradients;
    for (int64_t c = 0; c < x.cols; ++c) {
      const double factor = factors[static_cast<size_t>(c)];
      const double sigmoid = Sigmoid(gate.row(t)[c]);
      gradients.push_back(double{dy.row(t)[c]} * sigmoid);
      dgate.row(t)[c] = static_cast<float>(gradients.back() * double{x.row(t)[c]} * scale * factor *
                                           Sigmoid(-double{gate.row(t)[c]}));
    }
    const auto gradient = [&](int64_t c) { return gradients[static_cast<size_t>(c)]; };
    RmsNormRow(x.row(t), factors, epsilon, gradient, dy.row(t), sums);
  }
  Narrow(sums, dweight);
}

void LayerNormBackward(KernelContext&, ConstMatrix x, const WeightMatrix& weight, float epsilon,
                       ConstMatrix dy, ConstMatrix skip, Matrix dx, std::span<float> dweight,
                       std::span<float> dbias) {
  CheckShapes(x, weight, dy, dx, dweight);
  FULMEN_CHECK(dbias.size() == dweight.size(), "dweight [{}], dbias [{}]", dweight.size(),
               dbias.size());
  const auto width = static_cast<double>(x.cols);
  const std::vector<float> factors = Dequantize(weight);
  std::vector<double> weight_sums(dweight.begin(), dweight.end());
  std::vector<double> bias_sums(dbias.begin(), dbias.end());
  for (int64_t t = 0; t < x.rows; ++t) {
    const RowMoments moments(x.row(t), x.cols, epsilon);
    // Of the gradient of the normalised values, and of its product with them.
    double mean = 0.0;
    double mean_product = 0.0;
    const auto gradient = [&](int64_t c) {
      return double{dy.row(t)[c]} * double{factors[static_cast<size_t>(c)]};
    };
    for (int64_t c = 0; c < x.cols; ++c) {
      mean += gradient(c) / width;
      mean_product += gradient(c) * moments.Normalised(x.row(t)[c]) / width;
    }
    for (int64_t c = 0; c < x.cols; ++c) {
      const double normalised = moments.Normalised(x.row(t)[c]);
      const double skipped = skip.data == nullptr ? 0.0 : double{skip.row(t)[c]};
      weight_sums[static_cast<size_t>(c)] += double{dy.row(t)[c]} * normalised;
      bias_sums[static_cast<size_t>(c)] += double{dy.row(t)[c]};
      dx.row(t)[c] = static_cast<float>(
          moments.scale * (gradient(c) - mean - normalised * mean_product) + skipped);
    }
  }
  Narrow(weight_sums, dweight);
  Narrow(bias_sums, dbias);
}

void AddBiasBackward(KernelContext&, ConstMatrix dy, std::span<float> dbias) {
  FULMEN_CHECK(std::ssize(dbias) == dy.cols, "dy is [{}, {}], dbias [{}]", dy.rows, dy.cols,
               dbias.size());
  for (int64_t c = 0; c < dy.cols; ++c) {
    double sum = dbias[static_cast<size_t>(c)];
    for (int64_t t = 0; t < dy.rows; ++t) sum += double{dy.row(t)[c]};
    dbias[static_cast<size_t>(c)] = static_cast<float>(sum);
  }
}

void BiasGeluBackward(KernelContext&, ConstMatrix x, const WeightMatrix& bias, ConstMatrix dy,
                      Matrix dx, std::span<float> dbias) {
  CheckShapes(x, bias, dy, dx, dbias);
  const std::vector<float> biases = Dequantize(bias);
  std::vector<double> sums(dbias.begin(), dbias.end());
  for (int64_t t = 0; t < x.rows; ++t) {
    for (int64_t c = 0; c < x.cols; ++c) {
      const double value = double{x.row(t)[c]} + double{biases[static_cast<size_t>(c)]};
      const double slope = NormalCdf(value) + value * NormalDensity(value);
      const double gradient = double{dy.row(t)[c]} * slope;
      sums[static_cast<size_t>(c)] += gradient;
      dx.row(t)[c] = static_cast<float>(gradient);
    }
  }
  Narrow(sums, dbias);
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
