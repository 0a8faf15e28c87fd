#include "base/weight_matrix.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/check.h"
#include "base/dequantize.h"

namespace fulmen {

WeightMatrix::WeightMatrix(const void* data_, DType type_, int64_t rows_, int64_t cols_)
    : data(static_cast<const std::byte*>(data_)),
      type(type_),
      rows(rows_),
      cols(cols_),
      stride(static_cast<int64_t>(BytesOf(type_, cols_))) {
  FULMEN_CHECK(IsWeightType(type), "{} is no type of weights", DTypeName(type));
}

WeightMatrix WeightMatrix::Rows(int64_t first, int64_t count) const {
  FULMEN_CHECK(first >= 0 && count >= 0 && first + count <= rows, "rows {}..{} of {}", first,
               first + count, Describe(*this));
  WeightMatrix part = *this;
  part.data += first * stride;
  part.rows = count;
  return part;
}

WeightMatrix WeightMatrix::Cols(int64_t first, int64_t count) const {
  FULMEN_CHECK(first >= 0 && count >= 0 && first + count <= cols, "columns {}..{} of {}", first,
               first + count, Describe(*this));
  FULMEN_CHECK(count % FormatOf(type).elements == 0 && layout == WeightLayout::kAsStored,
               "{} columns of {}", count, Describe(*this));
  WeightMatrix part = *this;
  part.data += BytesOf(type, first);
  part.cols = count;
  return part;
}

std::string Describe(const WeightMatrix& weight) {
  return fmt::format("{} [{}, {}]", DTypeName(weight.type), weight.rows, weight.cols);
}

void DequantizeRow(const WeightMatrix& weight, int64_t row, float* out) {
  FULMEN_CHECK(weight.layout == WeightLayout::kAsStored, "{} was repacked", Describe(weight));
  const std::byte* from = weight.row(row);
  const auto* halves = reinterpret_cast<const uint16_t*>(from);
  switch (weight.type) {
    case DType::kF32:
      std::copy_n(reinterpret_cast<const float*>(from), weight.cols, out);
      return;
    case DType::kF16:
      std::transform(halves, halves + weight.cols, out, F32FromF16);
      return;
    case DType::kBF16:
      std::transform(halves, halves + weight.cols, out, F32FromBF16);
      return;
    default:
      return DequantizeBlocks(weight.type, from, weight.cols, out);
  }
}

std::vector<float> Dequantize(const WeightMatrix& weight) {
  std::vector<float> values(static_cast<size_t>(weight.rows * weight.cols));
  for (int64_t r = 0; r < weight.rows; ++r) {
    DequantizeRow(weight, r, values.data() + r * weight.cols);
  }
  return values;
}

}  // namespace fulmen
