// How products of bytes are summed, which not every instruction set has one answer to.
#pragma once

#include <cstdint>

namespace fulmen::cpu {

enum class ByteProducts : uint8_t {
  kPairs,  // two in 16 bits, those in 32: not all of them fit
  kFours,  // four in 32 bits, by one instruction
  kTiles,  // where scales are whole numbers, 16 x 16 sums by one instruction (AMX); else as kFours
};

}  // namespace fulmen::cpu
