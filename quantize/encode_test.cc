#include "quantize/encode.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "base/dequantize.h"
#include "base/quant_blocks.h"
#include "base/random.h"
#include "kernels/cpu/targets.h"
#include "tests/testing/compare.h"

namespace fulmen {
namespace {

using testing::RandomNormal;

struct QuantizedType {
  DType type;
  int64_t group;   // weights that share a scale
  int levels;      // that a weight can have
  bool symmetric;  // about zero, nearly
  double slack;    // of the error, beside that of uniform levels over each group's range
};
constexpr QuantizedType kTypes[] = {
    {DType::kQ8_0, 32, 255, true, 1.05}, {DType::kQ4_0, 32, 16, true, 1},
    {DType::kQ4_1, 32, 16, false, 1},    {DType::kQ5_0, 32, 32, true, 1},
    {DType::kQ5_1, 32, 32, false, 1},    {DType::kIQ4_NL, 32, 16, true, 1},
    {DType::kQ2_K, 16, 4, false, 1},     {DType::kQ3_K, 16, 8, true, 1},
    {DType::kQ4_K, 32, 16, false, 1},    {DType::kQ5_K, 32, 32, false, 1},
    {DType::kQ6_K, 16, 64, true, 1},     {DType::kIQ4_XS, 32, 16, true, 1},
};

std::vector<std::byte> Encoded(DType type, const std::vector<float>& x, int64_t cols,
                               std::span<const float> importance = {}) {
  const auto count = static_cast<int64_t>(x.size());
  std::vector<std::byte> blocks(BytesOf(type, count));
  QuantizeRows(type, x.data(), count / cols, cols, importance, blocks.data());
  return blocks;
}

std::vector<float> RoundTrip(DType type, const std::vector<float>& x, int64_t cols,
                             std::span<const float> importance = {}) {
  const std::vector<std::byte> blocks = Encoded(type, x, cols, importance);
  std::vector<float> back(x.size());
  DequantizeBlocks(type, blocks.data(), static_cast<int64_t>(x.size()), back.data());
  return back;
}

double SquaredError(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double difference = double{a[i]} - b[i];
    sum += difference * difference;
  }
  return sum;
}

// Of levels that divide each group's range evenly: step^2 / 12 per weight.
double UniformError(const QuantizedType& type, const std::vector<float>& x) {
  double sum = 0;
  for (auto group = x.begin(); group != x.end(); group += type.group) {
    const auto [least, greatest] = std::minmax_element(group, group + type.group);
    const double range = type.symmetric ? 2.0 * std::max(std::fabs(*least), std::fabs(*greatest))
                                        : double{*greatest} - *least;
    const double step = range / (type.levels - 1);
    sum += step * step / 12 * static_cast<double>(type.group);
  }
  return sum;
}

TEST(QuantizeRows, IsCloserThanEvenLevels) {
  for (const QuantizedType& type : kTypes) {
    SCOPED_TRACE(DTypeName(type.type));
    const std::vector<float> x = RandomNormal(64 * 512, 1, 0.02F);
    const double ratio = SquaredError(x, RoundTrip(type.type, x, 512)) / UniformError(type, x);
    EXPECT_LT(ratio, type.slack);
    EXPECT_GT(ratio, 0.3);
  }
}

// Rounding differs between instruction sets, so a tie may go either way, but no more than that.
TEST(QuantizeRows, EveryInstructionSetFindsAsMuch) {
  const std::vector<float> x = RandomNormal(8 * 512, 10, 0.02F);
  for (const QuantizedType& type : kTypes) {
    const double error = SquaredError(x, RoundTrip(type.type, x, 512));
    for (const std::string& target : cpu::Targets()) {
      SCOPED_TRACE(fmt::format("{} {}", DTypeName(type.type), target));
      const cpu::ScopedTarget scope(cpu::FindTarget(target).value().bit);
      EXPECT_NEAR(SquaredError(x, RoundTrip(type.type, x, 512)), error, 0.01 * error);
    }
  }
}

TEST(QuantizeRows, KeepsFloats) {
  const std::vector<float> x = {1, -2.5F, 3e38F, 0, 1e-3F};
  std::vector<float> same(x.size());
  QuantizeRows(DType::kF32, x.data(), 1, 5, {}, reinterpret_cast<std::byte*>(same.data()));
  EXPECT_EQ(same, x);
  std::vector<uint16_t> bits(x.size());
  QuantizeRows(DType::kBF16, x.data(), 1, 5, {}, reinterpret_cast<std::byte*>(bits.data()));
  EXPECT_EQ(F32FromBF16(bits[1]), -2.5F);
  QuantizeRows(DType::kF16, x.data(), 1, 5, {}, reinterpret_cast<std::byte*>(bits.data()));
  EXPECT_EQ(F32FromF16(bits[1]), -2.5F);
  EXPECT_EQ(F32FromF16(bits[2]), 65504.0F);
}

// Blocks of random bytes whose steps are sane; the first weights have the lowest and highest codes.
template <class Block>
std::vector<float> Representable(DType type, int blocks) {
  RandomStream random(5);
  std::vector<float> values(static_cast<size_t>(blocks * kSmallBlock));
  for (int i = 0; i < blocks; ++i) {
    Block block;
    uint8_t bytes[sizeof(Block)];
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random.Next());
    std::memcpy(&block, bytes, sizeof(block));
    block.d = F16FromF32(static_cast<float>(0.01 + random.Uniform()));
    if constexpr (requires { block.m; }) {
      block.m = F16FromF32(static_cast<float>(random.Uniform() - 0.5));
    }
    if constexpr (requires { block.high; }) {
      block.high[0] = static_cast<uint8_t>((block.high[0] & 0xfc) | 2);
    }
    block.q[0] = static_cast<decltype(+block.q[0])>(type == DType::kQ8_0 ? -127 : 0xf0);
    block.q[1] = static_cast<decltype(+block.q[0])>(type == DType::kQ8_0 ? 127 : 0x0f);
    for (auto& q : block.q) {
      if (type == DType::kQ8_0 && q == decltype(q + 0){-128}) q = 0;
    }
    DequantizeBlocks(type, &block, kSmallBlock, values.data() + i * kSmallBlock);
  }
  return values;
}

