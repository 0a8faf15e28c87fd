// Views of matrices of activations. They own nothing and are cheap to copy.
#pragma once

#include <cstdint>

namespace fulmen {

// A row-major matrix of T whose rows lie `stride` elements apart.
template <class T>
struct MatrixView {
  T* data = nullptr;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t stride = 0;

  MatrixView() = default;
  MatrixView(T* data_, int64_t rows_, int64_t cols_)
      : data(data_), rows(rows_), cols(cols_), stride(cols_) {}
  MatrixView(T* data_, int64_t rows_, int64_t cols_, int64_t stride_)
      : data(data_), rows(rows_), cols(cols_), stride(stride_) {}

  T* row(int64_t i) const { return data + i * stride; }
  MatrixView Rows(int64_t first, int64_t count) const {
    return MatrixView(row(first), count, cols, stride);
  }
  MatrixView Cols(int64_t first, int64_t count) const {
    return MatrixView(data + first, rows, count, stride);
  }
  // Adding const is safe. NOLINTNEXTLINE(google-explicit-constructor)
  operator MatrixView<const T>() const { return MatrixView<const T>(data, rows, cols, stride); }
};

using Matrix = MatrixView<float>;
using ConstMatrix = MatrixView<const float>;

}  // namespace fulmen
