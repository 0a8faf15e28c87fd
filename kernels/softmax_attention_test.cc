#include "kernels/softmax_attention.h"

#include <gtest/gtest.h>

#include <cmath>
#include <memory>

#include "kernels/testing/kernels.h"

namespace fulmen {
namespace {

using testing::CpuKernelsOfAllTargets;
using testing::NanFilled;
using testing::NearRelativeToLargest;
using testing::RandomNormal;
using testing::SameBits;
using testing::TestContext;
using testing::TestMatrix;

struct Case {
  int64_t context;  // positions in the cache
  int64_t heads, kv_heads, dim;
  int64_t page_tokens;
  DType type = DType::kF32;

  KvFormat format() const { return {type, kv_heads, dim}; }
  std::string Name() const {
    return fmt::format("context {} heads {}/{} dim {} pages of {} in {}", context, heads, kv_heads,
                       dim, page_tokens, DTypeName(type));
  }
};

// A cache of random keys and values, NaN where no position is.
class Cache {
 public:
  explicit Cache(const Case& c)
      : case_(c),
        keys_(RandomNormal(c.context * c.kv_heads * c.dim, 3)),
        values_(RandomNormal(c.context * c.kv_heads * c.dim, 4)) {
    const int64_t count = (c.context + c.page_tokens - 1) / c.page_tokens;
    for (int64_t page = 0; page < count; ++page) {
      memory_.emplace_back(c.format().BytesOfTokens(c.page_tokens), std::byte{0xff});
    }
    for (std::vector<std::byte>& page : memory_) pages_.push_back(page.data());
    sequences_ = {pages_};
    TestContext test(1);
    const std::vector<int64_t> starts = {0, c.context};
    const int64_t width = c.kv_heads * c.dim;
    RefKernels().store_kv(test.context, {keys_.data(), c.context, width},
                          {values_.data(), c.context, width}, {starts, {}}, view());
  }
  Cache(const Cache&) = delete;
  Cache& operator=(const Cache&) = delete;

  // Of one slice.
  KvCache view() const { return ViewOf(case_, sequences_); }
  static KvCache ViewOf(const Case& c, std::span<const std::span<std::byte* const>> pages) {
    return {.pages = pages, .page_tokens = c.page_tokens, .offset = 0, .format = c.format()};
  }
  std::span<std::byte* const> pages() const { return pages_; }
  const std::vector<std::vector<std::byte>>& memory() const { return memory_; }
  const float* Key(int64_t position, int64_t head) const {
    return keys_.data() + (position * case_.kv_heads + head) * case_.dim;
  }
  const float* Value(int64_t position, int64_t head) const {
    return values_.data() + (position * case_.kv_heads + head) * case_.dim;
  }

