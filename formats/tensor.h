// Tensors of files: a pointer, a type and a shape. They own nothing and are cheap to copy.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/dtype.h"
#include "base/weight_matrix.h"

namespace fulmen {

using Shape = std::vector<int64_t>;

// "[64, 128]"
std::string ShapeString(const Shape& shape);
// Product of the dimensions; 1 for a scalar.
int64_t ElementCount(const Shape& shape);
// Bytes of a tensor whose rows are whole blocks, or nothing when they do not fit 63 bits.
std::optional<uint64_t> TensorBytes(DType dtype, const Shape& shape);

// A dense row-major tensor in memory somebody else owns (usually a mapped file). Read-only.
struct TensorView {
  const std::byte* data = nullptr;
  DType dtype = DType::kF32;
  Shape shape;

  bool empty() const { return data == nullptr; }
  int64_t rows() const { return shape.at(0); }
  int64_t elements() const { return ElementCount(shape); }
  size_t bytes() const { return BytesOf(dtype, elements()); }
  // Entry `index` of the first dimension, e.g. one expert of a stack.
  TensorView Slice(int64_t index) const;
  // Rows [first, first + count) of the first dimension.
  TensorView Rows(int64_t first, int64_t count) const;
};

// As a weight: a matrix, a vector as one row, or what has more dimensions as rows of the first.
WeightMatrix AsWeight(const TensorView& tensor);

}  // namespace fulmen
