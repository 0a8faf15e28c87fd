#include "base/dtype.h"

#include <array>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "base/quant_blocks.h"

namespace fulmen {
namespace {

constexpr auto kFormats = std::to_array<BlockFormat>({
    {.name = "F32", .elements = 1, .bytes = 4, .weights = true},
    {.name = "F16", .elements = 1, .bytes = 2, .weights = true},
    {.name = "BF16", .elements = 1, .bytes = 2, .weights = true},
    {.name = "I64", .elements = 1, .bytes = 8},
    {.name = "I32", .elements = 1, .bytes = 4},
    {.name = "F64", .elements = 1, .bytes = 8},
    {.name = "I16", .elements = 1, .bytes = 2},
    {.name = "I8", .elements = 1, .bytes = 1},
    {.name = "U64", .elements = 1, .bytes = 8},
    {.name = "U32", .elements = 1, .bytes = 4},
    {.name = "U16", .elements = 1, .bytes = 2},
    {.name = "U8", .elements = 1, .bytes = 1},
    {.name = "BOOL", .elements = 1, .bytes = 1},
    {.name = "F8_E4M3", .elements = 1, .bytes = 1},
    {.name = "F8_E5M2", .elements = 1, .bytes = 1},
    {.name = "F8_E8M0", .elements = 1, .bytes = 1},
    {.name = "Q4_0", .elements = kSmallBlock, .bytes = sizeof(BlockQ4_0), .weights = true},
    {.name = "Q4_1", .elements = kSmallBlock, .bytes = sizeof(BlockQ4_1), .weights = true},
    {.name = "Q5_0", .elements = kSmallBlock, .bytes = sizeof(BlockQ5_0), .weights = true},
    {.name = "Q5_1", .elements = kSmallBlock, .bytes = sizeof(BlockQ5_1), .weights = true},
    {.name = "Q8_0", .elements = kSmallBlock, .bytes = sizeof(BlockQ8_0), .weights = true},
    {.name = "Q2_K", .elements = kSuperBlock, .bytes = sizeof(BlockQ2_K), .weights = true},
    {.name = "Q3_K", .elements = kSuperBlock, .bytes = sizeof(BlockQ3_K), .weights = true},
    {.name = "Q4_K", .elements = kSuperBlock, .bytes = sizeof(BlockQ4_K), .weights = true},
    {.name = "Q5_K", .elements = kSuperBlock, .bytes = sizeof(BlockQ5_K), .weights = true},
    {.name = "Q6_K", .elements = kSuperBlock, .bytes = sizeof(BlockQ6_K), .weights = true},
    {.name = "IQ4_NL", .elements = kSmallBlock, .bytes = sizeof(BlockIQ4_NL), .weights = true},
    {.name = "IQ4_XS", .elements = kSuperBlock, .bytes = sizeof(BlockIQ4_XS), .weights = true},
});
static_assert(kFormats.size() == static_cast<size_t>(DType::kIQ4_XS) + 1);

}  // namespace

const BlockFormat& FormatOf(DType type) { return kFormats[static_cast<size_t>(type)]; }

bool IsWeightType(DType type) { return FormatOf(type).weights; }

std::string_view DTypeName(DType type) { return FormatOf(type).name; }

size_t BytesOf(DType type, int64_t elements) {
  const BlockFormat& format = FormatOf(type);
  FULMEN_CHECK(elements % format.elements == 0, "{} elements of {}, which has blocks of {}",
               elements, format.name, format.elements);
  return static_cast<size_t>(elements / format.elements * format.bytes);
}

size_t DTypeSize(DType type) { return BytesOf(type, 1); }

std::optional<DType> DTypeFromName(std::string_view name) {
  for (size_t i = 0; i < kFormats.size(); ++i) {
    if (kFormats[i].name == name) return static_cast<DType>(i);
  }
  return std::nullopt;
}

float F32FromF16(uint16_t bits) {
  const uint32_t sign = uint32_t{bits & 0x8000u} << 16;
  const uint32_t exponent = (bits >> 10) & 0x1fu;
  const uint32_t mantissa = bits & 0x3ffu;
  if (exponent == 0) {
    const float magnitude = std::ldexp(static_cast<float>(mantissa), -24);
    return sign != 0 ? -magnitude : magnitude;
  }
  const uint32_t wide = exponent == 31 ? 255 : exponent + (127 - 15);
  return std::bit_cast<float>(sign | (wide << 23) | (mantissa << 13));
}

uint16_t F16FromF32(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const auto sign = static_cast<uint16_t>((bits >> 16) & 0x8000u);
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return sign | 0x7e00u;   // NaN
  if (magnitude >= 0x477ff000u) return sign | 0x7c00u;  // rounds past 65504: infinity
  if (magnitude < 0x38800000u) {                        // subnormal half: a multiple of 2^-24
    return sign |
           static_cast<uint16_t>(std::nearbyint(std::ldexp(std::bit_cast<float>(magnitude), 24)));
  }
  const uint32_t rebiased = magnitude - ((127u - 15u) << 23);
  return sign | static_cast<uint16_t>((rebiased + 0xfffu + ((rebiased >> 13) & 1u)) >> 13);
}

float LoadFloat(DType type, const void* data, size_t index) {
  switch (type) {
    case DType::kF32:
      return static_cast<const float*>(data)[index];
    case DType::kF16:
      return F32FromF16(static_cast<const uint16_t*>(data)[index]);
    case DType::kBF16:
      return F32FromBF16(static_cast<const uint16_t*>(data)[index]);
    default:
      FULMEN_CHECK(false, "{} is no floating-point type", DTypeName(type));
  }
}

}  // namespace fulmen
