#include "kernels/cpu/bf16_tile.h"

#include "base/check.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace fulmen::cpu {

#if defined(__x86_64__)

namespace {

constexpr int64_t kPanelRows = 12;
constexpr int64_t kLanes = 16;
constexpr int64_t kPanelColumns = 2 * kLanes;

template <int kRows, int kVecs, bool kAcross>
__attribute__((target("avx512f,avx512bf16"))) void Tile(const TileInput& input, float* c,
                                                        int64_t c_stride) {
  constexpr int64_t kRowDistance = kAcross ? 1 : kRowStride;
  constexpr int64_t kDepthDistance = kAcross ? kPanelRows : 1;
  const float* a = input.a;
  const float* b = input.b;
  __m512 sums[kRows][kVecs];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
    __builtin_prefetch(c + r * c_stride, 1);
    if (kVecs > 1) __builtin_prefetch(c + r * c_stride + kLanes, 1);
#pragma GCC unroll 2
    for (int v = 0; v < kVecs; ++v) sums[r][v] = _mm512_setzero_ps();
  }
  for (int64_t k = 0; k < input.depth; ++k) {
    if (k % kFetchElements == 0 && k + kFetchElements <= input.depth) {
      __builtin_prefetch(input.fetch[k / kFetchElements], 0, 2);
    }
    __m512bh columns[kVecs];
#pragma GCC unroll 2
    for (int v = 0; v < kVecs; ++v) {
      columns[v] = reinterpret_cast<__m512bh>(_mm512_load_ps(b + v * kLanes));
    }
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const auto row = reinterpret_cast<__m512bh>(_mm512_set1_ps(a[r * kRowDistance]));
#pragma GCC unroll 2
      for (int v = 0; v < kVecs; ++v) {
        sums[r][v] = _mm512_dpbf16_ps(sums[r][v], row, columns[v]);
      }
    }
    a += kDepthDistance;
    b += kPanelColumns;
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
    for (int v = 0; v < kVecs; ++v) {
      float* to = c + r * c_stride + v * kLanes;
      _mm512_storeu_ps(to, input.add ? _mm512_add_ps(_mm512_loadu_ps(to), sums[r][v]) : sums[r][v]);
    }
  }
}

template <int kVecs, bool kAcross>
void TileOf(int64_t rows, const TileInput& input, float* c, int64_t c_stride) {
  if (rows > 8) return Tile<12, kVecs, kAcross>(input, c, c_stride);
  if (rows > 4) return Tile<8, kVecs, kAcross>(input, c, c_stride);
  Tile<4, kVecs, kAcross>(input, c, c_stride);
}

}  // namespace

bool HasBf16Dot() {
  static const bool has = __builtin_cpu_supports("avx512bf16") != 0;
  return has;
}

void MultiplyBf16Tile(int64_t rows, int vectors, bool across, const TileInput& input, float* c,
                      int64_t c_stride) {
  if (vectors == 1) {
    return across ? TileOf<1, true>(rows, input, c, c_stride)
                  : TileOf<1, false>(rows, input, c, c_stride);
  }
  return across ? TileOf<2, true>(rows, input, c, c_stride)
                : TileOf<2, false>(rows, input, c, c_stride);
}

#else

bool HasBf16Dot() { return false; }

void MultiplyBf16Tile(int64_t, int, bool, const TileInput&, float*, int64_t) {
  FULMEN_CHECK(false, "this processor has no BF16 dot products");
}

#endif  // defined(__x86_64__)

}  // namespace fulmen::cpu
