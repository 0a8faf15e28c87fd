// Small dense products for attention: operands packed, in cache, float32. Included once per
// instruction set.

// The toggle lets foreach_target.h include this file again for the next instruction set.
#if defined(FULMEN_KERNELS_CPU_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FULMEN_KERNELS_CPU_TILE_INL_H_
#undef FULMEN_KERNELS_CPU_TILE_INL_H_
#else
#define FULMEN_KERNELS_CPU_TILE_INL_H_
#endif

#include <algorithm>
#include <cstdint>

#include "base/matrix.h"
#include "hwy/highway.h"
#include "kernels/context.h"
#include "kernels/cpu/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fulmen::cpu::HWY_NAMESPACE {

// Register tile: kProductRows x kProductVecs sums. AVX-512 has 32 registers, the others 16:
// enough sums that a multiply-add never waits for the one before it.
constexpr int64_t kProductRows = HWY_TARGET <= HWY_AVX3 ? 8 : 6;
constexpr int kProductVecs = 2;

HWY_INLINE int64_t TileLanes() { return static_cast<int64_t>(hn::Lanes(Floats())); }

// Columns of a packed matrix: a whole number of vectors.
HWY_INLINE int64_t PadColumns(int64_t columns) {
  return (columns + TileLanes() - 1) / TileLanes() * TileLanes();
}

// What a product brings into the L2 cache for whoever comes next: nothing, or `step` bytes, one or
// two lines, for every element of the depth of a tile. Memory is read while products are computed,
// in an order that the processor would not guess.
struct FetchNothing {
  HWY_INLINE void Next() {}
};
struct FetchAhead {
  const std::byte* next = nullptr;
  const std::byte* end = nullptr;
  int64_t step = 0;

  HWY_INLINE void Next() {
    if (next >= end) return;
    __builtin_prefetch(next, 0, 2);
    __builtin_prefetch(next + step / 2, 0, 2);
    next += step;
  }
};

// c = diag(scale) c + a b for kRows rows and kVecs vectors of columns; c = a b without `scale`.
// Each sum runs over `depth` in order, starting from the scaled c. `a` is [kRows, depth], or
// [depth, kRows] when transposed.
template <int kRows, int kVecs, bool kTransposed, class Fetch>
HWY_NOINLINE void ProductTile(int64_t depth, const float* HWY_RESTRICT a, int64_t a_stride,
                              const float* HWY_RESTRICT b, int64_t b_stride,
                              const float* HWY_RESTRICT scale, float* HWY_RESTRICT c,
                              int64_t c_stride, Fetch& fetch) {
  // A pointer for every four rows, which are reached by multiples of a stride that addresses can
  // have: a pointer for each would not fit the registers.
  constexpr int kGroup = 4;
  constexpr int kGroups = (kRows + kGroup - 1) / kGroup;
  Fetch ahead = fetch;
  const Floats d;
  const int64_t lanes = TileLanes();
  const float* HWY_RESTRICT rows[kGroups];
  float* HWY_RESTRICT to[kGroups];
#pragma GCC unroll 2
  for (int g = 0; g < kGroups; ++g) {
    rows[g] = a + g * kGroup * (kTransposed ? 1 : a_stride);
    to[g] = c + g * kGroup * c_stride;
  }
  const auto place = [&](int r, int v)
                         HWY_ATTR { return to[r / kGroup] + r % kGroup * c_stride + v * lanes; };
  FloatsV sums[kRows][kVecs];
  if (scale == nullptr) {
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
      for (int v = 0; v < kVecs; ++v) sums[r][v] = hn::Zero(d);
    }
  } else {
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const FloatsV factor = hn::Set(d, scale[r]);
#pragma GCC unroll 8
      for (int v = 0; v < kVecs; ++v) sums[r][v] = hn::Mul(factor, hn::LoadU(d, place(r, v)));
    }
  }
  for (int64_t k = 0; k < depth; ++k) {
    ahead.Next();
    FloatsV columns[kVecs];
#pragma GCC unroll 8
    for (int v = 0; v < kVecs; ++v) columns[v] = hn::LoadU(d, b + v * lanes);
    b += b_stride;
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const FloatsV row = hn::Set(d, rows[r / kGroup][r % kGroup * (kTransposed ? 1 : a_stride)]);
#pragma GCC unroll 8
      for (int v = 0; v < kVecs; ++v) sums[r][v] = hn::MulAdd(row, columns[v], sums[r][v]);
    }
