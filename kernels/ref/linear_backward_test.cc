#include <gtest/gtest.h>

#include <array>

#include "kernels/ref/training_operations.h"
#include "kernels/testing/gradients.h"
#include "kernels/testing/kernels.h"
#include "kernels/testing/test_weight.h"

namespace fulmen {
namespace {

using testing::Dot;
using testing::GradientTolerance;
using testing::NearRelativeToLargest;
using testing::NumericGradient;
using testing::RandomNormal;
using testing::TestContext;
using testing::TestMatrix;
using testing::TestWeight;
using testing::Widened;

struct Case {
  int64_t tokens, in, out;
};

void Check(Case c, DType type) {
  SCOPED_TRACE(fmt::format("T {} in {} out {} {}", c.tokens, c.in, c.out, DTypeName(type)));
  TestMatrix x(c.tokens, c.in, 2, RandomNormal(c.tokens * c.in, 1));
  TestMatrix dy(c.tokens, c.out, 3, RandomNormal(c.tokens * c.out, 2));
  const TestWeight weight(c.out, c.in, type, 3);
  const std::vector<float> before = RandomNormal(c.out * c.in, 4);
  TestMatrix dx(c.tokens, c.in, 1);
  TestMatrix dweight(c.out, c.in, 5, before);
  TestContext test;
  ref::LinearBackwardInput(test.context, dy.view(), weight.view(), false, dx.view());
  ref::LinearBackwardWeight(test.context, x.view(), dy.view(), dweight.view());

  std::vector<double> x64 = Widened(x.Values());
  std::vector<double> weight64;
  for (int64_t i = 0; i < c.out * c.in; ++i) weight64.push_back(weight.at(i / c.in, i % c.in));
  const auto loss = [&] {
    std::vector<double> y;
    for (int64_t t = 0; t < c.tokens; ++t) {
      for (int64_t o = 0; o < c.out; ++o) {
        double sum = 0;
        for (int64_t i = 0; i < c.in; ++i) {
          sum +=
              x64[static_cast<size_t>(t * c.in + i)] * weight64[static_cast<size_t>(o * c.in + i)];
        }
        y.push_back(sum);
      }
    }
    return Dot(y, dy.Values());
  };
  EXPECT_TRUE(NearRelativeToLargest(dx.Values(), NumericGradient(x64, loss), GradientTolerance(1)));
  EXPECT_TRUE(NearRelativeToLargest(dweight.Values(), NumericGradient(weight64, loss, before),
                                    GradientTolerance(1)));
}

TEST(RefLinearBackward, MatchesFiniteDifferences) {
  for (const Case c : std::array<Case, 4>{{{1, 1, 1}, {3, 7, 5}, {1, 11, 2}, {2, 67, 3}}}) {
    for (const DType type : {DType::kF32, DType::kF16, DType::kBF16}) Check(c, type);
  }
}

}  // namespace
}  // namespace fulmen
