#include "kernels/elementwise.h"

#include <gtest/gtest.h>

#include <cmath>
#include <utility>

#include "kernels/testing/kernels.h"
#include "kernels/testing/test_weight.h"

namespace fulmen {
namespace {

using testing::CpuKernelsOfAllTargets;
using testing::NearRelativeToLargest;
using testing::RandomNormal;
using testing::SameBits;
using testing::TestContext;
using testing::TestMatrix;
using testing::TestWeight;

// Rows and columns: ragged, one token, and more than one task's worth.
const std::vector<std::pair<int64_t, int64_t>> kShapes = {
    {0, 5}, {1, 1}, {1, 3}, {3, 16}, {2, 37}, {5, 200}, {1, 20011}, {300, 129}};

TEST(Elementwise, EmbeddingIsTheTablesRow) {
  std::vector<Kernels> all = CpuKernelsOfAllTargets();
  all.push_back(RefKernels());
  const std::vector<int32_t> tokens = {4, 0, 4, 9};
  for (const int64_t width : {1, 3, 16, 50, 9001}) {
    for (const DType type : {DType::kF32, DType::kF16, DType::kBF16}) {
      const TestWeight table(10, width, type, 1);
      const std::vector<float> values = Dequantize(table.view());
      for (const Kernels& kernels : all) {
        TestContext test(2);
        TestMatrix out(4, width, 2);
        kernels.embedding(test.context, tokens, table.view(), out.view());
        std::vector<float> expected;
        for (const int32_t token : tokens) {
          const auto row = values.begin() + token * width;
          expected.insert(expected.end(), row, row + width);
        }
        EXPECT_TRUE(SameBits(out.Values(), expected)) << kernels.name << " width " << width;
      }
    }
  }
}

TEST(Elementwise, RmsNormOfKnownValues) {
  std::vector<Kernels> all = CpuKernelsOfAllTargets();
  all.push_back(RefKernels());
  // The mean square of (3, 4, 0, 0) is 25 / 4, its root 2.5.
  const TestWeight weight(1, 4, DType::kBF16, std::vector<float>{1.0F, 2.0F, 5.0F, 1.0F});
  for (const Kernels& kernels : all) {
    TestContext test;
    TestMatrix x(2, 4, 0, {3.0F, 4.0F, 0.0F, 0.0F, 0.0F, 0.0F, 0.0F, 0.0F});
    TestMatrix out(2, 4);
    kernels.rms_norm(test.context, x.view().Rows(0, 1), weight.view(), 0.0F, out.view().Rows(0, 1));
    // An all-zero row has only epsilon under its root.
    kernels.rms_norm(test.context, x.view().Rows(1, 1), weight.view(), 1e-6F,
                     out.view().Rows(1, 1));
    EXPECT_TRUE(NearRelativeToLargest(
        out.Values(), std::vector<float>{1.2F, 3.2F, 0.0F, 0.0F, 0.0F, 0.0F, 0.0F, 0.0F}, 2e-7))
        << kernels.name;
  }
}

TEST(Elementwise, RmsNormMatchesReference) {
  for (const auto& [rows, cols] : kShapes) {
    for (const DType type : {DType::kF32, DType::kF16, DType::kBF16}) {
      const TestWeight weight(1, cols, type, 2);
      const std::vector<float> values = RandomNormal(rows * cols, 3, 4.0F);
      TestContext one;
      TestMatrix expected(rows, cols, 0, values);
      RefKernels().rms_norm(one.context, expected.view(), weight.view(), 1e-5F, expected.view());
      for (const Kernels& kernels : CpuKernelsOfAllTargets()) {
        std::vector<float> first;
        for (const int threads : {1, 2, 3}) {
          TestContext test(threads);
          TestMatrix x(rows, cols, 3, values);
          TestMatrix out(rows, cols, 1);
          kernels.rms_norm(test.context, x.view(), weight.view(), 1e-5F, out.view());
          // A sum of `cols` squares, halved by the root, and four more roundings.
          EXPECT_TRUE(NearRelativeToLargest(out.Values(), expected.Values(),
                                            testing::SumErrorBound(cols / 2 + 5)))
              << kernels.name << " [" << rows << ", " << cols << "]";
          if (threads == 1) first = out.Values();
          EXPECT_TRUE(SameBits(out.Values(), first));
          kernels.rms_norm(test.context, x.view(), weight.view(), 1e-5F, x.view());
          EXPECT_TRUE(SameBits(x.Values(), first)) << "in place";
        }
      }
    }
  }
}

// Values whose exponentials underflow and overflow are among them.
std::vector<float> WideValues(int64_t count, uint64_t seed) {
  std::vector<float> values = RandomNormal(count, seed, 3.0F);
  for (size_t i = 0; i < values.size(); i += 5) values[i] *= 40.0F;
  return values;
}

TEST(Elementwise, GatedRmsNormMatchesReference) {
  for (const auto& [rows, cols] : kShapes) {
    for (const DType type : {DType::kF32, DType::kF16, DType::kBF16}) {
      const TestWeight weight(1, cols, type, 2);
      const std::vector<float> values = RandomNormal(rows * cols, 3, 4.0F);
      TestContext one;
      const TestMatrix gates(rows, cols, 2, WideValues(rows * cols, 5));
      TestMatrix gate = gates;
      TestMatrix expected(rows, cols, 0, values);
      RefKernels().gated_rms_norm(one.context, expected.view(), weight.view(), 1e-5F, gate.view(),
                                  expected.view());
      // As rms_norm, and 5e-7 of the sigmoid.
      const double tolerance = testing::SumErrorBound(cols / 2 + 5) + 5e-7;
      for (const Kernels& kernels : CpuKernelsOfAllTargets()) {
        SCOPED_TRACE(fmt::format("{} [{}, {}]", kernels.name, rows, cols));
        std::vector<float> first;
        for (const int threads : {1, 2, 3}) {
          TestContext test(threads);
          TestMatrix x(rows, cols, 3, values);
          TestMatrix out(rows, cols, 1);
          const auto run = [&](Matrix to) {
            kernels.gated_rms_norm(test.context, x.view(), weight.view(), 1e-5F, gate.view(), to);
          };
          run(out.view());
          EXPECT_TRUE(NearRelativeToLargest(out.Values(), expected.Values(), tolerance));
          if (threads == 1) first = out.Values();
          EXPECT_TRUE(SameBits(out.Values(), first));
          run(gate.view());
          EXPECT_TRUE(SameBits(gate.Values(), first)) << "into the gate";
          gate = gates;
          run(x.view());
          EXPECT_TRUE(SameBits(x.Values(), first)) << "in place";
        }
      }
    }
  }
}

// Relative to each value itself, which a comparison with the largest cannot see: of a norm that
// gives 1, what comes out is the sigmoid. Beyond 87 it need only be tiny, and no subnormal number.
TEST(Elementwise, GatesAreAccurateWhereTheyAreSmall) {
  for (const Kernels& kernels : CpuKernelsOfAllTargets()) {
    for (const int64_t width : {1, 37}) {  // a part of a vector, and more than one
      const std::vector<float> ones(static_cast<size_t>(width), 1.0F);
      const TestWeight weight(1, width, DType::kF32, ones);
      const auto sigmoid = [&](float v) {
        TestContext test;
        TestMatrix x(1, width, 0, ones);
        TestMatrix gate(1, width, 0, std::vector<float>(ones.size(), v));
        TestMatrix out(1, width);
        kernels.gated_rms_norm(test.context, x.view(), weight.view(), 0.0F, gate.view(),
                               out.view());
        return out.Values().back();
      };
      for (float v = -86.9F; v < 110; v += 0.377F) {
        const double expected = 1 / (1 + std::exp(-double{v}));
        // Rounding of the exponential, of the sum, of the quotient, and r to 2^-25 of n ln 2.
        EXPECT_NEAR(sigmoid(v), expected, 3 * 0x1p-24 * expected) << kernels.name << " " << v;
      }
      for (const float v : {-87.5F, -89.0F, -104.0F, -1e4F, -3e38F, -INFINITY}) {
        EXPECT_GE(sigmoid(v), 0x1p-126F) << kernels.name << " " << v;
        EXPECT_LE(sigmoid(v), 2e-38F) << kernels.name << " " << v;
      }
      EXPECT_EQ(sigmoid(INFINITY), 1.0F) << kernels.name;
      EXPECT_TRUE(std::isnan(sigmoid(NAN))) << kernels.name;
    }
  }
}

TEST(Elementwise, ResidualMatchesReferenceAndMayOverwriteAnInput) {
  for (const auto& [rows, cols] : kShapes) {
    const std::vector<float> a = RandomNormal(rows * cols, 6);
    const std::vector<float> b = RandomNormal(rows * cols, 7);
    TestContext one;
    TestMatrix expected(rows, cols, 0, a);
    TestMatrix other(rows, cols, 0, b);
    RefKernels().residual(one.context, 3.5F, expected.view(), 0.25F, other.view(), expected.view());
    for (const Kernels& kernels : CpuKernelsOfAllTargets()) {
      TestContext test(3);
      TestMatrix residual(rows, cols, 1, a);
      TestMatrix branch(rows, cols, 2, b);
      TestMatrix out(rows, cols, 3);
      kernels.residual(test.context, 3.5F, residual.view(), 0.25F, branch.view(), out.view());
      EXPECT_TRUE(NearRelativeToLargest(out.Values(), expected.Values(), 2e-7)) << kernels.name;
      kernels.residual(test.context, 3.5F, residual.view(), 0.25F, branch.view(), branch.view());
      EXPECT_TRUE(SameBits(branch.Values(), out.Values())) << kernels.name;
    }
  }
}

std::vector<Kernels> AllKernels() {
  std::vector<Kernels> all = CpuKernelsOfAllTargets();
  all.push_back(RefKernels());
  return all;
}

TEST(Elementwise, RowHealthFindsTheOneElement) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (const auto& [rows, cols] : kShapes) {
    for (const Kernels& kernels : AllKernels()) {
      TestContext test(2);
      // The gaps between rows are NaN and no concern of the operation.
      TestMatrix x(rows, cols, 3, RandomNormal(rows * cols, 8, 1e10F));
      std::vector<RowHealth> health(static_cast<size_t>(rows));
      kernels.row_health(test.context, x.view(), health);
      EXPECT_EQ(health, std::vector<RowHealth>(health.size(), RowHealth::kFine)) << kernels.name;
      for (const int64_t row : {int64_t{0}, rows - 1}) {
        for (const int64_t column : {int64_t{0}, cols / 2, cols - 1}) {
          for (const auto& [bad, expected] : {std::pair(kInfinity, RowHealth::kNotFinite),
                                              std::pair(-kInfinity, RowHealth::kNotFinite),
                                              std::pair(std::nanf(""), RowHealth::kNotFinite),
                                              std::pair(-2e19F, RowHealth::kSquaresOverflow),
                                              std::pair(1e19F, RowHealth::kFine)}) {
            if (rows == 0 || cols == 0) continue;
            float& element = x.view().row(row)[column];
            const float good = std::exchange(element, bad);
            kernels.row_health(test.context, x.view(), health);
            element = good;
            for (size_t t = 0; t < health.size(); ++t) {
              EXPECT_EQ(health[t], t == static_cast<size_t>(row) ? expected : RowHealth::kFine)
                  << kernels.name << " row " << t << " " << bad;
            }
          }
        }
      }
    }
  }
}

TEST(Elementwise, GatherRowsTakesThemInAnyOrder) {
  for (const Kernels& kernels : AllKernels()) {
    TestContext test(2);
    TestMatrix x(5, 21, 3, RandomNormal(5 * 21, 9));
    TestMatrix out(4, 21, 2);
    const std::vector<int64_t> rows = {4, 0, 0, 2};
    kernels.gather_rows(test.context, x.view(), rows, out.view());
    std::vector<float> expected;
    for (const int64_t row : rows) {
      expected.insert(expected.end(), x.view().row(row), x.view().row(row) + 21);
    }
    EXPECT_TRUE(SameBits(out.Values(), expected)) << kernels.name;
  }
}

TEST(Elementwise, CopyCopiesAll) {
  for (const Kernels& kernels : AllKernels()) {
    TestContext test(2);
    const std::vector<float> from = RandomNormal(300'001, 10);
    std::vector<float> to(from.size());
    kernels.copy(test.context, std::as_bytes(std::span(from)),
                 std::as_writable_bytes(std::span(to)));
    EXPECT_TRUE(SameBits(to, from)) << kernels.name;
  }
}

}  // namespace
}  // namespace fulmen
