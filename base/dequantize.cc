#include "base/dequantize.h"

#include "base/check.h"
#include "base/quant_blocks.h"

namespace fulmen {
namespace {

// Element i of a block of 32 whose halves share bytes.
int Nibble(const uint8_t* q, int i) { return i < 16 ? q[i] & 15 : q[i - 16] >> 4; }

int FifthBit(const uint8_t (&high)[4], int i) { return (high[i / 8] >> (i % 8) & 1) << 4; }

void Dequantize(const BlockQ4_0& b, float* out) {
  const float d = F32FromF16(b.d);
  for (int i = 0; i < 32; ++i) out[i] = d * static_cast<float>(Nibble(b.q, i) - 8);
}

void Dequantize(const BlockQ4_1& b, float* out) {
  const float d = F32FromF16(b.d);
  const float m = F32FromF16(b.m);
  for (int i = 0; i < 32; ++i) out[i] = d * static_cast<float>(Nibble(b.q, i)) + m;
}

void Dequantize(const BlockQ5_0& b, float* out) {
  const float d = F32FromF16(b.d);
  for (int i = 0; i < 32; ++i) {
    out[i] = d * static_cast<float>((Nibble(b.q, i) | FifthBit(b.high, i)) - 16);
  }
}

void Dequantize(const BlockQ5_1& b, float* out) {
  const float d = F32FromF16(b.d);
  const float m = F32FromF16(b.m);
  for (int i = 0; i < 32; ++i) {
    out[i] = d * static_cast<float>(Nibble(b.q, i) | FifthBit(b.high, i)) + m;
  }
}

void Dequantize(const BlockQ8_0& b, float* out) {
  const float d = F32FromF16(b.d);
  for (int i = 0; i < 32; ++i) out[i] = d * static_cast<float>(b.q[i]);
}

void Dequantize(const BlockIQ4_NL& b, float* out) {
  const float d = F32FromF16(b.d);
  for (int i = 0; i < 32; ++i) {
    out[i] = d * static_cast<float>(kIQ4Values[static_cast<size_t>(Nibble(b.q, i))]);
  }
}

// The two bits of element i of a block of 256.
int TwoBits(const uint8_t (&q)[64], int i) {
  return q[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3;
}

void Dequantize(const BlockQ2_K& b, float* out) {
  const float d = F32FromF16(b.d);
  const float dmin = F32FromF16(b.dmin);
  for (int i = 0; i < kSuperBlock; ++i) {
    const int scale = b.scales[i / 16];
    const float step = d * static_cast<float>(scale & 15);
    const float minimum = dmin * static_cast<float>(scale >> 4);
    out[i] = step * static_cast<float>(TwoBits(b.q, i)) - minimum;
  }
}

void Dequantize(const BlockQ3_K& b, float* out) {
  const float d = F32FromF16(b.d);
  const std::array<int8_t, 16> scales = Q3Scales(b.scales);
  for (int i = 0; i < kSuperBlock; ++i) {
    const float step = d * static_cast<float>(scales[static_cast<size_t>(i / 16)]);
    const int third = b.high[i % 32] >> (i / 32) & 1;
    out[i] = step * static_cast<float>(TwoBits(b.q, i) + 4 * third - 4);
  }
}

// Element i of groups of 32 that share bytes two by two.
int NibbleOfPair(const uint8_t (&q)[128], int i) {
  const int byte = q[i / 64 * 32 + i % 32];
  return i % 64 < 32 ? byte & 15 : byte >> 4;
}

// Of Q4_K and Q5_K, whose element i is value(i).
template <class Block, class Value>
void DequantizeGroups(const Block& b, const Value& value, float* out) {
  const float d = F32FromF16(b.d);
  const float dmin = F32FromF16(b.dmin);
  const ScalesAndMinima s = Q4ScalesAndMinima(b.scales);
  for (int i = 0; i < kSuperBlock; ++i) {
    const auto group = static_cast<size_t>(i / 32);
    const float step = d * static_cast<float>(s.scales[group]);
    const float minimum = dmin * static_cast<float>(s.minima[group]);
    out[i] = step * static_cast<float>(value(i)) - minimum;
  }
}

void Dequantize(const BlockQ4_K& b, float* out) {
  DequantizeGroups(
      b, [&](int i) { return NibbleOfPair(b.q, i); }, out);
}

void Dequantize(const BlockQ5_K& b, float* out) {
  const auto value = [&](int i) {
    const int fifth = (b.high[i % 32] >> (i / 32) & 1) << 4;
    return NibbleOfPair(b.q, i) | fifth;
  };
  DequantizeGroups(b, value, out);
}

void Dequantize(const BlockQ6_K& b, float* out) {
  const float d = F32FromF16(b.d);
  for (int i = 0; i < kSuperBlock; ++i) {
    const int half = i / 128;
    const int quarter = i % 128 / 32;
    const int byte = b.low[64 * half + i % 64];
    const int low = quarter < 2 ? byte & 15 : byte >> 4;
    const int high = b.high[32 * half + i % 32] >> (2 * quarter) & 3;
    const int group = i / 16;
    const float step = d * static_cast<float>(b.scales[group]);
    out[i] = step * static_cast<float>((low | high << 4) - 32);
  }
}

void Dequantize(const BlockIQ4_XS& b, float* out) {
  const float d = F32FromF16(b.d);
  const std::array<int8_t, 8> scales = IQ4Scales(b);
  for (int i = 0; i < kSuperBlock; ++i) {
    const float step = d * static_cast<float>(scales[static_cast<size_t>(i / 32)]);
    const int index = Nibble(b.q + i / 32 * 16, i % 32);
    out[i] = step * static_cast<float>(kIQ4Values[static_cast<size_t>(index)]);
  }
}

template <class Block>
void DequantizeAll(const void* from, int64_t blocks, int64_t block_size, float* out) {
  const auto* block = static_cast<const Block*>(from);
  for (int64_t i = 0; i < blocks; ++i) Dequantize(block[i], out + i * block_size);
}

}  // namespace

void DequantizeBlocks(DType type, const void* from, int64_t elements, float* out) {
  const int64_t size = FormatOf(type).elements;
  FULMEN_CHECK(elements % size == 0, "{} elements of {}", elements, DTypeName(type));
  const int64_t blocks = elements / size;
  switch (type) {
    case DType::kQ4_0:
      return DequantizeAll<BlockQ4_0>(from, blocks, size, out);
    case DType::kQ4_1:
      return DequantizeAll<BlockQ4_1>(from, blocks, size, out);
    case DType::kQ5_0:
      return DequantizeAll<BlockQ5_0>(from, blocks, size, out);
    case DType::kQ5_1:
      return DequantizeAll<BlockQ5_1>(from, blocks, size, out);
    case DType::kQ8_0:
      return DequantizeAll<BlockQ8_0>(from, blocks, size, out);
    case DType::kQ2_K:
      return DequantizeAll<BlockQ2_K>(from, blocks, size, out);
    case DType::kQ3_K:
      return DequantizeAll<BlockQ3_K>(from, blocks, size, out);
    case DType::kQ4_K:
      return DequantizeAll<BlockQ4_K>(from, blocks, size, out);
    case DType::kQ5_K:
      return DequantizeAll<BlockQ5_K>(from, blocks, size, out);
    case DType::kQ6_K:
      return DequantizeAll<BlockQ6_K>(from, blocks, size, out);
    case DType::kIQ4_NL:
      return DequantizeAll<BlockIQ4_NL>(from, blocks, size, out);
    case DType::kIQ4_XS:
      return DequantizeAll<BlockIQ4_XS>(from, blocks, size, out);
    default:
      FULMEN_CHECK(false, "{} is no quantized type", DTypeName(type));
  }
}

}  // namespace fulmen
