// How quantized weights lie in memory: the block layouts of GGUF files, as ggml defines them, and
// what each stands for. A row of a weight is a sequence of such blocks.
//
// All numbers are little-endian. d and dmin are IEEE binary16, the step of a block and that of its
// minima. Two families:
//   blocks of 32 (Q4_0 ... Q8_0, IQ4_NL): weight = d * q (+ m)
//   blocks of 256 (the K types, IQ4_XS): 8 or 16 groups, each with an integer scale (and minimum):
//   weight = d * scale * q (- dmin * minimum)
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace fulmen {

inline constexpr int kSmallBlock = 32;
inline constexpr int kSuperBlock = 256;

// Where a byte holds two values of four bits, the low one is element i of the group, the high one
// element i + half the group.
struct BlockQ4_0 {
  uint16_t d;
  uint8_t q[16];  // value + 8
};
struct BlockQ4_1 {
  uint16_t d;
  uint16_t m;
  uint8_t q[16];
};
struct BlockQ5_0 {
  uint16_t d;
  uint8_t high[4];  // bit i: the fifth bit of element i
  uint8_t q[16];    // low four bits; value + 16
};
struct BlockQ5_1 {
  uint16_t d;
  uint16_t m;
  uint8_t high[4];
  uint8_t q[16];
};
struct BlockQ8_0 {
  uint16_t d;
  int8_t q[32];
};
struct BlockIQ4_NL {
  uint16_t d;
  uint8_t q[16];  // indices into kIQ4Values
};

// 16 groups of 16. Two bits each: byte 32h + l of q holds elements 128h + l, + 32, + 64 and + 96.
struct BlockQ2_K {
  uint8_t scales[16];  // low half: scale, high half: minimum
  uint8_t q[64];
  uint16_t d;
  uint16_t dmin;
};
// 16 groups of 16, q as in Q2_K. Element 128h + 32j + l has its third bit in bit 4h + j of high[l];
// value + 4.
struct BlockQ3_K {
  uint8_t high[32];
  uint8_t q[64];
  uint8_t scales[12];  // six bits each, + 32; see Q3Scales()
  uint16_t d;
};
// 8 groups of 32. Byte 32c + l of q holds elements 64c + l and 64c + 32 + l.
struct BlockQ4_K {
  uint16_t d;
  uint16_t dmin;
  uint8_t scales[12];  // six bits each; see Q4ScalesAndMinima()
  uint8_t q[128];
};
// As Q4_K; bit g of high[l] is the fifth bit of element l of group g.
struct BlockQ5_K {
  uint16_t d;
  uint16_t dmin;
  uint8_t scales[12];
  uint8_t high[32];
  uint8_t q[128];
};
// 16 groups of 16. Elements 128h + l, + 32, + 64 and + 96 have their low four bits in the low
// halves of bytes 64h + l and 64h + 32 + l of low and in the high halves of the same, their two
// high bits in byte 32h + l of high, from its lowest bits up; value + 32.
struct BlockQ6_K {
  uint8_t low[128];
  uint8_t high[64];
  int8_t scales[16];
  uint16_t d;
};
// 8 groups of 32, indices into kIQ4Values. Scales of six bits, + 32: four in scales_low, two in
// scales_high.
struct BlockIQ4_XS {
  uint16_t d;
  uint16_t scales_high;
  uint8_t scales_low[4];
  uint8_t q[128];
};

static_assert(sizeof(BlockQ4_0) == 18 && sizeof(BlockQ4_1) == 20 && sizeof(BlockQ5_0) == 22);
static_assert(sizeof(BlockQ5_1) == 24 && sizeof(BlockQ8_0) == 34 && sizeof(BlockIQ4_NL) == 18);
static_assert(sizeof(BlockQ2_K) == 84 && sizeof(BlockQ3_K) == 110 && sizeof(BlockQ4_K) == 144);
static_assert(sizeof(BlockQ5_K) == 176 && sizeof(BlockQ6_K) == 210 && sizeof(BlockIQ4_XS) == 136);

inline constexpr std::array<int8_t, 16> kIQ4Values = {-127, -104, -83, -65, -49, -35, -22, -10,
                                                      1,    13,   25,  38,  53,  69,  89,  113};

// Integer scales of a block, as they multiply its step.
struct ScalesAndMinima {
  std::array<uint8_t, 8> scales;
  std::array<uint8_t, 8> minima;
};
// Of Q4_K and Q5_K. The first four of each stand in the low six bits of bytes 0-3 and 4-7; the
// others have their low four bits in bytes 8-11 and their high two where those left room.
inline ScalesAndMinima Q4ScalesAndMinima(const uint8_t (&packed)[12]) {
  ScalesAndMinima out = {};
  for (size_t i = 0; i < 4; ++i) {
    out.scales[i] = packed[i] & 63;
    out.minima[i] = packed[i + 4] & 63;
    out.scales[i + 4] = static_cast<uint8_t>((packed[i + 8] & 15) | (packed[i] >> 6 << 4));
    out.minima[i + 4] = static_cast<uint8_t>((packed[i + 8] >> 4) | (packed[i + 4] >> 6 << 4));
  }
  return out;
}

// Of Q3_K: low four bits in the halves of bytes 0-7, high two in bytes 8-11.
inline std::array<int8_t, 16> Q3Scales(const uint8_t (&packed)[12]) {
  std::array<int8_t, 16> scales = {};
  for (size_t i = 0; i < 16; ++i) {
    const int low = i < 8 ? packed[i] & 15 : packed[i - 8] >> 4;
    const int high = packed[8 + i % 4] >> (2 * (i / 4)) & 3;
    scales[i] = static_cast<int8_t>((low | high << 4) - 32);
  }
  return scales;
}

inline std::array<int8_t, 8> IQ4Scales(const BlockIQ4_XS& block) {
  std::array<int8_t, 8> scales = {};
  for (size_t i = 0; i < 8; ++i) {
    const int low = block.scales_low[i / 2] >> (4 * (i % 2)) & 15;
    const int high = block.scales_high >> (2 * i) & 3;
    scales[i] = static_cast<int8_t>((low | high << 4) - 32);
  }
  return scales;
}

}  // namespace fulmen