TEST(QuantizeRows, GivesBackWhatBlocksOf32CanHold) {
  const auto check = [](DType type, const std::vector<float>& x) {
    SCOPED_TRACE(DTypeName(type));
    const std::vector<float> back = RoundTrip(type, x, 64);
    // An offset is the difference of larger sums, and may end at the next float16.
    const bool has_offset = type == DType::kQ4_1 || type == DType::kQ5_1;
    if (has_offset) {
      EXPECT_TRUE(testing::NearRelativeToLargest(back, x, 1e-5));
    } else {
      EXPECT_EQ(back, x);
    }
  };
  check(DType::kQ4_0, Representable<BlockQ4_0>(DType::kQ4_0, 40));
  check(DType::kQ4_1, Representable<BlockQ4_1>(DType::kQ4_1, 40));
  check(DType::kQ5_0, Representable<BlockQ5_0>(DType::kQ5_0, 40));
  check(DType::kQ5_1, Representable<BlockQ5_1>(DType::kQ5_1, 40));
  check(DType::kQ8_0, Representable<BlockQ8_0>(DType::kQ8_0, 40));
  check(DType::kIQ4_NL, Representable<BlockIQ4_NL>(DType::kIQ4_NL, 40));
}

TEST(QuantizeRows, QuantizingAgainAddsLittle) {
  for (const QuantizedType& type : kTypes) {
    SCOPED_TRACE(DTypeName(type.type));
    const std::vector<float> x = RandomNormal(16 * 256, 2, 0.02F);
    const std::vector<float> once = RoundTrip(type.type, x, 256);
    const std::vector<float> twice = RoundTrip(type.type, once, 256);
    EXPECT_LT(SquaredError(once, twice), 0.05 * SquaredError(x, once));
  }
}

TEST(QuantizeRows, ZerosStayZero) {
  for (const QuantizedType& type : kTypes) {
    SCOPED_TRACE(DTypeName(type.type));
    std::vector<float> x(512, 0.0F);
    EXPECT_EQ(RoundTrip(type.type, x, 256), x);
    // Beside other weights, too.
    x = RandomNormal(512, 3);
    std::fill(x.begin() + 32, x.begin() + 64, 0.0F);
    const std::vector<float> back = RoundTrip(type.type, x, 256);
    for (size_t i = 32; i < 64; ++i) EXPECT_EQ(back[i], 0) << i;
  }
}

