// Register tiles of products-inl.h: their input, and those of BF16 dot products, for which Highway
// 1.0.3 has no operation.
#pragma once

#include <cstdint>

namespace fulmen::cpu {

// The longest block of the depth: a panel of rows stays in the L1 cache while columns stream past
// it from the L2 cache.
inline constexpr int64_t kMaxDepth = 384;
// Units of the depth for each line fetched.
inline constexpr int64_t kFetchElements = 8;

// One block of the depth of one tile.
struct TileInput {
  int64_t depth;  // units
  const float* a;
  int64_t a_row;   // from one row of the tile to the next
  int64_t a_step;  // from one unit of the depth to the next
  const float* b;
  int64_t b_step;
  const float* const* fetch;  // [depth / kFetchElements] lines that later work will read
  bool add;                   // to what is there
};

// Whether this processor multiplies pairs of BF16 (AVX-512 BF16).
bool HasBf16Dot();

// c = a b, or c + a b, for units of BF16, `rows` rounded up to a multiple of 3, 12 at most, and 1
// or 2 vectors of 16 columns. Only where HasBf16Dot().
void MultiplyBf16Tile(int64_t rows, int vectors, const TileInput& input, float* c,
                      int64_t c_stride);

}  // namespace fulmen::cpu
