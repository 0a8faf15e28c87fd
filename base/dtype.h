// Element types of tensors and their scalar conversions.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace fulmen {

// F32, F16, BF16 and the quantized types can be weights; the others are only carried, so that files
// holding them can be listed and refused by name.
enum class DType : uint8_t {
  kF32,
  kF16,
  kBF16,
  kI64,
  kI32,
  kF64,
  kI16,
  kI8,
  kU64,
  kU32,
  kU16,
  kU8,
  kBool,
  kF8E4M3,
  kF8E5M2,
  kF8E8M0,
  // Quantized: base/quant_blocks.h has their blocks.
  kQ4_0,
  kQ4_1,
  kQ5_0,
  kQ5_1,
  kQ8_0,
  kQ2_K,
  kQ3_K,
  kQ4_K,
  kQ5_K,
  kQ6_K,
  kIQ4_NL,
  kIQ4_XS,
};

// How a type lies in memory: blocks of so many elements in so many bytes. Only quantized types have
// blocks of more than one.
struct BlockFormat {
  // The spelling of safetensors, or of ggml for quantized types: "BF16", "I64", "F8_E4M3", "Q4_K".
  std::string_view name;
  int64_t elements;
  int64_t bytes;
  bool weights = false;  // whether weights may be of this type
};
const BlockFormat& FormatOf(DType type);

bool IsWeightType(DType type);
inline bool IsQuantized(DType type) { return FormatOf(type).elements > 1; }
std::string_view DTypeName(DType type);
// Bytes of consecutive elements, which are whole blocks.
size_t BytesOf(DType type, int64_t elements);
// Bytes of one element, for types with blocks of one.
size_t DTypeSize(DType type);
std::optional<DType> DTypeFromName(std::string_view name);

inline float F32FromBF16(uint16_t bits) { return std::bit_cast<float>(uint32_t{bits} << 16); }

// Round to nearest, ties to even; NaN stays NaN.
inline uint16_t BF16FromF32(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

// IEEE binary16, subnormals and infinities included.
float F32FromF16(uint16_t bits);
uint16_t F16FromF32(float value);

// Element `index` of an array of F32, F16 or BF16.
float LoadFloat(DType type, const void* data, size_t index);

}  // namespace fulmen
