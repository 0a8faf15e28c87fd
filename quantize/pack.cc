#include "quantize/pack.h"

#include <cstring>

namespace fulmen {
namespace {

uint8_t Byte(int value) { return static_cast<uint8_t>(value); }

// Element i in the low half of byte i, element i + 16 in the high one.
void PackNibbles(const uint8_t* codes, uint8_t* q) {
  for (int i = 0; i < 16; ++i) q[i] = Byte((codes[i] & 15) | codes[i + 16] << 4);
}

// Bit i of high: the fifth bit of element i. The product gathers the lowest bits of eight bytes in
// its highest byte: byte i meets the factor's bit 56 - 7 i there, and no two of their products
// coincide.
void PackFifthBits(const uint8_t* codes, uint8_t (&high)[4]) {
  for (int i = 0; i < 4; ++i) {
    uint64_t eight = 0;
    std::memcpy(&eight, codes + 8 * i, sizeof(eight));
    high[i] = static_cast<uint8_t>(((eight >> 4 & 0x0101010101010101) * 0x0102040810204080) >> 56);
  }
}

// The low two bits of elements 128h + l, + 32, + 64 and + 96 in byte 32h + l.
void PackTwoBits(const uint8_t* codes, uint8_t (&q)[64]) {
  for (int h = 0; h < 2; ++h) {
    const uint8_t* c = codes + 128 * h;
    for (int l = 0; l < 32; ++l) {
      q[32 * h + l] =
          Byte((c[l] & 3) | (c[l + 32] & 3) << 2 | (c[l + 64] & 3) << 4 | (c[l + 96] & 3) << 6);
    }
  }
}

// The low four bits of elements 64c + l and 64c + 32 + l in byte 32c + l.
void PackNibblesOfPairs(const uint8_t* codes, uint8_t (&q)[128]) {
  for (int c = 0; c < 4; ++c) {
    const uint8_t* pair = codes + 64 * c;
    for (int l = 0; l < 32; ++l) q[32 * c + l] = Byte((pair[l] & 15) | pair[l + 32] << 4);
  }
}

// One bit of each element: bit g of byte l is that of element 32g + l.
void PackBit(const uint8_t* codes, int bit, uint8_t (&high)[32]) {
  std::memset(high, 0, sizeof(high));
  for (int g = 0; g < 8; ++g) {
    for (int l = 0; l < 32; ++l) {
      high[l] = Byte(high[l] | (codes[32 * g + l] >> bit & 1) << g);
    }
  }
}

// The inverse of Q4ScalesAndMinima().
void PackQ4Scales(const SuperBlock& from, uint8_t (&packed)[12]) {
  for (int i = 0; i < 4; ++i) {
    const int scale = from.scales[i + 4];
    const int minimum = from.minima[i + 4];
    packed[i] = Byte(from.scales[i] | scale >> 4 << 6);
    packed[i + 4] = Byte(from.minima[i] | minimum >> 4 << 6);
    packed[i + 8] = Byte((scale & 15) | (minimum & 15) << 4);
  }
}

// The inverse of Q3Scales().
void PackQ3Scales(const int* scales, uint8_t (&packed)[12]) {
  std::memset(packed, 0, sizeof(packed));
  for (int i = 0; i < 16; ++i) {
    const int scale = scales[i] + 32;
    packed[i % 8] = Byte(packed[i % 8] | (scale & 15) << (i / 8 * 4));
    packed[8 + i % 4] = Byte(packed[8 + i % 4] | scale >> 4 << (i / 4 * 2));
  }
}

}  // namespace

void Pack(const SmallBlock& from, BlockQ4_0& to) {
  to.d = from.d;
  PackNibbles(from.codes, to.q);
}

void Pack(const SmallBlock& from, BlockQ4_1& to) {
  to.d = from.d;
  to.m = from.m;
  PackNibbles(from.codes, to.q);
}

void Pack(const SmallBlock& from, BlockQ5_0& to) {
  to.d = from.d;
  PackNibbles(from.codes, to.q);
  PackFifthBits(from.codes, to.high);
}

void Pack(const SmallBlock& from, BlockQ5_1& to) {
  to.d = from.d;
  to.m = from.m;
  PackNibbles(from.codes, to.q);
  PackFifthBits(from.codes, to.high);
}

void Pack(const SmallBlock& from, BlockQ8_0& to) {
  to.d = from.d;
  for (int i = 0; i < 32; ++i) to.q[i] = static_cast<int8_t>(from.codes[i] - 128);
}

void Pack(const SmallBlock& from, BlockIQ4_NL& to) {
  to.d = from.d;
  PackNibbles(from.codes, to.q);
}

void Pack(const SuperBlock& from, BlockQ2_K& to) {
  to.d = from.d;
  to.dmin = from.dmin;
  for (int i = 0; i < 16; ++i) to.scales[i] = Byte(from.scales[i] | from.minima[i] << 4);
  PackTwoBits(from.codes, to.q);
}

void Pack(const SuperBlock& from, BlockQ3_K& to) {
  to.d = from.d;
  PackQ3Scales(from.scales, to.scales);
  PackTwoBits(from.codes, to.q);
  PackBit(from.codes, 2, to.high);
}

void Pack(const SuperBlock& from, BlockQ4_K& to) {
  to.d = from.d;
  to.dmin = from.dmin;
  PackQ4Scales(from, to.scales);
  PackNibblesOfPairs(from.codes, to.q);
}

void Pack(const SuperBlock& from, BlockQ5_K& to) {
  to.d = from.d;
  to.dmin = from.dmin;
  PackQ4Scales(from, to.scales);
  PackNibblesOfPairs(from.codes, to.q);
  PackBit(from.codes, 4, to.high);
}

void Pack(const SuperBlock& from, BlockQ6_K& to) {
  to.d = from.d;
  for (int i = 0; i < 16; ++i) to.scales[i] = static_cast<int8_t>(from.scales[i]);
  for (int h = 0; h < 2; ++h) {
    const uint8_t* c = from.codes + 128 * h;
    for (int l = 0; l < 64; ++l) to.low[64 * h + l] = Byte((c[l] & 15) | c[l + 64] << 4);
    for (int l = 0; l < 32; ++l) {
      to.high[32 * h + l] =
          Byte(c[l] >> 4 | c[l + 32] >> 4 << 2 | c[l + 64] >> 4 << 4 | c[l + 96] >> 4 << 6);
    }
  }
}

void Pack(const SuperBlock& from, BlockIQ4_XS& to) {
  to.d = from.d;
  to.scales_high = 0;
  std::memset(to.scales_low, 0, sizeof(to.scales_low));
  for (int i = 0; i < 8; ++i) {
    const int scale = from.scales[i] + 32;
    to.scales_low[i / 2] = Byte(to.scales_low[i / 2] | (scale & 15) << (i % 2 * 4));
    to.scales_high = static_cast<uint16_t>(to.scales_high | scale >> 4 << (2 * i));
    PackNibbles(from.codes + 32 * i, to.q + 16 * i);
  }
}

}  // namespace fulmen
