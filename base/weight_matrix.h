// Weights as kernels take them: matrices in a stored format, which may hold elements in blocks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

#include "base/dtype.h"

namespace fulmen {

// How the blocks of a weight lie in memory: as a file holds them, row by row; or as the kernels
// that repacked it want them, which alone can read it, some rows at a time: Rows() then takes
// multiples of theirs, Cols() and DequantizeRow() take none of it.
enum class WeightLayout : uint8_t { kAsStored, kRepacked };

// A view of a matrix of weights [rows, cols] in memory somebody else owns, usually a mapped file.
// Read-only and cheap to copy. A vector is a matrix of one row.
struct WeightMatrix {
  const std::byte* data = nullptr;
  DType type = DType::kF32;
  WeightLayout layout = WeightLayout::kAsStored;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t stride = 0;  // bytes from one row to the next

  WeightMatrix() = default;
  // Rows end to end, as stored. `type` is one that weights may have, `cols` whole blocks of it.
  WeightMatrix(const void* data_, DType type_, int64_t rows_, int64_t cols_);

  bool empty() const { return data == nullptr; }
  const std::byte* row(int64_t i) const { return data + i * stride; }
  // Of all elements, without what lies between rows.
  size_t bytes() const { return static_cast<size_t>(rows) * BytesOf(type, cols); }
  WeightMatrix Rows(int64_t first, int64_t count) const;
  // Whole blocks: `first` and `count` are multiples of the format's elements.
  WeightMatrix Cols(int64_t first, int64_t count) const;
};
static_assert(std::is_trivially_copyable_v<WeightMatrix>);

// "BF16 [64, 128]"
std::string Describe(const WeightMatrix& weight);

// out[0 .. cols) = row `row` as float32. What every kernel takes the weight to be: the definition
// of each format, not fast.
void DequantizeRow(const WeightMatrix& weight, int64_t row, float* out);
// All rows, end to end.
std::vector<float> Dequantize(const WeightMatrix& weight);

}  // namespace fulmen
