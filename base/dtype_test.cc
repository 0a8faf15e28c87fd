#include "base/dtype.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>

namespace fulmen {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

TEST(DType, NamesRoundTrip) {
  for (int i = 0; i <= static_cast<int>(DType::kIQ4_XS); ++i) {
    const auto type = static_cast<DType>(i);
    EXPECT_EQ(DTypeFromName(DTypeName(type)), type);
    EXPECT_GE(BytesOf(type, FormatOf(type).elements), 1U);
    EXPECT_EQ(IsQuantized(type), type >= DType::kQ4_0);
  }
  EXPECT_EQ(DTypeFromName("F4"), std::nullopt);
  EXPECT_EQ(DTypeFromName(""), std::nullopt);
  EXPECT_EQ(DTypeSize(DType::kBF16), 2U);
  EXPECT_EQ(DTypeSize(DType::kF64), 8U);
}

TEST(DType, EveryF16RoundTrips) {
  for (uint32_t i = 0; i <= 0xffff; ++i) {
    const auto bits = static_cast<uint16_t>(i);
    const float value = F32FromF16(bits);
    if (std::isnan(value)) {
      EXPECT_GT(bits & 0x7fffU, 0x7c00U);
      EXPECT_TRUE(std::isnan(F32FromF16(F16FromF32(value)))) << bits;
    } else {
      EXPECT_EQ(F16FromF32(value), bits);
    }
  }
}

TEST(DType, EveryBf16RoundTrips) {
  for (uint32_t i = 0; i <= 0xffff; ++i) {
    const auto bits = static_cast<uint16_t>(i);
    const float value = F32FromBF16(bits);
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(F32FromBF16(BF16FromF32(value)))) << bits;
    } else {
      EXPECT_EQ(BF16FromF32(value), bits);
    }
  }
}

// Between two neighbours of the narrow type: below the middle goes down, above it up, and the
// middle itself to the neighbour whose last bit is zero.
template <class Widen, class Narrow>
void ExpectNearestEven(uint16_t low, const Widen& widen, const Narrow& narrow) {
  const auto high = static_cast<uint16_t>(low + 1);
  const float middle = widen(low) + (widen(high) - widen(low)) / 2;
  EXPECT_EQ(narrow(middle), (low & 1) == 0 ? low : high) << low;
  EXPECT_EQ(narrow(std::nextafter(middle, -kInfinity)), low) << low;
  EXPECT_EQ(narrow(std::nextafter(middle, kInfinity)), high) << low;
}

TEST(DType, RoundsToNearestEven) {
  for (uint32_t i = 0; i < 0x7bff; ++i) {
    ExpectNearestEven(static_cast<uint16_t>(i), F32FromF16, F16FromF32);
  }
  for (uint32_t i = 0; i < 0x7f7e; ++i) {
    ExpectNearestEven(static_cast<uint16_t>(i), F32FromBF16, BF16FromF32);
  }
}

TEST(DType, Limits) {
  EXPECT_EQ(F32FromF16(0x7bff), 65504.0F);
  EXPECT_EQ(F32FromF16(0x0001), std::ldexp(1.0F, -24));
  EXPECT_EQ(F32FromF16(0x7c00), kInfinity);
  EXPECT_EQ(F16FromF32(65519.996F), 0x7bff);
  EXPECT_EQ(F16FromF32(65520.0F), 0x7c00);
  EXPECT_EQ(F16FromF32(-kInfinity), 0xfc00);
  EXPECT_EQ(F16FromF32(-0.0F), 0x8000);
  EXPECT_EQ(F16FromF32(1e-30F), 0x0000);
  EXPECT_EQ(BF16FromF32(std::numeric_limits<float>::max()), 0x7f80);
  EXPECT_EQ(BF16FromF32(kInfinity), 0x7f80);
  // A NaN whose upper bits alone would read as infinity.
  EXPECT_TRUE(std::isnan(F32FromBF16(BF16FromF32(std::bit_cast<float>(0x7f800001U)))));
}

TEST(DType, BlocksAreWhole) {
  EXPECT_EQ(BytesOf(DType::kBF16, 7), 14U);
  EXPECT_EQ(BytesOf(DType::kF64, 0), 0U);
  EXPECT_EQ(DTypeSize(DType::kF32), 4U);
  EXPECT_EQ(FormatOf(DType::kF8E8M0).name, "F8_E8M0");
  EXPECT_TRUE(IsWeightType(DType::kF16));
  EXPECT_FALSE(IsWeightType(DType::kI8));
  EXPECT_TRUE(IsWeightType(DType::kQ4_K));
  EXPECT_EQ(BytesOf(DType::kQ4_K, 512), 288U);
  EXPECT_EQ(BytesOf(DType::kQ8_0, 32), 34U);
}

TEST(DType, LoadFloatWidens) {
  const float f32[] = {1.5F, -2.0F};
  const uint16_t f16[] = {0x3c00, 0xc000};
  const uint16_t bf16[] = {0x3f80, 0xc000};
  EXPECT_EQ(LoadFloat(DType::kF32, f32, 1), -2.0F);
  EXPECT_EQ(LoadFloat(DType::kF16, f16, 1), -2.0F);
  EXPECT_EQ(LoadFloat(DType::kBF16, bf16, 0), 1.0F);
}

}  // namespace
}  // namespace fulmen
