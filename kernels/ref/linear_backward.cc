#include <algorithm>
#include <array>
#include <vector>

#include "kernels/ref/training_operations.h"

namespace fulmen::ref {
namespace {

// Columns are taken in blocks so that the innermost loop, which a compiler vectorises without
// changing the order of any sum, has a fixed length.
constexpr int64_t kColumns = 64;

}  // namespace

void LinearBackwardInput(KernelContext&, ConstMatrix dy, const WeightMatrix& weight, bool add,
                         Matrix dx) {
  const int64_t in = weight.cols;
  const int64_t out = weight.rows;
  FULMEN_CHECK(dx.cols == in && dy.cols == out && dy.rows == dx.rows,
               "dx is [{}, {}], dy [{}, {}], weight {}", dx.rows, dx.cols, dy.rows, dy.cols,
               Describe(weight));
  const std::vector<float> values = Dequantize(weight);
  std::vector<double> block(static_cast<size_t>(out * kColumns));  // [out, kColumns]
  for (int64_t first = 0; first < in; first += kColumns) {
    const int64_t count = std::min(kColumns, in - first);
    for (int64_t o = 0; o < out; ++o) {
      for (int64_t i = 0; i < count; ++i) {
        block[static_cast<size_t>(o * kColumns + i)] =
            double{values[static_cast<size_t>(o * in + first + i)]};
      }
    }
    for (int64_t t = 0; t < dy.rows; ++t) {
      std::array<double, kColumns> sums = {};
      for (int64_t o = 0; o < out; ++o) {
        const double gradient = dy.row(t)[o];
        const double* row = &block[static_cast<size_t>(o * kColumns)];
        for (size_t i = 0; i < kColumns; ++i) sums[i] += gradient * row[i];
      }
      for (int64_t i = 0; i < count; ++i) {
        float& to = dx.row(t)[first + i];
        to = static_cast<float>((add ? double{to} : 0.0) + sums[static_cast<size_t>(i)]);
      }
    }
  }
}

void LinearBackwardWeight(KernelContext&, ConstMatrix x, ConstMatrix dy, Matrix dweight) {
  FULMEN_CHECK(dweight.rows == dy.cols && dweight.cols == x.cols && dy.rows == x.rows,
               "x is [{}, {}], dy [{}, {}], dweight [{}, {}]", x.rows, x.cols, dy.rows, dy.cols,
               dweight.rows, dweight.cols);
  std::vector<double> block(static_cast<size_t>(x.rows * kColumns));  // [T, kColumns]
  for (int64_t first = 0; first < x.cols; first += kColumns) {
    const int64_t count = std::min(kColumns, x.cols - first);
    for (int64_t t = 0; t < x.rows; ++t) {
      std::copy_n(x.row(t) + first, count, block.begin() + t * kColumns);
    }
    for (int64_t o = 0; o < dy.cols; ++o) {
      std::array<double, kColumns> sums = {};
      for (int64_t t = 0; t < x.rows; ++t) {
        const double gradient = dy.row(t)[o];
        const double* row = &block[static_cast<size_t>(t * kColumns)];
        for (size_t i = 0; i < kColumns; ++i) sums[i] += gradient * row[i];
      }
      for (int64_t i = 0; i < count; ++i) {
        float& weight = dweight.row(o)[first + i];
        weight = static_cast<float>(double{weight} + sums[static_cast<size_t>(i)]);
      }
    }
  }
}

}  // namespace fulmen::ref
