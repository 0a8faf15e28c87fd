#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/ref/normal.h"
#include "kernels/ref/operations.h"
#include "kernels/ref/sigmoid.h"

namespace fulmen::ref {
namespace {

// out = rms_norm(x) times factor(row, column).
template <class Factor>
void NormRows(ConstMatrix x, const WeightMatrix& weight, float epsilon, Matrix out,
              const Factor& factor) {
  const std::vector<float> weights = Dequantize(weight);
  for (int64_t t = 0; t < x.rows; ++t) {
    double squares = 0.0;
    for (int64_t c = 0; c < x.cols; ++c) {
      const double value = x.row(t)[c];
      squares += value * value;
    }
    const double scale = 1.0 / std::sqrt(squares / static_cast<double>(x.cols) + double{epsilon});
    for (int64_t c = 0; c < x.cols; ++c) {
      const double weighted = scale * double{weights[static_cast<size_t>(c)]};
      out.row(t)[c] = static_cast<float>(x.row(t)[c] * weighted * factor(t, c));
    }
  }
}

// function(x + bias), element by element.
template <class Function>
void BiasRows(ConstMatrix x, const WeightMatrix& bias, Matrix out, const Function& function) {
  FULMEN_CHECK(bias.rows == 1 && bias.cols == x.cols && out.cols == x.cols && out.rows == x.rows,
               "x is [{}, {}], out [{}, {}], bias {}", x.rows, x.cols, out.rows, out.cols,
               Describe(bias));
  const std::vector<float> biases = Dequantize(bias);
  for (int64_t t = 0; t < x.rows; ++t) {
    for (int64_t c = 0; c < x.cols; ++c) {
      const double sum = double{x.row(t)[c]} + double{biases[static_cast<size_t>(c)]};
      out.row(t)[c] = static_cast<float>(function(sum));
    }
  }
}

}  // namespace

void Embedding(KernelContext&, std::span<const int32_t> tokens, const WeightMatrix& table,
               Matrix out) {
  const int64_t width = table.cols;
  FULMEN_CHECK(out.rows == static_cast<int64_t>(tokens.size()) && out.cols == width,
               "out is [{}, {}] for {} tokens of width {}", out.rows, out.cols, tokens.size(),
               width);
  for (int64_t t = 0; t < out.rows; ++t) {
    const int64_t token = tokens[static_cast<size_t>(t)];
    FULMEN_CHECK(token >= 0 && token < table.rows, "token {} of a table of {} rows", token,
                 table.rows);
    DequantizeRow(table, token, out.row(t));
  }
}

void RmsNorm(KernelContext&, ConstMatrix x, const WeightMatrix& weight, float epsilon, Matrix out) {
  FULMEN_CHECK(
      weight.rows == 1 && weight.cols == x.cols && out.cols == x.cols && out.rows == x.rows,
      "x is [{}, {}], out [{}, {}], weight {}", x.rows, x.cols, out.rows, out.cols,
      Describe(weight));
  NormRows(x, weight, epsilon, out, [](int64_t, int64_t) { return 1.0; });
}

void GatedRmsNorm(KernelContext&, ConstMatrix x, const WeightMatrix& weight, float epsilon,
                  ConstMatrix gate, Matrix out) {
  FULMEN_CHECK(weight.rows == 1 && weight.cols == x.cols && out.cols == x.cols &&
                   out.rows == x.rows && gate.cols == x.cols && gate.rows == x.rows,
               "x is [{}, {}], gate [{}, {}], out [{}, {}], weight {}", x.rows, x.cols, gate.rows,
               gate.cols, out.rows, out.cols, Describe(weight));
  NormRows(x, weight, epsilon, out, [&](int64_t t, int64_t c) { return Sigmoid(gate.row(t)[c]); });
}

void LayerNorm(KernelContext&, ConstMatrix x, const WeightMatrix& weight, const WeightMatrix& bias,
               float epsilon, Matrix out) {
  FULMEN_CHECK(weight.rows == 1 && weight.cols == x.cols && bias.rows == 1 && bias.cols == x.cols &&
                   out.cols == x.cols && out.rows == x.rows,
               "x is [{}, {}], out [{}, {}], weight {}, bias {}", x.rows, x.cols, out.rows,
               out.cols, Describe(weight), Describe(bias));
  const std::vector<float> weights = Dequantize(weight);
  const std::vector<float> biases = Dequantize(bias);
  for (int64_t t = 0; t < x.rows; ++t) {
    const RowMoments moments(x.row(t), x.cols, epsilon);
    for (int64_t c = 0; c < x.cols; ++c) {
      const auto i = static_cast<size_t>(c);
      out.row(t)[c] = static_cast<float>(moments.Normalised(x.row(t)[c]) * double{weights[i]} +
                                         double{biases[i]});
    }
  }
}

void AddBias(KernelContext&, ConstMatrix x, const WeightMatrix& bias, Matrix out) {
  BiasRows(x, bias, out, [](double sum) { return sum; });
}

void BiasGelu(KernelContext&, ConstMatrix x, const WeightMatrix& bias, Matrix out) {
  BiasRows(x, bias, out, [](double sum) { return sum * NormalCdf(sum); });
}

void Silu(KernelContext&, ConstMatrix x, Matrix out) {
  for (int64_t t = 0; t < x.rows; ++t) {
    for (int64_t c = 0; c < x.cols; ++c) {
      const double value = x.row(t)[c];
      out.row(t)[c] = static_cast<float>(value * Sigmoid(value));
    }
  }
}

void Residual(KernelContext&, float alpha, ConstMatrix residual, float beta, ConstMatrix branch,
              Matrix out) {
  for (int64_t t = 0; t < out.rows; ++t) {
    for (int64_t c = 0; c < out.cols; ++c) {
      out.row(t)[c] = static_cast<float>(double{alpha} * double{residual.row(t)[c]} +
                                         double{beta} * double{branch.row(t)[c]});
    }
  }
}

void CheckRows(KernelContext&, ConstMatrix x, std::span<RowHealth> health) {
  for (int64_t t = 0; t < x.rows; ++t) {
    double squares = 0.0;
    bool finite = true;
    for (int64_t c = 0; c < x.cols; ++c) {
      squares += double{x.row(t)[c]} * double{x.row(t)[c]};
      finite = finite && std::isfinite(x.row(t)[c]);
    }
    const bool fits = squares <= double{std::numeric_limits<float>::max()};
    health[static_cast<size_t>(t)] = !finite ? RowHealth::kNotFinite
                                     : fits  ? RowHealth::kFine
                                             : RowHealth::kSquaresOverflow;
  }
}

void GatherRows(KernelContext&, ConstMatrix x, std::span<const int64_t> rows, Matrix out) {
  for (size_t i = 0; i < rows.size(); ++i) {
    std::copy_n(x.row(rows[i]), x.cols, out.row(static_cast<int64_t>(i)));
  }
}

void Copy(KernelContext&, std::span<const std::byte> from, std::span<std::byte> to) {
  std::ranges::copy(from, to.begin());
}

}  // namespace fulmen::ref