#pragma GCC unroll 2
    for (int g = 0; g < kGroups; ++g) rows[g] += kTransposed ? a_stride : 1;
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < kVecs; ++v) hn::StoreU(sums[r][v], d, place(r, v));
  }
  fetch = ahead;
}

template <int kRows, bool kTransposed, class Fetch>
HWY_INLINE void ProductRows(int64_t depth, int64_t first, ConstMatrix a, ConstMatrix b,
                            const float* scale, Matrix c, Fetch& fetch) {
  const float* rows = kTransposed ? a.data + first : a.row(first);
  const float* scales = scale == nullptr ? nullptr : scale + first;
  float* to = c.row(first);
  const int64_t step = kProductVecs * TileLanes();
  int64_t j = 0;
  if constexpr (kRows == 1) {
    // One row alone is limited by reading b, whose rows are best read whole.
    constexpr int kWideVecs = HWY_TARGET <= HWY_AVX3 ? 8 : 4;
    for (; j + kWideVecs * TileLanes() <= c.cols; j += kWideVecs * TileLanes()) {
      ProductTile<1, kWideVecs, kTransposed>(depth, rows, a.stride, b.data + j, b.stride, scales,
                                             to + j, c.stride, fetch);
    }
  }
  for (; j + step <= c.cols; j += step) {
    ProductTile<kRows, kProductVecs, kTransposed>(depth, rows, a.stride, b.data + j, b.stride,
                                                  scales, to + j, c.stride, fetch);
  }
  for (; j < c.cols; j += TileLanes()) {
    ProductTile<kRows, 1, kTransposed>(depth, rows, a.stride, b.data + j, b.stride, scales, to + j,
                                       c.stride, fetch);
  }
}

// c = diag(scale) c + a b, or a b where scale is null. a is [c.rows, depth], or [depth, c.rows]
// when transposed; b [depth, c.cols]; c.cols is a multiple of TileLanes(). An element's bits do not
// depend on the shape of c.
template <bool kTransposed = false, class Fetch>
HWY_INLINE void Product(int64_t depth, ConstMatrix a, ConstMatrix b, const float* scale, Matrix c,
                        Fetch& fetch) {
  int64_t i = 0;
  for (; i + kProductRows <= c.rows; i += kProductRows) {
    ProductRows<kProductRows, kTransposed>(depth, i, a, b, scale, c, fetch);
  }
  for (; i + 2 <= c.rows; i += 2) ProductRows<2, kTransposed>(depth, i, a, b, scale, c, fetch);
  if (i < c.rows) ProductRows<1, kTransposed>(depth, i, a, b, scale, c, fetch);
}
template <bool kTransposed = false>
HWY_INLINE void Product(int64_t depth, ConstMatrix a, ConstMatrix b, const float* scale, Matrix c) {
  FetchNothing nothing;
  Product<kTransposed>(depth, a, b, scale, c, nothing);
}

// The four consecutive floats at `row`, and those of every fourth row from there on (rows lie
// `stride` apart), one 128-bit block of the result each.
template <class D>
HWY_INLINE hn::Vec<D> LoadBlocks(D d, const float* row, int64_t stride) {
  if constexpr (hn::MaxLanes(D()) <= 4) {
    return hn::LoadU(d, row);
  } else {
    const hn::Half<D> half;
    const float* upper = row + static_cast<int64_t>(hn::Lanes(half)) * stride;
    return hn::Combine(d, LoadBlocks(half, upper, stride), LoadBlocks(half, row, stride));
  }
}

