#include "kernels/rope.h"

#include <gtest/gtest.h>

#include <cmath>
#include <complex>

#include "kernels/testing/kernels.h"

namespace fulmen {
namespace {

using testing::CpuKernelsOfAllTargets;
using testing::NearRelativeToLargest;
using testing::RandomNormal;
using testing::SameBits;
using testing::TestContext;
using testing::TestMatrix;

std::vector<float> Frequencies(int64_t half) {
  std::vector<float> frequencies;
  for (int64_t i = 0; i < half; ++i) {
    frequencies.push_back(
        static_cast<float>(std::pow(1e7, -static_cast<double>(i) / static_cast<double>(half))));
  }
  return frequencies;
}

// Pair (i, i + half) as a complex number, turned by the angle.
TEST(Rope, ReferenceTurnsComplexNumbers) {
  const int64_t half = 3;
  const std::vector<float> frequencies = Frequencies(half);
  const std::vector<int64_t> positions = {0, 1, 9'999'999};
  const std::vector<float> values = RandomNormal(3 * 2 * 8, 1);
  TestMatrix x(3, 2 * 8, 0, values);
  TestContext test;
  RefKernels().rope(test.context, positions, frequencies, 8, x.view());
  std::vector<float> expected = values;
  for (size_t t = 0; t < 3; ++t) {
    for (size_t head = 0; head < 2; ++head) {
      for (size_t i = 0; i < 3; ++i) {
        const size_t at = (t * 2 + head) * 8 + i;
        const float angle = static_cast<float>(positions[t]) * frequencies[i];
        const std::complex<double> turned =
            std::complex<double>(values[at], values[at + 3]) * std::polar(1.0, double{angle});
        expected[at] = static_cast<float>(turned.real());
        expected[at + 3] = static_cast<float>(turned.imag());
      }
    }
  }
  EXPECT_TRUE(NearRelativeToLargest(x.Values(), expected, 3e-7));
}

TEST(Rope, MatchesReferenceAndLeavesTheRestOfTheHead) {
  struct Case {
    int64_t tokens, heads, head_dim, half;
  };
  for (const Case& c : {Case{1, 1, 2, 1}, Case{0, 2, 8, 4}, Case{3, 5, 20, 5}, Case{1, 64, 128, 32},
                        Case{70, 3, 24, 12}, Case{40, 8, 128, 32}, Case{9, 2, 10, 0}}) {
    const std::vector<float> frequencies = Frequencies(c.half);
    const int64_t cols = c.heads * c.head_dim;
    const std::vector<float> values = RandomNormal(c.tokens * cols, 2);
    std::vector<int64_t> positions;
    for (int64_t t = 0; t < c.tokens; ++t) positions.push_back(t * 142'857);
    TestContext one;
    TestMatrix expected(c.tokens, cols, 0, values);
    RefKernels().rope(one.context, positions, frequencies, c.head_dim, expected.view());
    for (const Kernels& kernels : CpuKernelsOfAllTargets()) {
      std::vector<float> first;
      for (const int threads : {1, 2, 3}) {
        TestContext test(threads);
        TestMatrix x(c.tokens, cols, 5, values);
        kernels.rope(test.context, positions, frequencies, c.head_dim, x.view());
        // Two products and a sum of them, rounded differently where they are fused.
        EXPECT_TRUE(NearRelativeToLargest(x.Values(), expected.Values(), 3e-7)) << kernels.name;
        if (threads == 1) first = x.Values();
        EXPECT_TRUE(SameBits(x.Values(), first)) << kernels.name;
      }
      for (size_t i = 0; i < first.size(); ++i) {
        if (static_cast<int64_t>(i) % c.head_dim >= 2 * c.half) {
          ASSERT_EQ(first[i], values[i]);
        }
      }
    }
  }
}

}  // namespace
}  // namespace fulmen
