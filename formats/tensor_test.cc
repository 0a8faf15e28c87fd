#include "formats/tensor.h"

#include <gtest/gtest.h>

#include <array>

namespace fulmen {
namespace {

TEST(Tensor, CountsAndPrintsShapes) {
  EXPECT_EQ(ShapeString({64, 128}), "[64, 128]");
  EXPECT_EQ(ShapeString({}), "[]");
  EXPECT_EQ(ElementCount({}), 1);
  EXPECT_EQ(ElementCount({3, 0, 5}), 0);
  EXPECT_EQ(ElementCount({1 << 20, 1 << 20}), int64_t{1} << 40);
}

TEST(Tensor, SlicesAndRows) {
  std::array<float, 24> data{};
  const TensorView view{reinterpret_cast<const std::byte*>(data.data()), DType::kF32, {2, 3, 4}};
  const TensorView slice = view.Slice(1);
  EXPECT_EQ(slice.shape, (Shape{3, 4}));
  EXPECT_EQ(slice.data, view.data + 12 * sizeof(float));
  const TensorView rows = slice.Rows(1, 2);
  EXPECT_EQ(rows.shape, (Shape{2, 4}));
  EXPECT_EQ(rows.data, view.data + 16 * sizeof(float));
  EXPECT_EQ(rows.bytes(), 32U);
  EXPECT_EQ(slice.Rows(3, 0).elements(), 0);
  EXPECT_DEATH(slice.Rows(2, 2), "broken invariant");
}

TEST(Tensor, AreWeightsAsMatrices) {
  const std::array<uint16_t, 6> data = {};
  const auto* bytes = reinterpret_cast<const std::byte*>(data.data());
  const WeightMatrix matrix = AsWeight({bytes, DType::kBF16, {2, 3}});
  EXPECT_EQ(Describe(matrix), "BF16 [2, 3]");
  EXPECT_EQ(matrix.row(1), bytes + 6);
  EXPECT_EQ(Describe(AsWeight({bytes, DType::kF16, {6}})), "F16 [1, 6]");
  EXPECT_EQ(Describe(AsWeight({bytes, DType::kF16, {2, 1, 3}})), "F16 [2, 3]");
  EXPECT_DEATH(AsWeight({bytes, DType::kF16, {}}), "scalar");
}

}  // namespace
}  // namespace fulmen