// to[c][r] = from[r][c] for `from` [rows, columns].
inline HWY_NOINLINE void Transpose(ConstMatrix from, Matrix to) {
  int64_t r = 0;
  const Floats d;
  const hn::Repartition<double, Floats> pairs;
  const int64_t lanes = TileLanes();
  for (; r + lanes <= from.rows; r += lanes) {
    int64_t c = 0;
    for (; c + 4 <= from.cols; c += 4) {
      const float* block = from.row(r) + c;
      const FloatsV a0 = LoadBlocks(d, block, from.stride);
      const FloatsV a1 = LoadBlocks(d, block + from.stride, from.stride);
      const FloatsV a2 = LoadBlocks(d, block + 2 * from.stride, from.stride);
      const FloatsV a3 = LoadBlocks(d, block + 3 * from.stride, from.stride);
      const auto low01 = hn::BitCast(pairs, hn::InterleaveLower(d, a0, a1));
      const auto low23 = hn::BitCast(pairs, hn::InterleaveLower(d, a2, a3));
      const auto high01 = hn::BitCast(pairs, hn::InterleaveUpper(d, a0, a1));
      const auto high23 = hn::BitCast(pairs, hn::InterleaveUpper(d, a2, a3));
      hn::StoreU(hn::BitCast(d, hn::InterleaveLower(pairs, low01, low23)), d, to.row(c) + r);
      hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(pairs, low01, low23)), d, to.row(c + 1) + r);
      hn::StoreU(hn::BitCast(d, hn::InterleaveLower(pairs, high01, high23)), d, to.row(c + 2) + r);
      hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(pairs, high01, high23)), d, to.row(c + 3) + r);
    }
    for (; c < from.cols; ++c) {
      for (int64_t i = 0; i < lanes; ++i) to.row(c)[r + i] = from.row(r + i)[c];
    }
  }
  for (int64_t c = 0; c < from.cols; ++c) {
    for (int64_t i = r; i < from.rows; ++i) to.row(c)[i] = from.row(i)[c];
  }
}

// What make() allocates, once for each thread.
template <class Make>
HWY_INLINE auto* AllocatePerThread(KernelContext& context, const Make& make) {
  const int64_t threads = context.pool.size();
  auto* scratch = context.scratch.Allocate<decltype(make())>(threads);
  for (int64_t thread = 0; thread < threads; ++thread) scratch[thread] = make();
  return scratch;
}

// Copies `count` floats, as the rows of attention are short: for them a call of memcpy takes
// several times as long.
HWY_INLINE void CopyRow(int64_t count, const float* HWY_RESTRICT from, float* HWY_RESTRICT to) {
  const Floats d;
  int64_t i = 0;
  for (; i + TileLanes() <= count; i += TileLanes()) hn::StoreU(hn::LoadU(d, from + i), d, to + i);
  for (; i < count; ++i) to[i] = from[i];
}

// As CopyRow, times `scale`.
HWY_INLINE void ScaleRow(int64_t count, float scale, const float* from, float* to) {
  const Floats d;
  const FloatsV scales = hn::Set(d, scale);
  int64_t i = 0;
  for (; i + TileLanes() <= count; i += TileLanes()) {
    hn::StoreU(hn::Mul(scales, hn::LoadU(d, from + i)), d, to + i);
  }
  for (; i < count; ++i) to[i] = scale * from[i];
}

// Copies rows and fills the columns of `to` beyond them with zeros.
HWY_INLINE void CopyPadded(ConstMatrix from, Matrix to) {
  for (int64_t r = 0; r < from.rows; ++r) {
    float* row = to.row(r);
    CopyRow(from.cols, from.row(r), row);
    for (int64_t c = from.cols; c < to.cols; ++c) row[c] = 0.0F;
  }
}

// Brings rows [first, first + count) of a matrix, or those of them that it has, into the L2 cache
// while something else is worked on: rows of heads lie so far apart that the processor does not
// guess the next.
template <bool kToWrite = false, class T>
HWY_INLINE void FetchRows(const MatrixView<T>& matrix, int64_t first, int64_t count) {
  constexpr int64_t kLineFloats = 16;
  for (int64_t r = first; r < std::min(matrix.rows, first + count); ++r) {
    for (int64_t c = 0; c < matrix.cols; c += kLineFloats) {
      __builtin_prefetch(matrix.row(r) + c, kToWrite ? 1 : 0, 2);
    }
  }
}

}  // namespace fulmen::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // FULMEN_KERNELS_CPU_TILE_INL_H_
