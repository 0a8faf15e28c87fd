#include "formats/tensor.h"

#include <fmt/ranges.h>

#include <numeric>

#include "base/check.h"

namespace fulmen {

std::string ShapeString(const Shape& shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

int64_t ElementCount(const Shape& shape) {
  return std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
}

std::optional<uint64_t> TensorBytes(DType dtype, const Shape& shape) {
  const BlockFormat& format = FormatOf(dtype);
  int64_t bytes = format.bytes;
  for (size_t i = 0; i < shape.size(); ++i) {
    const bool row = i + 1 == shape.size();
    if (__builtin_mul_overflow(bytes, row ? shape[i] / format.elements : shape[i], &bytes)) {
      return std::nullopt;
    }
  }
  return static_cast<uint64_t>(bytes);
}

TensorView TensorView::Slice(int64_t index) const {
  TensorView slice = Rows(index, 1);
  slice.shape.erase(slice.shape.begin());
  return slice;
}

TensorView TensorView::Rows(int64_t first, int64_t count) const {
  FULMEN_CHECK(first >= 0 && count >= 0 && first + count <= rows(), "rows {}..{} of {}", first,
               first + count, ShapeString(shape));
  TensorView part = *this;
  part.shape[0] = 1;
  part.data += static_cast<size_t>(first) * part.bytes();
  part.shape[0] = count;
  return part;
}

WeightMatrix AsWeight(const TensorView& tensor) {
  FULMEN_CHECK(!tensor.shape.empty(), "a scalar is no weight");
  const int64_t rows = tensor.shape.size() == 1 ? 1 : tensor.rows();
  return {tensor.data, tensor.dtype, rows, ElementCount(tensor.shape) / rows};
}

}  // namespace fulmen
