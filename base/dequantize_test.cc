#include "base/dequantize.h"

#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <vector>

#include "base/quant_blocks.h"

namespace fulmen {
namespace {

template <class Block>
std::vector<float> Floats(DType type, const Block& block) {
  std::vector<float> values(static_cast<size_t>(FormatOf(type).elements));
  DequantizeBlocks(type, &block, FormatOf(type).elements, values.data());
  return values;
}

constexpr uint16_t kHalf = 0x3800;   // 0.5
constexpr uint16_t kTwo = 0x4000;    // 2
constexpr uint16_t kMinus = 0xbc00;  // -1

TEST(Dequantize, BlocksOf32) {
  BlockQ4_0 q4_0 = {.d = kHalf, .q = {}};
  q4_0.q[3] = 0xf1;
  const auto a = Floats(DType::kQ4_0, q4_0);
  EXPECT_EQ(a[0], -4);
  EXPECT_EQ(a[3], -3.5F);
  EXPECT_EQ(a[19], 3.5F);

  BlockQ5_1 q5_1 = {.d = kTwo, .m = kMinus, .high = {0, 0x01, 0, 0x80}, .q = {}};
  q5_1.q[15] = 0x30;
  const auto b = Floats(DType::kQ5_1, q5_1);
  EXPECT_EQ(b[0], -1);
  EXPECT_EQ(b[8], 31);
  EXPECT_EQ(b[31], 2 * (16 + 3) - 1);

  BlockQ8_0 q8_0 = {.d = kHalf, .q = {-128, 127}};
  const auto c = Floats(DType::kQ8_0, q8_0);
  EXPECT_EQ(c[0], -64);
  EXPECT_EQ(c[1], 63.5F);

  BlockIQ4_NL iq4 = {.d = kMinus, .q = {0xf0}};
  const auto d = Floats(DType::kIQ4_NL, iq4);
  EXPECT_EQ(d[0], 127);
  EXPECT_EQ(d[16], -113);
}

TEST(Dequantize, BlocksOf256) {
  BlockQ4_K q4 = {.d = kHalf, .dmin = kTwo, .scales = {}, .q = {}};
  q4.scales[0] = 0xc1;  // scale 1 of group 0; high bits of group 4's
  q4.scales[4] = 0x43;  // minimum 3 of group 0; a high bit of group 4's
  q4.scales[8] = 0x52;  // group 4: scale 2, minimum 5
  q4.q[0] = 0x0f;
  q4.q[64] = 0x07;
  const auto a = Floats(DType::kQ4_K, q4);
  EXPECT_EQ(a[0], 0.5F * 15 - 2 * 3);
  EXPECT_EQ(a[1], -6);
  EXPECT_EQ(a[32], 0);
  EXPECT_EQ(a[128], 0.5F * 50 * 7 - 2 * 21);

  BlockQ6_K q6 = {.low = {}, .high = {}, .scales = {}, .d = kTwo};
  q6.scales[15] = -3;
  q6.low[127] = 0xa0;  // element 255 has its low bits in the high half
  q6.high[63] = 0x80;
  const auto b = Floats(DType::kQ6_K, q6);
  EXPECT_EQ(b[255], 2.0F * -3 * ((10 | 2 << 4) - 32));
  EXPECT_EQ(b[254], 2.0F * -3 * -32);
  EXPECT_EQ(b[0], 0);

  BlockQ3_K q3 = {.high = {}, .q = {}, .scales = {}, .d = kHalf};
  q3.q[33] = 0x10;      // element 128 + 64 + 1: value 1
  q3.high[1] = 1 << 6;  // its third bit
  const auto c = Floats(DType::kQ3_K, q3);
  EXPECT_EQ(c[193], 0.5F * -32 * 1);
  EXPECT_EQ(c[194], 0.5F * -32 * -4);

  BlockIQ4_XS iq4 = {.d = kHalf, .scales_high = 3 << 14, .scales_low = {0, 0, 0, 0xf0}, .q = {}};
  iq4.q[127] = 0x10;
  const auto d = Floats(DType::kIQ4_XS, iq4);
  EXPECT_EQ(d[255], 0.5F * (63 - 32) * -104);
  EXPECT_EQ(d[0], 0.5F * -32 * -127);

  BlockQ2_K q2 = {.scales = {}, .q = {}, .d = kTwo, .dmin = kHalf};
  q2.scales[15] = 0x2f;
  q2.q[63] = 0xc0;
  const auto e = Floats(DType::kQ2_K, q2);
  EXPECT_EQ(e[255], 2.0F * 15 * 3 - 0.5F * 2);
}

}  // namespace
}  // namespace fulmen
