// Float32 weights as the blocks of a stored format: the inverse of base/dequantize.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/dtype.h"

namespace fulmen {

// out[0 .. BytesOf(type, row_count * cols)) = the rows, which lie end to end, in `type`: one that
// weights may have. `cols` is a multiple of its block. Each block is made to come close to its
// weights in the sum of squared errors, each times the importance of its column: one number >= 0
// per column, or none at all, when all count alike. Values are finite; those too large for a
// format get its largest.
//
// Depends on nothing but its arguments and the instruction set, so rows may be shared out among
// threads in any way.
void QuantizeRows(DType type, const float* rows, int64_t row_count, int64_t cols,
                  std::span<const float> importance, std::byte* out);

}  // namespace fulmen
