#include "base/matrix.h"

#include <gtest/gtest.h>

#include <array>

namespace fulmen {
namespace {

TEST(Matrix, ViewsKeepTheStride) {
  std::array<float, 20> data{};
  const Matrix matrix(data.data(), 4, 5);
  const Matrix part = matrix.Rows(1, 3).Cols(2, 2);
  EXPECT_EQ(part.row(2), data.data() + 3 * 5 + 2);
  const ConstMatrix read_only = part;
  EXPECT_EQ(read_only.stride, 5);
  EXPECT_EQ(read_only.rows, 3);
  EXPECT_EQ(read_only.cols, 2);
}

}  // namespace
}  // namespace fulmen
