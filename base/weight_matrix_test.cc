#include "base/weight_matrix.h"

#include <gtest/gtest.h>

#include <array>
#include <vector>

namespace fulmen {
namespace {

TEST(WeightMatrix, PartsAreViews) {
  const std::array<float, 12> values = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
  const WeightMatrix weight(values.data(), DType::kF32, 3, 4);
  EXPECT_EQ(Describe(weight), "F32 [3, 4]");
  EXPECT_EQ(weight.bytes(), 48U);
  EXPECT_EQ(Dequantize(weight.Rows(2, 1)), (std::vector<float>{8, 9, 10, 11}));
  const WeightMatrix rows = weight.Rows(1, 2);
  EXPECT_EQ(rows.rows, 2);
  EXPECT_EQ(Dequantize(rows), (std::vector<float>{4, 5, 6, 7, 8, 9, 10, 11}));
  const WeightMatrix part = rows.Cols(1, 2);
  EXPECT_EQ(part.bytes(), 16U);
  EXPECT_EQ(Dequantize(part), (std::vector<float>{5, 6, 9, 10}));
  EXPECT_EQ(Dequantize(part.Rows(1, 1).Cols(1, 1)), std::vector<float>{10});
  EXPECT_TRUE(WeightMatrix().empty());
  EXPECT_FALSE(weight.Rows(3, 0).empty());
}

TEST(WeightMatrix, HalvesAreWidened) {
  const std::array<uint16_t, 4> halves = {F16FromF32(1.5F), F16FromF32(-65504), 1, 0x8000};
  EXPECT_EQ(Dequantize({halves.data(), DType::kF16, 1, 4}),
            (std::vector<float>{1.5F, -65504, 0x1p-24F, -0.0F}));
  const std::array<uint16_t, 4> brains = {BF16FromF32(1.5F), BF16FromF32(-3e38F), 1, 0x8000};
  EXPECT_EQ(Dequantize({brains.data(), DType::kBF16, 2, 2}),
            (std::vector<float>{1.5F, F32FromBF16(brains[1]), F32FromBF16(1), -0.0F}));
}

TEST(WeightMatrixDeathTest, RefusesWhatItIsNot) {
  const std::array<float, 4> values = {};
  const WeightMatrix weight(values.data(), DType::kF32, 2, 2);
  EXPECT_DEATH((void)weight.Rows(1, 2), "rows 1..3");
  EXPECT_DEATH((void)weight.Cols(-1, 2), "columns -1..1");
  EXPECT_DEATH(WeightMatrix(values.data(), DType::kI32, 2, 2), "I32");
}

}  // namespace
}  // namespace fulmen
