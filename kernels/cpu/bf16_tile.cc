#include "kernels/cpu/bf16_tile.h"

#include "base/check.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace fulmen::cpu {

#if defined(__x86_64__)

namespace {

constexpr int64_t kLanes = 16;

template <int kRows, int kVecs>
__attribute__((target("avx512f,avx512bf16"))) void Tile(const TileInput& input, float* c,
                                                        int64_t c_stride) {
  // Three rows of each pointer are within reach of an address.
  const float* a[kRows / 3];
#pragma GCC unroll 4
  for (int i = 0; i < kRows / 3; ++i) a[i] = input.a + 3 * i * input.a_row;
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
      columns[v] = reinterpret_cast<__m512bh>(_mm512_loadu_ps(b + v * kLanes));
    }
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const auto row = reinterpret_cast<__m512bh>(_mm512_set1_ps(a[r / 3][r % 3 * input.a_row]));
#pragma GCC unroll 2
      for (int v = 0; v < kVecs; ++v) {
        sums[r][v] = _mm512_dpbf16_ps(sums[r][v], row, columns[v]);
      }
    }
#pragma GCC unroll 4
    for (int i = 0; i < kRows / 3; ++i) a[i] += input.a_step;
    b += input.b_step;
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

template <int kVecs>
void TileOf(int64_t rows, const TileInput& input, float* c, int64_t c_stride) {
  if (rows > 9) return Tile<12, kVecs>(input, c, c_stride);
  if (rows > 6) return Tile<9, kVecs>(input, c, c_stride);
  if (rows > 3) return Tile<6, kVecs>(input, c, c_stride);
  Tile<3, kVecs>(input, c, c_stride);
}

}  // namespace

bool HasBf16Dot() {
  static const bool has = __builtin_cpu_supports("avx512bf16") != 0;
  return has;
}

void MultiplyBf16Tile(int64_t rows, int vectors, const TileInput& input, float* c,
                      int64_t c_stride) {
  return vectors == 1 ? TileOf<1>(rows, input, c, c_stride) : TileOf<2>(rows, input, c, c_stride);
}

#else

bool HasBf16Dot() { return false; }

void MultiplyBf16Tile(int64_t, int, const TileInput&, float*, int64_t) {
  FULMEN_CHECK(false, "this processor has no BF16 dot products");
}

#endif  // defined(__x86_64__)

}  // namespace fulmen::cpu
