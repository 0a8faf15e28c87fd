// The two families of quantized types, one file each: encode_small.cc and encode_super.cc.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/dtype.h"

namespace fulmen {

// Weights to be quantized: rows of `cols`, end to end.
struct EncodeJob {
  DType type;
  const float* x;
  int64_t elements;
  const float* importance;  // of each column, none zero; or null
  int64_t cols;
  std::byte* out;
};

void EncodeSmallBlocks(const EncodeJob& job);
void EncodeSuperBlocks(const EncodeJob& job);

// As F16FromF32, but the largest finite number in place of infinity.
uint16_t FiniteF16(float value);

}  // namespace fulmen
