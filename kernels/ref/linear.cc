#include <algorithm>
#include <array>
#include <vector>

#include "kernels/ref/operations.h"

namespace fulmen::ref {

void Linear(KernelContext&, ConstMatrix x, const TensorView& weight, Matrix y) {
  const int64_t in = weight.cols();
  const int64_t out = weight.rows();
  FULMEN_CHECK(x.cols == in && y.cols == out && y.rows == x.rows,
               "x is [{}, {}], y [{}, {}], weight {}", x.rows, x.cols, y.rows, y.cols,
               ShapeString(weight.shape));
  // Outputs are taken in blocks with the weights transposed, so that the innermost loop runs over
  // outputs: a compiler vectorises that without changing the order of any sum.
  constexpr int64_t kBlock = 64;
  std::vector<double> transposed(static_cast<size_t>(in * kBlock));  // [in, kBlock]
  for (int64_t first = 0; first < out; first += kBlock) {
    const int64_t count = std::min(kBlock, out - first);
    for (int64_t o = 0; o < count; ++o) {
      for (int64_t i = 0; i < in; ++i) {
        transposed[static_cast<size_t>(i * kBlock + o)] =
            LoadFloat(weight.dtype, weight.data, static_cast<size_t>((first + o) * in + i));
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

}  // namespace fulmen::ref
