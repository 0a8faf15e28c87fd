#include <algorithm>
#include <array>
#include <vector>

#include "kernels/ref/operations.h"

namespace fulmen::ref {

namespace {

void Multiply(ConstMatrix x, const WeightMatrix& weight, Matrix y) {
  const int64_t in = weight.cols;
  const int64_t out = weight.rows;
  FULMEN_CHECK(x.cols == in && y.cols == out && y.rows == x.rows,
               "x is [{}, {}], y [{}, {}], weight {}", x.rows, x.cols, y.rows, y.cols,
               Describe(weight));
  // Outputs are taken in blocks with the weights transposed, so that the innermost loop runs over
  // outputs: a compiler vectorises that without changing the order of any sum.
  constexpr int64_t kBlock = 64;
  std::vector<double> transposed(static_cast<size_t>(in * kBlock));  // [in, kBlock]
  std::vector<float> row(static_cast<size_t>(in));
  for (int64_t first = 0; first < out; first += kBlock) {
    const int64_t count = std::min(kBlock, out - first);
    for (int64_t o = 0; o < count; ++o) {
      DequantizeRow(weight, first + o, row.data());
      for (size_t i = 0; i < row.size(); ++i) {
        transposed[i * kBlock + static_cast<size_t>(o)] = row[i];
      }
    }
    for (int64_t t = 0; t < x.rows; ++t) {
      std::array<double, kBlock> sums = {};
      for (int64_t i = 0; i < in; ++i) {
        const double value = x.row(t)[i];
        const double* column = &transposed[static_cast<size_t>(i * kBlock)];
        for (size_t o = 0; o < kBlock; ++o) sums[o] += value * column[o];
      }
      for (int64_t o = 0; o < count; ++o) {
        y.row(t)[first + o] = static_cast<float>(sums[static_cast<size_t>(o)]);
      }
    }
  }
}

}  // namespace

void Linear(KernelContext&, ConstMatrix x, std::initializer_list<Projection> projections) {
  for (const auto& [weight, y] : projections) Multiply(x, weight, y);
}

size_t RepackedBytes(KernelContext&, const WeightMatrix& weight) {
  return IsQuantized(weight.type) ? weight.bytes() : 0;
}

WeightMatrix Repack(KernelContext&, const WeightMatrix& weight, std::byte* to) {
  const WeightMatrix copy(to, weight.type, weight.rows, weight.cols);
  for (int64_t r = 0; r < weight.rows; ++r) {
    std::copy_n(weight.row(r), copy.stride, to + r * copy.stride);
  }
  return copy;
}

}  // namespace fulmen::ref
