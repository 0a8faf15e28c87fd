// Views of tensors: a pointer, a type and a shape. They own nothing and are cheap to copy.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/dtype.h"

namespace fulmen {

using Shape = std::vector<int64_t>;

// "[64, 128]"
std::string ShapeString(const Shape& shape);
// Product of the dimensions; 1 for a scalar.
int64_t ElementCount(const Shape& shape);

// A dense row-major tensor in memory somebody else owns (usually a mapped file). Read-only.
struct TensorView {
  const std::byte* data = nullptr;
  DType dtype = DType::kF32;
  Shape shape;

  bool empty() const { return data == nullptr; }
  int64_t rows() const { return shape.at(0); }
  int64_t cols() const { return shape.at(1); }
  int64_t elements() const { return ElementCount(shape); }
  size_t bytes() const { return static_cast<size_t>(elements()) * DTypeSize(dtype); }
  // Entry `index` of the first dimension, e.g. one expert of a stack.
  TensorView Slice(int64_t index) const;
  // Rows [first, first + count) of the first dimension.
  TensorView Rows(int64_t first, int64_t count) const;
};

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
