// Quantized weights as float32: the definition of each block format, not fast.
#pragma once

#include <cstdint>

#include "base/dtype.h"

namespace fulmen {

// out[0 .. elements) = the blocks at `from`, which are of a quantized type. Bit for bit what
// gguf-py and llama.cpp make of them: products and sums in float32, each rounded, in the order of
// base/quant_blocks.h. `elements` is a multiple of the type's block.
void DequantizeBlocks(DType type, const void* from, int64_t elements, float* out);

}  // namespace fulmen
