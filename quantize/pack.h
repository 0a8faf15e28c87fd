// The bits of quantized blocks: from the code of each weight to the block that holds it. The
// layouts are those of base/quant_blocks.h, where they are explained.
#pragma once

#include <cstdint>

#include "base/quant_blocks.h"

namespace fulmen {

// What a block of 32 consists of. A code is what the bits of a weight hold: never negative.
struct SmallBlock {
  const uint8_t* codes;  // [32]
  uint16_t d;
  uint16_t m;  // of Q4_1 and Q5_1
};

// What a block of 256 consists of: its groups' scales, and the minima of the types that have them.
struct SuperBlock {
  const uint8_t* codes;  // [256]
  const int* scales;     // [8] or [16]
  const int* minima;
  uint16_t d;
  uint16_t dmin;
};

void Pack(const SmallBlock& from, BlockQ4_0& to);
void Pack(const SmallBlock& from, BlockQ4_1& to);
void Pack(const SmallBlock& from, BlockQ5_0& to);
void Pack(const SmallBlock& from, BlockQ5_1& to);
void Pack(const SmallBlock& from, BlockQ8_0& to);  // codes: value + 128
void Pack(const SmallBlock& from, BlockIQ4_NL& to);

void Pack(const SuperBlock& from, BlockQ2_K& to);
void Pack(const SuperBlock& from, BlockQ3_K& to);
void Pack(const SuperBlock& from, BlockQ4_K& to);
void Pack(const SuperBlock& from, BlockQ5_K& to);
void Pack(const SuperBlock& from, BlockQ6_K& to);
void Pack(const SuperBlock& from, BlockIQ4_XS& to);

}  // namespace fulmen
