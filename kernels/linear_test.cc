#include "kernels/linear.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/memory.h"
#include "kernels/testing/kernels.h"
#include "kernels/testing/test_weight.h"

namespace fulmen {
namespace {

using testing::CpuKernelsOfAllTargets;
using testing::RandomNormal;
using testing::SameBits;
using testing::SumErrorBound;
using testing::TestContext;
using testing::TestMatrix;
using testing::TestWeight;

constexpr DType kTypes[] = {DType::kF32, DType::kF16, DType::kBF16};

// |actual - expected| within the bound of a float32 sum in any order, element by element.
void ExpectNearReference(const std::vector<float>& x, const TestWeight& weight,
                         const std::vector<float>& actual) {
  const int64_t in = weight.view().cols;
  const int64_t out = weight.view().rows;
  const double bound = SumErrorBound(in + 1);
  for (size_t i = 0; i < actual.size(); ++i) {
    const int64_t t = static_cast<int64_t>(i) / out;
    const int64_t o = static_cast<int64_t>(i) % out;
    double sum = 0;
    double magnitude = 0;
    for (int64_t k = 0; k < in; ++k) {
      const double product = double{x[static_cast<size_t>(t * in + k)]} * double{weight.at(o, k)};
      sum += product;
      magnitude += std::abs(product);
    }
    // Negated, so that NaN fails.
    if (!(std::abs(actual[i] - sum) <= bound * magnitude)) {
      ADD_FAILURE() << "token " << t << ", output " << o << ": " << actual[i] << ", expected "
                    << sum << " within " << bound * magnitude;
      return;
    }
  }
}

std::vector<float> Multiply(LinearFn linear, TestContext& context, ConstMatrix x,
                            const TestWeight& weight, int64_t gap) {
  TestMatrix y(x.rows, weight.view().rows, gap);
  linear(context.context, x, {{weight.view(), y.view()}});
  return y.Values();
}

// Every cut the kernel makes (lanes, blocks along `in`, tiles, panels, tasks) falls unevenly
// somewhere.
TEST(Linear, MatchesTheReferenceOnRaggedShapes) {
  constexpr int64_t kShapes[][2] = {{1, 1},    {3, 2},    {15, 3},   {16, 4},   {17, 5},
                                    {100, 33}, {48, 530}, {1024, 9}, {1025, 7}, {2077, 66}};
  constexpr int64_t kMostTokens = 150;  // more than stay in a cache
  TestContext context;                  // one thread: the longest tasks, of several panels
  for (const auto& [in, out] : kShapes) {
    const std::vector<float> values = RandomNormal(kMostTokens * in, 1);
    for (const DType type : kTypes) {
      const TestWeight weight(out, in, type, 2);
      for (const Kernels& kernels : CpuKernelsOfAllTargets()) {
        SCOPED_TRACE(fmt::format("{} in {} out {} {}", kernels.name, in, out, DTypeName(type)));
        TestMatrix x(kMostTokens, in, 5, values);
        const std::vector<float> whole = Multiply(kernels.linear, context, x.view(), weight, 3);
        ExpectNearReference(values, weight, whole);
        for (const int64_t tokens : {1, 2, 3, 4, 5, 6, 7, 12, 13, 37, 48, 49, 70, 144, 145}) {
          const std::vector<float> some =
              Multiply(kernels.linear, context, x.view().Rows(0, tokens), weight, tokens % 3);
          EXPECT_TRUE(SameBits(some, {whole.begin(), whole.begin() + tokens * out}))
              << tokens << " tokens";
        }
      }
    }
  }
}

TEST(Linear, RefMatchesADoubleSum) {
  TestContext context;
  const std::vector<float> values = RandomNormal(5 * 99, 1);
  TestMatrix x(5, 99, 0, values);
  for (const DType type : kTypes) {
    const TestWeight weight(65, 99, type, 2);
    ExpectNearReference(values, weight,
                        Multiply(RefKernels().linear, context, x.view(), weight, 2));
  }
}

TEST(Linear, ThreadsAndChunksDoNotChangeBits) {
  constexpr int64_t kTokens = 150;
  for (const auto& [in, out] : {std::pair<int64_t, int64_t>{1100, 300}, {520, 8}}) {
    TestMatrix x(kTokens, in, 0, RandomNormal(kTokens * in, 3));
    for (const DType type : kTypes) {
      const TestWeight weight(out, in, type, 4);
      for (const Kernels& kernels : CpuKernelsOfAllTargets()) {
        TestContext one;
        const std::vector<float> expected = Multiply(kernels.linear, one, x.view(), weight, 0);
        for (const int threads : {1, 2, 3}) {
          TestContext context(threads);
          for (const int64_t chunk : {kTokens, int64_t{73}, int64_t{11}, int64_t{1}}) {
            std::vector<float> all;
            for (int64_t first = 0; first < kTokens; first += chunk) {
              const Matrix rows = x.view().Rows(first, std::min(chunk, kTokens - first));
              const std::vector<float> part = Multiply(kernels.linear, context, rows, weight, 0);
              all.insert(all.end(), part.begin(), part.end());
            }
            EXPECT_TRUE(SameBits(all, expected))
                << kernels.name << " " << DTypeName(type) << " in " << in << " threads " << threads
                << " chunk " << chunk;
          }
        }
      }
    }
  }
}

// Whether a type of weights is summed in an order of its own: BF16 is, by AMX.
bool HasOwnLayout(const Kernels& kernels, TestContext& context, const WeightMatrix& weight) {
  return kernels.repacked_bytes(context.context, weight) > 0;
}

// Widening is exact, so the type weights are stored in changes nothing.
TEST(Linear, StoredTypeDoesNotChangeBits) {
  TestContext context;
  for (const int64_t tokens : {1, 50, 150}) {
    TestMatrix x(tokens, 130, 0, RandomNormal(tokens * 130, 5));
    for (const DType type : {DType::kF16, DType::kBF16}) {
      const TestWeight narrow(40, 130, type, 6);
      const TestWeight wide = narrow.Widened();
      for (const Kernels& kernels : CpuKernelsOfAllTargets()) {
        if (HasOwnLayout(kernels, context, narrow.view())) continue;
        EXPECT_TRUE(SameBits(Multiply(kernels.linear, context, x.view(), narrow, 0),
                             Multiply(kernels.linear, context, x.view(), wide, 0)))
            << kernels.name << " " << DTypeName(type) << " " << tokens;
      }
    }
  }
}

TEST(Linear, RepackedWeightsGiveTheSameBits) {
  TestContext context(2);
  const DType type = DType::kBF16;
  for (const auto& [in, out] :
       {std::pair<int64_t, int64_t>{1, 1}, {31, 5}, {64, 64}, {65, 130}, {300, 33}, {1100, 200}}) {
    TestMatrix x(150, in, 3, RandomNormal(150 * in, 5));
    const TestWeight whole(out + 1, in + 5, type, 6);
    const WeightMatrix stored = whole.view().Rows(1, out).Cols(2, in);
    for (const Kernels& kernels : CpuKernelsOfAllTargets()) {
      if (!HasOwnLayout(kernels, context, stored)) continue;
      const size_t bytes = kernels.repacked_bytes(context.context, stored);
      EXPECT_GE(bytes, stored.bytes());
      std::vector<std::byte, AlignedAllocator<std::byte>> memory(bytes);
      const WeightMatrix repacked = kernels.repack(context.context, stored, memory.data());
      EXPECT_EQ(kernels.repacked_bytes(context.context, repacked), 0U);
      for (const int64_t tokens : {1, 15, 16, 17, 32, 33, 150}) {
        const ConstMatrix rows = x.view().Rows(0, tokens);
        TestMatrix expected(tokens, out, 1), actual(tokens, out, 2);
        kernels.linear(context.context, rows, {{stored, expected.view()}});
        kernels.linear(context.context, rows, {{repacked, actual.view()}});
        EXPECT_TRUE(SameBits(actual.Values(), expected.Values()))
            << kernels.name << " " << in << " " << out << " " << tokens;
      }
    }
  }
}

// Weights of one leave x as it is: none of its bits is lost on the way.
TEST(Linear, NothingOfXIsRounded) {
  const std::vector<float> values = {0.0F,     -1.0F,         0x1.fffffep127F, -0x1.fffffep0F,
                                     0x1p-95F, 0x1.23456p10F, -0x1.000002p-20F};
  const TestWeight one(1, 1, DType::kBF16, std::vector<float>{1.0F});
  TestContext context;
  TestMatrix x(std::ssize(values), 1, 0, values);
  for (const Kernels& kernels : CpuKernelsOfAllTargets()) {
    EXPECT_EQ(Multiply(kernels.linear, context, x.view(), one, 0), values) << kernels.name;
  }
}

TEST(Linear, SubnormalAndExtremeHalfWeightsAreExact) {
  // One input of 1: each output is the weight itself.
  constexpr uint16_t kBits[] = {0x0000, 0x0001, 0x03ff, 0x0400, 0x3c00, 0x7bff, 0x8001, 0xfbff};
  const int64_t count = std::size(kBits);
  const WeightMatrix weight(kBits, DType::kF16, count, 1);
  TestContext context;
  const float one = 1.0F;
  for (const Kernels& kernels : CpuKernelsOfAllTargets()) {
    TestMatrix y(1, count);
    kernels.linear(context.context, {&one, 1, 1}, {{weight, y.view()}});
    for (int64_t i = 0; i < count; ++i) {
      EXPECT_EQ(y.view().row(0)[i], F32FromF16(kBits[i])) << kernels.name << " " << i;
    }
  }
}

TEST(Linear, OneTokenCannotSpoilAnother) {
  TestContext context;
  for (const int64_t tokens : {3, 40, 150}) {
    for (const float bad :
         {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
      TestMatrix x(tokens, 75, 0, RandomNormal(tokens * 75, 7));
      const TestWeight weight(21, 75, DType::kBF16, 8);
      for (const Kernels& kernels : CpuKernelsOfAllTargets()) {
        const std::vector<float> clean = Multiply(kernels.linear, context, x.view(), weight, 0);
        const float kept = x.view().row(1)[74];
        x.view().row(1)[74] = bad;
        std::vector<float> spoiled = Multiply(kernels.linear, context, x.view(), weight, 0);
        x.view().row(1)[74] = kept;
        for (int64_t o = 0; o < 21; ++o) {
          EXPECT_FALSE(std::isfinite(spoiled[static_cast<size_t>(21 + o)])) << kernels.name;
        }
        std::copy_n(clean.begin() + 21, 21, spoiled.begin() + 21);
        EXPECT_TRUE(SameBits(spoiled, clean)) << kernels.name << " " << tokens;
      }
    }
  }
}

// Products that share x have the bits they have alone, with weights that are parts of larger ones,
// none of whose other elements is read.
TEST(Linear, ProductsAndPartsOfWeightsAreIndependent) {
  constexpr int64_t kIn = 1100;
  const auto within_nan = [](int64_t rows, DType type) {
    std::vector<float> values = testing::NanFilled((rows + 2) * (kIn + 7));
    const std::vector<float> inner = RandomNormal(rows * kIn, static_cast<uint64_t>(rows));
    for (int64_t r = 0; r < rows; ++r) {
      std::copy_n(inner.begin() + r * kIn, kIn, values.begin() + (r + 1) * (kIn + 7) + 3);
    }
    return std::make_unique<TestWeight>(rows + 2, kIn + 7, type, values);
  };
  const auto a = within_nan(300, DType::kBF16);
  const auto b = within_nan(1, DType::kF32);
  const auto c = within_nan(37, DType::kF16);
  const WeightMatrix parts[] = {
      a->view().Rows(1, 300).Cols(3, kIn), b->view().Rows(1, 1).Cols(3, kIn),
      c->view().Rows(1, 37).Cols(3, kIn), c->view().Rows(1, 0).Cols(3, kIn)};
  std::vector<Kernels> all = CpuKernelsOfAllTargets();
  all.push_back(RefKernels());
  for (const Kernels& kernels : all) {
    for (const int64_t tokens : {1, 7, 150}) {
      TestMatrix x(tokens, kIn, 5, RandomNormal(tokens * kIn, 5));
      std::vector<std::vector<float>> alone;
      for (const WeightMatrix& part : parts) {
        const TestWeight whole(part.rows, kIn, part.type, Dequantize(part));
        TestContext context;
        alone.push_back(Multiply(kernels.linear, context, x.view(), whole, 0));
      }
      for (const int threads : {1, 3}) {
        TestContext context(threads);
        TestMatrix y0(tokens, 300, 1), y1(tokens, 1, 2), y2(tokens, 37), y3(tokens, 0, 1);
        kernels.linear(context.context, x.view(),
                       {{parts[0], y0.view()},
                        {parts[1], y1.view()},
                        {parts[2], y2.view()},
                        {parts[3], y3.view()}});
        EXPECT_TRUE(SameBits(y0.Values(), alone[0])) << kernels.name << " " << tokens;
        EXPECT_TRUE(SameBits(y1.Values(), alone[1])) << kernels.name << " " << tokens;
        EXPECT_TRUE(SameBits(y2.Values(), alone[2])) << kernels.name << " " << tokens;
        EXPECT_TRUE(y3.Values().empty());
      }
    }
  }
}

TEST(Linear, NothingToDo) {
  TestContext context;
  const TestWeight weight(4, 8, DType::kF32, 9);
  for (const Kernels& kernels : CpuKernelsOfAllTargets()) {
    TestMatrix x(0, 8);
    EXPECT_TRUE(Multiply(kernels.linear, context, x.view(), weight, 0).empty());
  }
}

}  // namespace
}  // namespace fulmen
