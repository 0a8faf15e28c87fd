// The register tile of products-inl.h: compiled once, for it takes the compiler long.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/products.cc"
#include <hwy/foreach_target.h>
// After foreach_target.h.
#include <hwy/highway.h>

#include "kernels/cpu/products-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fulmen::cpu::HWY_NAMESPACE {
namespace {

// Steps of the depth after which a vector of b is used that is fetched into the L1 cache now: where
// rows of b lie apart, processors do not foresee them.
constexpr int64_t kAheadSteps = 16;

// c = a b, or c + a b, for kRows rows and kVecs vectors of columns.
template <Precision kPrecision, int kRows, int kVecs>
HWY_NOINLINE void MultiplyTileOf(const TileInput& input, float* HWY_RESTRICT c, int64_t c_stride) {
  const Floats d;
  const int64_t lanes = TileLanes();
  const float* HWY_RESTRICT a[kRows / kRowStep];
#pragma GCC unroll 4
  for (int i = 0; i < kRows / kRowStep; ++i) a[i] = input.a + kRowStep * i * input.a_row;
  const float* HWY_RESTRICT b = input.b;
  const int64_t a_row = input.a_row;
  const int64_t a_step = input.a_step;
  const int64_t b_step = input.b_step;
  FloatsV sums[kRows][kVecs];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
    __builtin_prefetch(c + r * c_stride, 1);
    if (kVecs > 1) __builtin_prefetch(c + r * c_stride + lanes, 1);
#pragma GCC unroll 2
    for (int v = 0; v < kVecs; ++v) sums[r][v] = hn::Zero(d);
  }
  const hn::RebindToUnsigned<Floats> du;
  const auto lower = [&](FloatsV units) HWY_ATTR {
    return hn::BitCast(d, hn::ShiftLeft<16>(hn::BitCast(du, units)));
  };
  const auto upper = [&](FloatsV units) HWY_ATTR {
    return hn::BitCast(d, hn::And(hn::BitCast(du, units), hn::Set(du, 0xffff0000U)));
  };
  const auto add_products = [&]() HWY_ATTR {
    FloatsV columns[kVecs];
#pragma GCC unroll 2
    for (int v = 0; v < kVecs; ++v) {
      columns[v] = hn::LoadU(d, b + v * lanes);
      __builtin_prefetch(b + kAheadSteps * b_step + v * lanes);
    }
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const FloatsV row = hn::Set(d, a[r / kRowStep][r % kRowStep * a_row]);
#pragma GCC unroll 2
      for (int v = 0; v < kVecs; ++v) {
        if constexpr (kPrecision == Precision::kFloat32) {
          sums[r][v] = hn::MulAdd(row, columns[v], sums[r][v]);
        } else {
          sums[r][v] = hn::MulAdd(lower(row), lower(columns[v]), sums[r][v]);
          sums[r][v] = hn::MulAdd(upper(row), upper(columns[v]), sums[r][v]);
        }
      }
    }
#pragma GCC unroll 4
    for (int i = 0; i < kRows / kRowStep; ++i) a[i] += a_step;
    b += b_step;
  };
  const int64_t fetched = input.depth / Upcoming::kElements;
  for (int64_t i = 0; i < fetched; ++i) {
    __builtin_prefetch(input.fetch[i], 0, 2);
    for (int64_t k = 0; k < Upcoming::kElements; ++k) add_products();
  }
  for (int64_t k = fetched * Upcoming::kElements; k < input.depth; ++k) add_products();
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
    for (int v = 0; v < kVecs; ++v) {
      float* to = c + r * c_stride + v * lanes;
      hn::StoreU(input.add ? hn::Add(hn::LoadU(d, to), sums[r][v]) : sums[r][v], d, to);
    }
  }
}

// The same for any number of rows.
template <Precision kPrecision, int kVecs>
HWY_INLINE void MultiplyRows(int64_t rows, const TileInput& input, float* c, int64_t c_stride) {
  if constexpr (kPanelRows == 4 * kRowStep) {
    if (rows > 3 * kRowStep) {
      return MultiplyTileOf<kPrecision, 4 * kRowStep, kVecs>(input, c, c_stride);
    }
    if (rows > 2 * kRowStep) {
      return MultiplyTileOf<kPrecision, 3 * kRowStep, kVecs>(input, c, c_stride);
    }
  }
  if (rows > kRowStep) return MultiplyTileOf<kPrecision, 2 * kRowStep, kVecs>(input, c, c_stride);
  MultiplyTileOf<kPrecision, kRowStep, kVecs>(input, c, c_stride);
}

}  // namespace

template <Precision kPrecision>
void MultiplyTile(int64_t rows, int vectors, const TileInput& input, float* c, int64_t c_stride) {
  if constexpr (kPrecision == Precision::kBFloat16 && HWY_TARGET == HWY_AVX3_DL) {
    if (HasBf16Dot()) return MultiplyBf16Tile(rows, vectors, input, c, c_stride);
  }
  if (vectors == 1) return MultiplyRows<kPrecision, 1>(rows, input, c, c_stride);
  MultiplyRows<kPrecision, kPanelVecs>(rows, input, c, c_stride);
}

template void MultiplyTile<Precision::kFloat32>(int64_t, int, const TileInput&, float*, int64_t);
template void MultiplyTile<Precision::kBFloat16>(int64_t, int, const TileInput&, float*, int64_t);

}  // namespace fulmen::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