 private:
  Case case_;
  std::vector<float> keys_;
  std::vector<float> values_;
  std::vector<std::vector<std::byte>> memory_;
  std::vector<std::byte*> pages_;
  std::vector<std::span<std::byte* const>> sequences_;
};

// The answers of the last `tokens` positions, asked for in chunks. Queries of deviation 2 give
// scores that matter.
std::vector<float> Attend(const Kernels& kernels, const Case& c, const Cache& cache, int64_t tokens,
                          int64_t chunk, int threads, int64_t gap = 0) {
  TestContext test(threads);
  const int64_t width = c.heads * c.dim;
  const std::vector<float> all = RandomNormal(c.context * width, 5, 2.0F);
  TestMatrix queries(tokens, width, gap, {all.end() - tokens * width, all.end()});
  TestMatrix out(tokens, width, gap);
  for (int64_t t = 0; t < tokens; t += chunk) {
    const int64_t count = std::min(chunk, tokens - t);
    const std::vector<int64_t> starts = {0, count};
    const std::vector<int64_t> positions = {c.context - tokens + t};
    kernels.softmax_attention(test.context, queries.view().Rows(t, count), cache.view(),
                              {starts, positions}, out.view().Rows(t, count), {});
  }
  return out.Values();
}

TEST(SoftmaxAttention, ReferenceIsTheTextbookFormula) {
  const Case c = {.context = 37, .heads = 6, .kv_heads = 2, .dim = 5, .page_tokens = 32};
  const Cache cache(c);
  const int64_t width = c.heads * c.dim;
  const std::vector<float> queries = RandomNormal(c.context * width, 5, 2.0F);
  std::vector<float> expected(queries.size());
  for (int64_t t = 0; t < c.context; ++t) {
    for (int64_t h = 0; h < c.heads; ++h) {
      const size_t at = static_cast<size_t>(t * width + h * c.dim);
      double total = 0;
      std::vector<double> sums(static_cast<size_t>(c.dim), 0.0);
      for (int64_t p = 0; p <= t; ++p) {
        double dot = 0;
        for (size_t d = 0; d < sums.size(); ++d) {
          dot += double{queries[at + d]} * double{cache.Key(p, h / 3)[d]};
        }
        const double weight = std::exp(dot / std::sqrt(5.0));
        total += weight;
        for (size_t d = 0; d < sums.size(); ++d) sums[d] += weight * cache.Value(p, h / 3)[d];
      }
      for (size_t d = 0; d < sums.size(); ++d) {
        expected[at + d] = static_cast<float>(sums[d] / total);
      }
    }
  }
  EXPECT_TRUE(NearRelativeToLargest(Attend(RefKernels(), c, cache, c.context, c.context, 1),
                                    expected, 2e-7));
}

TEST(SoftmaxAttention, MatchesReferenceOnRaggedShapes) {
  const std::vector<Case> cases = {
      {.context = 1, .heads = 1, .kv_heads = 1, .dim = 1, .page_tokens = 32},
      {.context = 3, .heads = 2, .kv_heads = 2, .dim = 5, .page_tokens = 256},
      {.context = 40, .heads = 6, .kv_heads = 2, .dim = 20, .page_tokens = 32},
      {.context = 129, .heads = 4, .kv_heads = 1, .dim = 24, .page_tokens = 64},
      {.context = 300, .heads = 8, .kv_heads = 8, .dim = 32, .page_tokens = 256},
      {.context = 700, .heads = 8, .kv_heads = 2, .dim = 64, .page_tokens = 96},
      {.context = 1100, .heads = 8, .kv_heads = 1, .dim = 128, .page_tokens = 256},
      {.context = 140, .heads = 150, .kv_heads = 1, .dim = 8, .page_tokens = 32},
      {.context = 300,
       .heads = 6,
       .kv_heads = 2,
       .dim = 20,
       .page_tokens = 64,
       .type = DType::kF16},
      {.context = 300,
       .heads = 6,
       .kv_heads = 2,
       .dim = 5,
       .page_tokens = 64,
       .type = DType::kBF16},
      {.context = 700,
       .heads = 8,
       .kv_heads = 1,
       .dim = 128,
       .page_tokens = 256,
       .type = DType::kBF16},
      {.context = 150,
       .heads = 6,
       .kv_heads = 2,
       .dim = 32,
       .page_tokens = 32,
       .type = DType::kQ8_0},
      {.context = 700,
       .heads = 4,
       .kv_heads = 1,
       .dim = 96,
       .page_tokens = 96,
       .type = DType::kQ8_0},
  };
  for (const Case& c : cases) {
    const Cache cache(c);
    for (const int64_t tokens : {int64_t{1}, int64_t{2}, int64_t{33}, c.context}) {
      if (tokens > c.context) continue;
      const std::vector<float> expected = Attend(RefKernels(), c, cache, tokens, tokens, 1);
      for (const Kernels& kernels : CpuKernelsOfAllTargets()) {
        // Scores are float32 sums: their error, the exponent's, is a few roundings of scores of
        // about 10.
        EXPECT_TRUE(
            NearRelativeToLargest(Attend(kernels, c, cache, tokens, tokens, 2, 3), expected, 1e-5))
            << kernels.name << " " << c.Name() << " tokens " << tokens;
      }
    }
  }
}

// Elements whose rounding is easy to get wrong, and some that are not finite.
std::vector<float> HardToRound(int64_t count) {
  std::vector<float> values = RandomNormal(count, 6);
  const std::vector<float> hard = {0.0F,    -0.0F, 1e-30F, -3e-6F,  65519.0F, 65520.0F,
                                   1.0039F, 2.5F,  1e30F,  6.1e-5F, -7e-8F,   INFINITY};
  for (size_t i = 0; i < values.size(); i += 7) values[i] = hard[i / 7 % hard.size()];
  for (size_t i = 96; i < std::min<size_t>(128, values.size()); ++i) values[i] = 0;
  if (values.size() > 400) values[400] = NAN;
  return values;
}

TEST(StoreKv, KeepsTheSameBytesAsReference) {
  constexpr int64_t kTokens = 75;
  for (const DType type : {DType::kF32, DType::kF16, DType::kBF16, DType::kQ8_0}) {
    for (const int64_t dim : {32, 64, 20}) {
      if (!CheckKvType(type, dim)) continue;
      const Case c = {
          .context = 100, .heads = 2, .kv_heads = 2, .dim = dim, .page_tokens = 64, .type = type};
      TestMatrix keys(kTokens, 2 * dim, 3, HardToRound(kTokens * 2 * dim));
      TestMatrix values(kTokens, 2 * dim, 1, HardToRound(kTokens * 2 * dim));
      const std::vector<int64_t> starts = {0, kTokens};
      const std::vector<int64_t> positions = {20};
      const auto store = [&](const Kernels& kernels, int threads) {
        const Cache cache(c);
        TestContext test(threads);
        kernels.store_kv(test.context, keys.view(), values.view(), {starts, positions},
                         cache.view());
        return cache.memory();
      };
      const auto expected = store(RefKernels(), 1);
      for (const Kernels& kernels : CpuKernelsOfAllTargets()) {
        for (const int threads : {1, 3}) {
          EXPECT_EQ(store(kernels, threads), expected) << kernels.name << " " << c.Name();
        }
      }
    }
  }
}

// What is kept differs from what was given by half a step of its type at most.
TEST(StoreKv, RoundsByHalfAStep) {
  struct Bound {
    DType type;
    double step;  // relative to the element, in Q8_0 to the largest of its group
  };
  for (const auto& [type, step] :
       {Bound{DType::kF16, 0x1p-10}, {DType::kBF16, 0x1p-7}, {DType::kQ8_0, 1.0 / 127}}) {
    // A query of zeros weights all values alike: one position, so out is the value as it was kept.
    const Case c = {
        .context = 1, .heads = 1, .kv_heads = 1, .dim = 64, .page_tokens = 32, .type = type};
    const Cache cache(c);
    TestContext test(1);
    std::vector<float> zeros(64, 0.0F);
    std::vector<float> kept(64);
    const std::vector<int64_t> starts = {0, 1};
    RefKernels().softmax_attention(test.context, {zeros.data(), 1, 64}, cache.view(), {starts, {}},
                                   {kept.data(), 1, 64}, {});
    bool differs = false;
    for (int64_t d = 0; d < 64; ++d) {
      const float value = cache.Value(0, 0)[d];
      float scale = std::abs(value);
      if (type == DType::kQ8_0) {
        for (int64_t i = d / 32 * 32; i < d / 32 * 32 + 32; ++i) {
          scale = std::max(scale, std::abs(cache.Value(0, 0)[i]));
        }
      }
      // Half a step, and the scale's own rounding.
      EXPECT_NEAR(kept[static_cast<size_t>(d)], value, scale * (step / 2 + 0x1p-11))
          << DTypeName(type) << " " << d;
      differs = differs || kept[static_cast<size_t>(d)] != value;
    }
    EXPECT_TRUE(differs) << DTypeName(type);
  }
}

// A key that is not finite shows in the answers of those who see it, whatever the type.
TEST(SoftmaxAttention, WhatIsNotFiniteShows) {
  for (const DType type : {DType::kF32, DType::kF16, DType::kBF16, DType::kQ8_0}) {
    for (const float bad : {INFINITY, -INFINITY, NAN}) {
      const Case c = {
          .context = 3, .heads = 2, .kv_heads = 1, .dim = 32, .page_tokens = 32, .type = type};
      std::vector<Kernels> all = CpuKernelsOfAllTargets();
      all.push_back(RefKernels());
      for (const Kernels& kernels : all) {
        const Cache cache(c);
        TestContext test(1);
        TestMatrix queries(2, 64, 0, RandomNormal(2 * 64, 1));
        TestMatrix keys(1, 32, 0, RandomNormal(32, 1));
        keys.view().row(0)[5] = bad;
        TestMatrix out(2, 64);
        const std::vector<int64_t> one = {0, 1};
        const std::vector<int64_t> second = {1};
        kernels.store_kv(test.context, keys.view(), keys.view(), {one, second}, cache.view());
        const std::vector<int64_t> two = {0, 2};
        kernels.softmax_attention(test.context, queries.view(), cache.view(), {two, second},
                                  out.view(), {});
        const auto finite = [&](int64_t row) {
          return std::all_of(out.view().row(row), out.view().row(row) + 64,
                             [](float x) { return std::isfinite(x); });
        };
        EXPECT_FALSE(finite(0)) << kernels.name << " " << c.Name();
        EXPECT_FALSE(finite(1)) << kernels.name << " " << c.Name();
      }
    }
  }
}

// Chunks, threads and neighbours: the same bits, since blocks lie at absolute positions.
TEST(SoftmaxAttention, ChunksAndThreadsDoNotChangeABit) {
  for (const Case& c :
       {Case{.context = 1300, .heads = 4, .kv_heads = 2, .dim = 20, .page_tokens = 256},
        Case{.context = 600, .heads = 3, .kv_heads = 3, .dim = 32, .page_tokens = 64},
        Case{.context = 600,
        .heads = 40,
        .kv_heads = 1,
        .dim = 32,
        .page_tokens = 64,
        .type = DType::kF16},
        Case{.context = 600,
        .heads = 3,
        .kv_heads = 1,
        .dim = 32,
        .page_tokens = 64,
        .type = DType::kBF16},
        Case{.context = 600,
        .heads = 3,
        .kv_heads = 1,
        .dim = 32,
        .page_tokens = 64,
        .type = DType::kQ8_0}}) {
    const Cache cache(c);
    for (const Kernels& kernels : CpuKernelsOfAllTargets()) {
      const int64_t tokens = 150;
      const std::vector<float> whole = Attend(kernels, c, cache, tokens, tokens, 1);
      for (const int threads : {1, 2, 3}) {
        for (const int64_t chunk : {1, 7, 64, 150}) {
          if (chunk == 1 && threads != 2) continue;  // many short calls
          EXPECT_TRUE(SameBits(Attend(kernels, c, cache, tokens, chunk, threads), whole))
              << kernels.name << " " << c.Name() << " chunks of " << chunk << " threads "
              << threads;
        }
      }
    }
  }
}

// Many waves of spans for one query, and scores so large that only the shift by the maximum keeps
// the exponentials finite.
TEST(SoftmaxAttention, LongContextAndLargeScores) {
  const Case c = {.context = 40000, .heads = 2, .kv_heads = 1, .dim = 8, .page_tokens = 256};
  const Cache cache(c);
  std::vector<float> queries = RandomNormal(c.heads * c.dim, 6, 100.0F);
  for (const Kernels& kernels : CpuKernelsOfAllTargets()) {
    TestContext test(2);
    std::vector<float> expected(queries.size());
    std::vector<float> actual = NanFilled(static_cast<int64_t>(queries.size()));
    const int64_t width = c.heads * c.dim;
    const std::vector<int64_t> starts = {0, 1};
    const std::vector<int64_t> positions = {c.context - 1};
    const Slices slices = {starts, positions};
    RefKernels().softmax_attention(test.context, {queries.data(), 1, width}, cache.view(), slices,
                                   {expected.data(), 1, width}, {});
    kernels.softmax_attention(test.context, {queries.data(), 1, width}, cache.view(), slices,
                              {actual.data(), 1, width}, {});
    // Scores reach 300, where one float32 rounding is 3e-5; a score sums 8 products.
    EXPECT_TRUE(NearRelativeToLargest(actual, expected, 2 * 8 * 3e-5)) << kernels.name;
  }
}

// Prompts and decoding steps of several sequences share a batch: the same bits as alone, whether
// blocks or spans are shared out, and nothing of a broken neighbour. Keys and values get to their
// pages by store_kv.
TEST(SoftmaxAttention, NeighboursDoNotChangeABit) {
  struct Part {
    int64_t position, tokens;
  };
  const Case c = {.context = 1, .heads = 4, .kv_heads = 2, .dim = 20, .page_tokens = 64};
  const int64_t width = c.heads * c.dim;
  const int64_t kv_width = c.kv_heads * c.dim;
  for (const std::vector<Part>& parts : std::vector<std::vector<Part>>{
           {{1300, 1}, {0, 30}, {700, 1}, {0, 0}, {511, 2}, {5000, 1}},
           {{0, 300}, {3, 1}, {0, 1}, {600, 40}},
       }) {
    std::vector<int64_t> starts = {0};
    std::vector<int64_t> positions;
    std::vector<std::unique_ptr<Cache>> caches;
    std::vector<std::span<std::byte* const>> pages;
    for (const Part& part : parts) {
      starts.push_back(starts.back() + part.tokens);
      positions.push_back(part.position);
      Case mine = c;
      mine.context = part.position + part.tokens;
      caches.push_back(std::make_unique<Cache>(mine));
      pages.push_back(caches.back()->pages());
    }
    const int64_t rows = starts.back();
    TestMatrix queries(rows, width, 0, RandomNormal(rows * width, 7, 2.0F));
    TestMatrix keys(rows, kv_width, 0, RandomNormal(rows * kv_width, 8));
    TestMatrix values(rows, kv_width, 0, RandomNormal(rows * kv_width, 9));
    for (const Kernels& kernels : CpuKernelsOfAllTargets()) {
      for (const int threads : {1, 3}) {
        TestContext test(threads);
        TestMatrix out(rows, width, 3);
        TestMatrix log_sums(rows, c.heads, 1);
        const KvCache cache = Cache::ViewOf(c, pages);
        kernels.store_kv(test.context, keys.view(), values.view(), {starts, positions}, cache);
        kernels.softmax_attention(test.context, queries.view(), cache, {starts, positions},
                                  out.view(), log_sums.view());
        const std::vector<float> all = out.Values();
        for (size_t s = 0; s < parts.size(); ++s) {
          const int64_t count = parts[s].tokens;
          TestMatrix alone(count, width);
          kernels.softmax_attention(test.context, queries.view().Rows(starts[s], count),
                                    Cache::ViewOf(c, std::span(pages).subspan(s, 1)),
                                    {std::vector<int64_t>{0, count}, {&positions[s], 1}},
                                    alone.view(), {});
          EXPECT_TRUE(
              SameBits({all.begin() + starts[s] * width, all.begin() + starts[s + 1] * width},
                       alone.Values()))
              << kernels.name << " threads " << threads << " slice " << s;
          EXPECT_TRUE(count == 0 || std::isfinite(log_sums.view().row(starts[s])[0]));
        }
      }
    }
  }
}

}  // namespace
}  // namespace fulmen
