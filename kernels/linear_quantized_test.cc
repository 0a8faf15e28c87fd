// Products with quantized weights, for which x is rounded to 8 bits.
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>

#include "base/memory.h"
#include "kernels/linear.h"
#include "kernels/testing/kernels.h"
#include "kernels/testing/test_weight.h"

namespace fulmen {
namespace {

using testing::CpuKernelsOfAllTargets;
using testing::kQuantizedTypes;
using testing::RandomNormal;
using testing::SameBits;
using testing::SumErrorBound;
using testing::TestContext;
using testing::TestMatrix;
using testing::TestWeight;

std::vector<float> Multiply(const Kernels& kernels, TestContext& context, ConstMatrix x,
                            const WeightMatrix& weight, int64_t gap = 0) {
  TestMatrix y(x.rows, weight.rows, gap);
  kernels.linear(context.context, x, {{weight, y.view()}});
  return y.Values();
}

// |actual - expected| within half a step of x for each weight (none where x is whole steps), and
// the bound of float32 sums over groups.
void ExpectNearExact(const std::vector<float>& x, bool whole_steps, const WeightMatrix& weight,
                     const std::vector<float>& actual) {
  const std::vector<float> w = Dequantize(weight);
  const std::vector<float> minima = testing::Minima(weight);
  const int64_t in = weight.cols;
  const int64_t block = FormatOf(weight.type).elements;
  // Sums of at most two terms for a group of 16, each of a few roundings.
  const double float_bound = SumErrorBound(in / 8 + 8);
  for (size_t i = 0; i < actual.size(); ++i) {
    const float* xs = &x[i / static_cast<size_t>(weight.rows) * static_cast<size_t>(in)];
    const size_t row = i % static_cast<size_t>(weight.rows) * static_cast<size_t>(in);
    double sum = 0;
    double bound = 0;
    for (int64_t first = 0; first < in; first += block) {
      double largest = 0;
      for (int64_t k = first; k < first + block; ++k) {
        largest = std::max(largest, std::abs(double{xs[k]}));
      }
      const double half_step = whole_steps ? 0 : largest / 127 / 2 * (1 + 0x1p-15);
      for (int64_t k = first; k < first + block; ++k) {
        const size_t at = row + static_cast<size_t>(k);
        sum += double{xs[k]} * double{w[at]};
        const double magnitude = std::abs(w[at]) + 2 * std::abs(minima[at]);
        bound += half_step * std::abs(w[at]) +
                 float_bound * magnitude * (std::abs(double{xs[k]}) + half_step);
      }
    }
    if (!(std::abs(actual[i] - sum) <= bound)) {
      ADD_FAILURE() << "element " << i << ": " << actual[i] << ", expected " << sum << " within "
                    << bound;
      return;
    }
  }
}

// Whole multiples of a power of two, up to 127 of them in every block of 32: rounding them to 8
// bits changes nothing.
std::vector<float> WholeSteps(int64_t rows, int64_t cols) {
  RandomStream random(7);
  std::vector<float> values;
  for (int64_t i = 0; i < rows * cols; ++i) {
    const int64_t step = i / kSuperBlock % 5 - 2;
    const auto value = static_cast<int>(random.Next() % 255) - 127;
    values.push_back(std::ldexp(static_cast<float>(i % 32 == 5 ? 127 : value),
                                cols % kSuperBlock == 0 ? static_cast<int>(step) : 0));
  }
  return values;
}

// In parts of 256 tokens, as in batches of every size that a tile sees otherwise.
TEST(QuantizedLinear, MatchesTheReferenceOnRaggedShapes) {
  constexpr int64_t kMostTokens = 40;
  TestContext context;
  for (const DType type : kQuantizedTypes) {
    const int64_t block = FormatOf(type).elements;
    for (const auto& [blocks, out] :
         {std::pair<int64_t, int64_t>{1, 1}, {2, 7}, {3, 16}, {9, 33}, {11, 70}}) {
      const int64_t in = blocks * block;
      const TestWeight weight(out, in, type, 2);
      for (const bool whole : {true, false}) {
        const std::vector<float> values =
            whole ? WholeSteps(kMostTokens, in) : RandomNormal(kMostTokens * in, 1);
        TestMatrix x(kMostTokens, in, 5, values);
        for (const Kernels& kernels : CpuKernelsOfAllTargets()) {
          SCOPED_TRACE(fmt::format("{} in {} out {} {}", kernels.name, in, out, DTypeName(type)));
          const std::vector<float> all = Multiply(kernels, context, x.view(), weight.view(), 3);
          ExpectNearExact(values, whole, weight.view(), all);
          for (const int64_t tokens : {1, 2, 3, 4, 5, 6, 7, 13}) {
            const std::vector<float> some =
                Multiply(kernels, context, x.view().Rows(0, tokens), weight.view(), tokens % 3);
            EXPECT_TRUE(SameBits(some, {all.begin(), all.begin() + tokens * out})) << tokens;
          }
        }
      }
    }
  }
}

// Of rows that do and do not fill panels; by one thread and several.
TEST(QuantizedLinear, RepackedWeightsGiveTheSameBits) {
  for (const DType type : kQuantizedTypes) {
    const int64_t in = 3 * kSuperBlock + (FormatOf(type).elements == kSmallBlock ? kSmallBlock : 0);
    TestMatrix x(13, in, 0, RandomNormal(13 * in, 3));
    for (const int64_t out : {1, 32, 70, 300}) {
      const TestWeight weight(out, in, type, 4);
      for (const Kernels& kernels : CpuKernelsOfAllTargets()) {
        for (const int threads : {1, 3}) {
          TestContext context(threads, testing::TwoNodes());
          const size_t bytes = kernels.repacked_bytes(context.context, weight.view());
          EXPECT_GE(bytes, weight.view().bytes());
          std::vector<std::byte, AlignedAllocator<std::byte>> memory(bytes);
          const WeightMatrix repacked =
              kernels.repack(context.context, weight.view(), memory.data());
          for (const int64_t tokens : {1, 2, 3, 4, 5, 6, 13}) {
            const ConstMatrix rows = x.view().Rows(0, tokens);
            EXPECT_TRUE(SameBits(Multiply(kernels, context, rows, repacked),
                                 Multiply(kernels, context, rows, weight.view())))
                << kernels.name << " " << DTypeName(type) << " " << out << " " << tokens;
          }
        }
      }
    }
  }
}

TEST(QuantizedLinear, ThreadsAndChunksDoNotChangeBits) {
  constexpr int64_t kTokens = 90;
  constexpr int64_t kIn = 1024;
  TestMatrix x(kTokens, kIn, 0, RandomNormal(kTokens * kIn, 3));
  for (const DType type : kQuantizedTypes) {
    const TestWeight weight(300, kIn, type, 4);
    for (const Kernels& kernels : CpuKernelsOfAllTargets()) {
      TestContext one;
      const std::vector<float> expected = Multiply(kernels, one, x.view(), weight.view());
      for (const int threads : {1, 3}) {
        TestContext context(threads, testing::TwoNodes());
        for (const int64_t chunk : {73, 11, 6, 5, 4, 3, 2, 1}) {
          std::vector<float> all;
          for (int64_t first = 0; first < kTokens; first += chunk) {
            const Matrix rows = x.view().Rows(first, std::min(chunk, kTokens - first));
            const std::vector<float> part = Multiply(kernels, context, rows, weight.view());
            all.insert(all.end(), part.begin(), part.end());
          }
          EXPECT_TRUE(SameBits(all, expected)) << kernels.name << " " << DTypeName(type)
                                               << " threads " << threads << " chunk " << chunk;
        }
      }
    }
  }
}

// One block and several of every type.
std::vector<std::pair<DType, int64_t>> TypesAndBlocks() {
  std::vector<std::pair<DType, int64_t>> all;
  for (const DType type : kQuantizedTypes) {
    for (const int64_t blocks : {1, 3}) all.emplace_back(type, blocks);
  }
  return all;
}

// Whole numbers are summed exactly by either, so all else is the same, too.
class ProductsOfExtension : public ::testing::TestWithParam<std::array<const char*, 2>> {};

TEST_P(ProductsOfExtension, GiveTheBitsOfTheSetWithout) {
  const Result<Kernels> extended = cpu::KernelsFor(GetParam()[0]);
  if (!extended) GTEST_SKIP() << extended.error().message;
  const Result<Kernels> plain = cpu::KernelsFor(GetParam()[1]);
  ASSERT_TRUE(plain);
  EXPECT_NE(extended->linear, plain->linear);
  TestContext context;
  constexpr int64_t kTokens = 70;
  for (const auto& [type, blocks] : TypesAndBlocks()) {
    const int64_t in = blocks * FormatOf(type).elements;
    for (const bool whole : {true, false}) {
      TestMatrix x(kTokens, in, 3, whole ? WholeSteps(kTokens, in) : RandomNormal(kTokens * in, 3));
      for (const int64_t out : {1, 70}) {
        const TestWeight weight(out, in, type, 4);
        for (const int64_t tokens : {1, 2, 11, 12, 13, 16, 17, 20, 21, 24, 25, 32, 70}) {
          const ConstMatrix rows = x.view().Rows(kTokens - tokens, tokens);
          EXPECT_TRUE(SameBits(Multiply(*extended, context, rows, weight.view(), 2),
                               Multiply(*plain, context, rows, weight.view(), 2)))
              << DTypeName(type) << " " << out << " " << tokens;
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(QuantizedLinear, ProductsOfExtension,
                         ::testing::Values(std::array{"AVX2_VNNI", "AVX2"},
                                           std::array{"AVX3_AMX", "AVX3_DL"},
                                           std::array{"NEON_DOTPROD", "NEON"}),
                         [](const auto& instance) { return instance.param[0]; });

TEST(QuantizedLinear, OneTokenCannotSpoilAnother) {
  constexpr int64_t kIn = 512;
  TestContext context;
  for (const DType type : kQuantizedTypes) {
    const TestWeight weight(21, kIn, type, 8);
    for (const float bad : {NAN, INFINITY, -INFINITY}) {
      TestMatrix x(9, kIn, 0, RandomNormal(9 * kIn, 7));
      for (const Kernels& kernels : CpuKernelsOfAllTargets()) {
        const std::vector<float> clean = Multiply(kernels, context, x.view(), weight.view());
        const float kept = std::exchange(x.view().row(1)[kIn - 1], bad);
        std::vector<float> spoiled = Multiply(kernels, context, x.view(), weight.view());
        x.view().row(1)[kIn - 1] = kept;
        for (size_t o = 0; o < 21; ++o) EXPECT_FALSE(std::isfinite(spoiled[21 + o]));
        std::copy_n(clean.begin() + 21, 21, spoiled.begin() + 21);
        EXPECT_TRUE(SameBits(spoiled, clean)) << kernels.name << " " << DTypeName(type);
      }
    }
  }
}

// Of blocks too small to have a step, of the smallest and the largest floats.
TEST(QuantizedLinear, ExtremeInputs) {
  constexpr int64_t kIn = 256;
  TestContext context;
  const TestWeight weight(3, kIn, DType::kQ8_0, 8);
  for (const float value : {0.0F, 1e-45F, 0x1p-126F, 0x1p-119F, 1e30F}) {
    TestMatrix x(1, kIn, 0, std::vector<float>(kIn, value));
    const std::vector<float> values = Dequantize(weight.view());
    for (const Kernels& kernels : CpuKernelsOfAllTargets()) {
      const std::vector<float> y = Multiply(kernels, context, x.view(), weight.view());
      for (size_t o = 0; o < 3; ++o) {
        double sum = 0;
        double magnitude = 0;
        for (size_t k = 0; k < kIn; ++k) {
          sum += double{value} * double{values[o * kIn + k]};
          magnitude += std::abs(double{values[o * kIn + k]});
        }
        const double lost = value <= 0x1p-120F ? value : value * SumErrorBound(100);
        EXPECT_LE(std::abs(y[o] - sum), lost * magnitude) << kernels.name << " " << value;
      }
    }
  }
}

// Products that share x have the bits they have alone, whatever the formats of x they want, with
// weights that are parts of larger ones.
TEST(QuantizedLinear, ProductsOfSeveralTypesAreIndependent) {
  constexpr int64_t kIn = 512;
  const TestWeight a(70, 2 * kIn, DType::kQ4_K, 1);
  const TestWeight b(33, kIn, DType::kQ8_0, 2);
  const TestWeight c(5, kIn, DType::kBF16, 3);
  const TestWeight e(40, kIn, DType::kQ6_K, 4);
  const WeightMatrix part = a.view().Rows(1, 66).Cols(256, kIn);
  std::vector<Kernels> all = CpuKernelsOfAllTargets();
  all.push_back(RefKernels());
  for (const Kernels& kernels : all) {
    for (const int64_t tokens : {1, 20}) {
      TestMatrix x(tokens, kIn, 5, RandomNormal(tokens * kIn, 5));
      for (const int threads : {1, 3}) {
        TestContext context(threads);
        TestMatrix ya(tokens, 66, 1), yb(tokens, 33), yc(tokens, 5, 2), ye(tokens, 40);
        kernels.linear(context.context, x.view(),
                       {{part, ya.view()},
                        {b.view(), yb.view()},
                        {c.view(), yc.view()},
                        {e.view(), ye.view()}});
        const auto alone = [&](const WeightMatrix& weight) {
          return Multiply(kernels, context, x.view(), weight);
        };
        EXPECT_TRUE(SameBits(ya.Values(), alone(part))) << kernels.name;
        EXPECT_TRUE(SameBits(yb.Values(), alone(b.view()))) << kernels.name;
        EXPECT_TRUE(SameBits(yc.Values(), alone(c.view()))) << kernels.name;
        EXPECT_TRUE(SameBits(ye.Values(), alone(e.view()))) << kernels.name;
      }
    }
  }
}

}  // namespace
}  // namespace fulmen