TEST(QuantizeRows, AnyFiniteValueGivesFiniteOnes) {
  for (const QuantizedType& type : kTypes) {
    SCOPED_TRACE(DTypeName(type.type));
    for (const float scale : {1e-45F, 1e-30F, 1e-8F, 1e-6F, 1e5F, 1e9F, 1e20F, 1e37F}) {
      SCOPED_TRACE(scale);
      std::vector<float> x = RandomNormal(512, 4, scale);
      x[7] = std::numeric_limits<float>::max();
      x[300] = -std::numeric_limits<float>::max();
      const std::vector<float> back = RoundTrip(type.type, x, 256);
      for (const float value : back) ASSERT_TRUE(std::isfinite(value));
      EXPECT_GT(back[7], 60000);
      EXPECT_LT(back[300], -60000);
    }
    // Too small for any step but zero, or for a step of full precision.
    for (const float scale : {1e-45F, 1e-30F, 1e-8F, 1e-6F}) {
      const std::vector<float> x = RandomNormal(512, 4, scale);
      const std::vector<float> back = RoundTrip(type.type, x, 256);
      for (size_t i = 0; i < x.size(); ++i) EXPECT_LT(std::fabs(back[i] - x[i]), 4 * scale + 1e-7F);
    }
  }
}

TEST(QuantizeRows, EqualValuesAreKept) {
  for (const QuantizedType& type : kTypes) {
    SCOPED_TRACE(DTypeName(type.type));
    for (const float value : {0.75F, -0.75F}) {
      const std::vector<float> x(512, value);
      for (const float back : RoundTrip(type.type, x, 512)) EXPECT_NEAR(back, value, 0.01);
    }
  }
}

// How many rows come in a call, and which, changes nothing.
TEST(QuantizeRows, RowsAreIndependent) {
  for (const QuantizedType& type : kTypes) {
    SCOPED_TRACE(DTypeName(type.type));
    const int64_t cols = 3 * FormatOf(type.type).elements;
    for (const int64_t rows : {1, 2, 3, 7, 19}) {
      const std::vector<float> x = RandomNormal(rows * cols, 6);
      const std::vector<float> importance(RandomNormal(cols, 7));
      std::vector<float> positive;
      for (const float value : importance) positive.push_back(std::fabs(value));
      for (const std::span<const float> weights :
           {std::span<const float>(), std::span<const float>(positive)}) {
        const std::vector<std::byte> whole = Encoded(type.type, x, cols, weights);
        const size_t row_bytes = BytesOf(type.type, cols);
        for (int64_t r = 0; r < rows; ++r) {
          std::vector<std::byte> row(row_bytes);
          QuantizeRows(type.type, x.data() + r * cols, 1, cols, weights, row.data());
          EXPECT_EQ(
              std::memcmp(row.data(), whole.data() + static_cast<size_t>(r) * row_bytes, row_bytes),
              0);
        }
      }
    }
  }
}

TEST(QuantizeRows, ImportantColumnsComeCloser) {
  for (const QuantizedType& type : kTypes) {
    SCOPED_TRACE(DTypeName(type.type));
    const int64_t cols = 512;
    const std::vector<float> x = RandomNormal(16 * cols, 8);
    std::vector<float> importance(static_cast<size_t>(cols), 0.01F);
    for (size_t c = 0; c < importance.size(); c += 5) importance[c] = 1;
    const std::vector<float> plain = RoundTrip(type.type, x, cols);
    const std::vector<float> weighted = RoundTrip(type.type, x, cols, importance);
    double plain_error = 0;
    double weighted_error = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      if (i % static_cast<size_t>(cols) % 5 != 0) continue;
      plain_error += std::pow(x[i] - plain[i], 2);
      weighted_error += std::pow(x[i] - weighted[i], 2);
    }
    EXPECT_LT(weighted_error, 0.95 * plain_error);
    EXPECT_GT(SquaredError(x, weighted), SquaredError(x, plain));
  }
}

TEST(QuantizeRows, ColumnsWithoutImportanceStayFinite) {
  for (const QuantizedType& type : kTypes) {
    SCOPED_TRACE(DTypeName(type.type));
    const std::vector<float> x = RandomNormal(1024, 9);
    std::vector<float> importance(512, 0.0F);
    EXPECT_EQ(Encoded(type.type, x, 512, importance), Encoded(type.type, x, 512));
    importance[300] = 1;  // alone: the groups of the others have none
    EXPECT_LT(SquaredError(x, RoundTrip(type.type, x, 512, importance)),
              8 * SquaredError(x, RoundTrip(type.type, x, 512)));
  }
}

}  // namespace
}  // namespace fulmen
