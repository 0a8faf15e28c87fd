#include "kernels/cpu/peak_loops.h"

#include <algorithm>
#include <string>
#include <vector>

#include "base/check.h"
#include "kernels/cpu/amx_tiles.h"
#include "kernels/cpu/targets.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/peak_loops.cc"
#include <hwy/foreach_target.h>
// After foreach_target.h.
#include <hwy/highway.h>

#include "kernels/cpu/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fulmen::cpu::HWY_NAMESPACE {
namespace {

// Enough independent sums to fill two multiply-add units of latency 5; fits 16 registers.
constexpr int kSums = 12;

float FmaLoop(int64_t iterations) {
  const Floats d;
  const FloatsV factor = hn::Set(d, 0.999F);
  const FloatsV term = hn::Set(d, 0.001F);
  FloatsV s0 = hn::Iota(d, 0.0F);
  FloatsV s1 = hn::Iota(d, 1.0F), s2 = hn::Iota(d, 2.0F), s3 = hn::Iota(d, 3.0F);
  FloatsV s4 = hn::Iota(d, 4.0F), s5 = hn::Iota(d, 5.0F), s6 = hn::Iota(d, 6.0F);
  FloatsV s7 = hn::Iota(d, 7.0F), s8 = hn::Iota(d, 8.0F), s9 = hn::Iota(d, 9.0F);
  FloatsV s10 = hn::Iota(d, 10.0F), s11 = hn::Iota(d, 11.0F);
  for (int64_t i = 0; i < iterations; ++i) {
    s0 = hn::MulAdd(s0, factor, term);
    s1 = hn::MulAdd(s1, factor, term);
    s2 = hn::MulAdd(s2, factor, term);
    s3 = hn::MulAdd(s3, factor, term);
    s4 = hn::MulAdd(s4, factor, term);
    s5 = hn::MulAdd(s5, factor, term);
    s6 = hn::MulAdd(s6, factor, term);
    s7 = hn::MulAdd(s7, factor, term);
    s8 = hn::MulAdd(s8, factor, term);
    s9 = hn::MulAdd(s9, factor, term);
    s10 = hn::MulAdd(s10, factor, term);
    s11 = hn::MulAdd(s11, factor, term);
  }
  const FloatsV a = hn::Add(hn::Add(hn::Add(s0, s1), hn::Add(s2, s3)), hn::Add(s4, s5));
  const FloatsV b = hn::Add(hn::Add(hn::Add(s6, s7), hn::Add(s8, s9)), hn::Add(s10, s11));
  return hn::GetLane(hn::Add(a, b));
}

float ReadPages(const std::byte* data, int64_t bytes) {
  const Floats d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto* from = reinterpret_cast<const float*>(data);
  const int64_t count = bytes / 4;
  FloatsV s0 = hn::Zero(d), s1 = s0, s2 = s0, s3 = s0;
  for (int64_t i = 0; i < count; i += 4 * lanes) {
    s0 = hn::Or(s0, hn::LoadU(d, from + i));
    s1 = hn::Or(s1, hn::LoadU(d, from + i + lanes));
    s2 = hn::Or(s2, hn::LoadU(d, from + i + 2 * lanes));
    s3 = hn::Or(s3, hn::LoadU(d, from + i + 3 * lanes));
  }
  return hn::GetLane(hn::Or(hn::Or(s0, s1), hn::Or(s2, s3)));
}

#if HWY_ARCH_X86

#if HWY_MAX_BYTES == 64
using Ints = __m512i;
HWY_INLINE Ints Set8(char value) { return _mm512_set1_epi8(value); }
HWY_INLINE Ints Set16(int16_t value) { return _mm512_set1_epi16(value); }
HWY_INLINE Ints Set32(int32_t value) { return _mm512_set1_epi32(value); }
HWY_INLINE Ints MultiplyPairs8(Ints a, Ints b) { return _mm512_maddubs_epi16(a, b); }
HWY_INLINE Ints MultiplyPairs16(Ints a, Ints b) { return _mm512_madd_epi16(a, b); }
HWY_INLINE Ints Add32(Ints a, Ints b) { return _mm512_add_epi32(a, b); }
constexpr const char* kChain = "vpmaddubsw, vpmaddwd, vpaddd of 512 bits";
#elif HWY_MAX_BYTES == 32
using Ints = __m256i;
HWY_INLINE Ints Set8(char value) { return _mm256_set1_epi8(value); }
HWY_INLINE Ints Set16(int16_t value) { return _mm256_set1_epi16(value); }
HWY_INLINE Ints Set32(int32_t value) { return _mm256_set1_epi32(value); }
HWY_INLINE Ints MultiplyPairs8(Ints a, Ints b) { return _mm256_maddubs_epi16(a, b); }
HWY_INLINE Ints MultiplyPairs16(Ints a, Ints b) { return _mm256_madd_epi16(a, b); }
HWY_INLINE Ints Add32(Ints a, Ints b) { return _mm256_add_epi32(a, b); }
constexpr const char* kChain = "vpmaddubsw, vpmaddwd, vpaddd of 256 bits";
#else
using Ints = __m128i;
HWY_INLINE Ints Set8(char value) { return _mm_set1_epi8(value); }
HWY_INLINE Ints Set16(int16_t value) { return _mm_set1_epi16(value); }
HWY_INLINE Ints Set32(int32_t value) { return _mm_set1_epi32(value); }
HWY_INLINE Ints MultiplyPairs8(Ints a, Ints b) { return _mm_maddubs_epi16(a, b); }
HWY_INLINE Ints MultiplyPairs16(Ints a, Ints b) { return _mm_madd_epi16(a, b); }
HWY_INLINE Ints Add32(Ints a, Ints b) { return _mm_add_epi32(a, b); }
constexpr const char* kChain = "pmaddubsw, pmaddwd, paddd of 128 bits";
#endif

// sum += the four products of bytes in each lane of 32 bits, where no single instruction has them.
HWY_INLINE void AddProducts(Ints& sum, Ints& a, Ints b, Ints ones) {
  sum = Add32(sum, MultiplyPairs16(MultiplyPairs8(a, b), ones));
  // To the compiler this changes both, so that it multiplies each time and in this order: there are
  // no registers for more than one product at a time.
  asm volatile("" : "+v"(a), "+v"(sum));
}

// The twelve sums, both operands, the ones and what is between fill 16 registers.
float ChainLoop(int64_t iterations) {
  Ints s0 = Set32(0), s1 = Set32(1), s2 = Set32(2), s3 = Set32(3), s4 = Set32(4), s5 = Set32(5);
  Ints s6 = Set32(6), s7 = Set32(7), s8 = Set32(8), s9 = Set32(9), s10 = Set32(10);
  Ints s11 = Set32(11);
  Ints a = Set8(1);
  const Ints b = Set8(-1);
  const Ints ones = Set16(1);
  for (int64_t i = 0; i < iterations; ++i) {
    AddProducts(s0, a, b, ones);
    AddProducts(s1, a, b, ones);
    AddProducts(s2, a, b, ones);
    AddProducts(s3, a, b, ones);
    AddProducts(s4, a, b, ones);
    AddProducts(s5, a, b, ones);
    AddProducts(s6, a, b, ones);
    AddProducts(s7, a, b, ones);
    AddProducts(s8, a, b, ones);
    AddProducts(s9, a, b, ones);
    AddProducts(s10, a, b, ones);
    AddProducts(s11, a, b, ones);
  }
  const Ints x = Add32(Add32(Add32(s0, s1), Add32(s2, s3)), Add32(s4, s5));
  const Ints y = Add32(Add32(Add32(s6, s7), Add32(s8, s9)), Add32(s10, s11));
  return static_cast<float>(static_cast<int32_t>(Add32(x, y)[0]));
}

#endif  // HWY_ARCH_X86

void FillLoops(PeakLoops& loops) {
  loops.fma = {FmaLoop, 2.0 * kSums * static_cast<double>(hn::Lanes(Floats()))};
  loops.read = ReadPages;
#if HWY_ARCH_X86
  loops.int8 = {{ChainLoop, 2.0 * sizeof(Ints) * kSums}, kChain};
#endif
}

}  // namespace
}  // namespace fulmen::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace fulmen::cpu {

HWY_EXPORT(FillLoops);

namespace {

#if HWY_ARCH_X86

constexpr int kDotSums = 12;

// Highway lacks these three instructions. The two of bytes are written out because GCC 12 moves
// every sum twice around the intrinsics.
__attribute__((always_inline, target("avx512f"))) inline void DotBytes512(__m512i& sum, __m512i a,
                                                                          __m512i b) {
  asm volatile("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
}
__attribute__((always_inline, target("avx2"))) inline void DotBytes256(__m256i& sum, __m256i a,
                                                                       __m256i b) {
  asm volatile("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sum) : "x"(a), "x"(b));
}

__attribute__((target("avx512f"))) float Vnni512Loop(int64_t iterations) {
  __m512i s0 = _mm512_set1_epi32(0), s1 = _mm512_set1_epi32(1), s2 = _mm512_set1_epi32(2),
          s3 = _mm512_set1_epi32(3), s4 = _mm512_set1_epi32(4), s5 = _mm512_set1_epi32(5);
  __m512i s6 = _mm512_set1_epi32(6), s7 = _mm512_set1_epi32(7), s8 = _mm512_set1_epi32(8),
          s9 = _mm512_set1_epi32(9), s10 = _mm512_set1_epi32(10), s11 = _mm512_set1_epi32(11);
  const __m512i a = _mm512_set1_epi8(1);
  const __m512i b = _mm512_set1_epi8(-1);
  for (int64_t i = 0; i < iterations; ++i) {
    DotBytes512(s0, a, b);
    DotBytes512(s1, a, b);
    DotBytes512(s2, a, b);
    DotBytes512(s3, a, b);
    DotBytes512(s4, a, b);
    DotBytes512(s5, a, b);
    DotBytes512(s6, a, b);
    DotBytes512(s7, a, b);
    DotBytes512(s8, a, b);
    DotBytes512(s9, a, b);
    DotBytes512(s10, a, b);
    DotBytes512(s11, a, b);
  }
  const __m512i x =
      _mm512_add_epi32(_mm512_add_epi32(_mm512_add_epi32(s0, s1), _mm512_add_epi32(s2, s3)),
                       _mm512_add_epi32(s4, s5));
  const __m512i y =
      _mm512_add_epi32(_mm512_add_epi32(_mm512_add_epi32(s6, s7), _mm512_add_epi32(s8, s9)),
                       _mm512_add_epi32(s10, s11));
  return static_cast<float>(static_cast<int32_t>(_mm512_add_epi32(x, y)[0]));
}

__attribute__((target("avx2"))) float Vnni256Loop(int64_t iterations) {
  __m256i s0 = _mm256_set1_epi32(0), s1 = _mm256_set1_epi32(1), s2 = _mm256_set1_epi32(2),
          s3 = _mm256_set1_epi32(3), s4 = _mm256_set1_epi32(4), s5 = _mm256_set1_epi32(5);
  __m256i s6 = _mm256_set1_epi32(6), s7 = _mm256_set1_epi32(7), s8 = _mm256_set1_epi32(8),
          s9 = _mm256_set1_epi32(9), s10 = _mm256_set1_epi32(10), s11 = _mm256_set1_epi32(11);
  const __m256i a = _mm256_set1_epi8(1);
  const __m256i b = _mm256_set1_epi8(-1);
  for (int64_t i = 0; i < iterations; ++i) {
    DotBytes256(s0, a, b);
    DotBytes256(s1, a, b);
    DotBytes256(s2, a, b);
    DotBytes256(s3, a, b);
    DotBytes256(s4, a, b);
    DotBytes256(s5, a, b);
    DotBytes256(s6, a, b);
    DotBytes256(s7, a, b);
    DotBytes256(s8, a, b);
    DotBytes256(s9, a, b);
    DotBytes256(s10, a, b);
    DotBytes256(s11, a, b);
  }
  const __m256i x =
      _mm256_add_epi32(_mm256_add_epi32(_mm256_add_epi32(s0, s1), _mm256_add_epi32(s2, s3)),
                       _mm256_add_epi32(s4, s5));
  const __m256i y =
      _mm256_add_epi32(_mm256_add_epi32(_mm256_add_epi32(s6, s7), _mm256_add_epi32(s8, s9)),
                       _mm256_add_epi32(s10, s11));
  return static_cast<float>(static_cast<int32_t>(_mm256_add_epi32(x, y)[0]));
}

__attribute__((target("avx512f,avx512bf16"))) float Bf16Loop(int64_t iterations) {
  __m512 sums[kDotSums];
  for (int i = 0; i < kDotSums; ++i) sums[i] = _mm512_set1_ps(static_cast<float>(i));
  const auto a = reinterpret_cast<__m512bh>(_mm512_set1_epi32(0x3f803f80));  // ones
  const auto b = reinterpret_cast<__m512bh>(_mm512_set1_epi32(0x3c003c00));  // 1/128
  for (int64_t n = 0; n < iterations; ++n) {
    for (auto& sum : sums) sum = _mm512_dpbf16_ps(sum, a, b);
  }
  __m512 total = sums[0];
  for (int i = 1; i < kDotSums; ++i) total = _mm512_add_ps(total, sums[i]);
  return total[0];
}

constexpr int64_t kTileProducts = 4;

// Four sums of two tiles of `left` with two of `right`, as many as the eight registers hold;
// add.operator()<sum, left, right>() adds products of tile registers.
template <class Element, class Sum, class Add>
HWY_FLATTEN float TileLoop(int64_t iterations, Element left, Element right, const Add& add) {
  constexpr int64_t kStride = 64;
  Element elements[2][16 * kStride / sizeof(Element)];
  std::fill_n(elements[0], std::size(elements[0]), left);
  std::fill_n(elements[1], std::size(elements[1]), right);
  Sum sums[kTileProducts][16 * 16];
  const AmxTiles tiles;
  ForEachIndex<2>([&]<int kTile>() {
    LoadTile<4 + kTile>(elements[0], kStride);
    LoadTile<6 + kTile>(elements[1], kStride);
  });
  for (int64_t i = 0; i < iterations; ++i) {
    ForEachIndex<kTileProducts>(
        [&]<int kSum>() { add.template operator()<kSum, 4 + kSum / 2, 6 + kSum % 2>(); });
  }
  ForEachIndex<kTileProducts>([&]<int kSum>() { StoreTile<kSum>(sums[kSum], kStride); });
  return static_cast<float>(sums[0][0] + sums[1][0] + sums[2][0] + sums[3][0]);
}

float AmxLoop(int64_t iterations) {
  return TileLoop<int8_t, int32_t>(iterations, 1, -1, []<int kSum, int kLeft, int kRight>() {
    AddByteProducts<kSum, kLeft, kRight>();
  });
}

float AmxBf16Loop(int64_t iterations) {
  return TileLoop<uint16_t, float>(
      iterations, 0x3f80, 0x3c00,  // 1 and 1/128
      []<int kSum, int kLeft, int kRight>() { AddBf16Products<kSum, kLeft, kRight>(); });
}

void AddLoopsOf(TargetExtension extension, PeakLoops& loops) {
  switch (extension) {
    case TargetExtension::kAmx:
      loops.int8 = {{AmxLoop, 2.0 * 16 * 16 * 64 * kTileProducts}, "tdpbssd (AMX)"};
      loops.bf16 = {{AmxBf16Loop, 2.0 * 16 * 16 * 32 * kTileProducts}, "tdpbf16ps (AMX)"};
      loops.bf16_weights = true;
      break;
    case TargetExtension::kAvxVnni:
      loops.int8 = {{Vnni256Loop, 2.0 * 32 * kDotSums}, "vpdpbusd of 256 bits (AVX-VNNI)"};
      break;
    case TargetExtension::kDotProd:  // ARM's
    case TargetExtension::kNone:
      break;
  }
}

// What the best of Highway's targets for this processor leaves out.
void AddExtensions(PeakLoops& loops) {
  if (__builtin_cpu_supports("avx512vnni")) {
    loops.int8 = {{Vnni512Loop, 2.0 * 64 * kDotSums}, "vpdpbusd of 512 bits"};
  }
  if (__builtin_cpu_supports("avx512bf16")) {
    loops.bf16 = {{Bf16Loop, 2.0 * 32 * kDotSums}, "vdpbf16ps"};
  }
}

#else

constexpr int kDotSums = 12;

// The twelve sums stay in registers, of which there are 32.
float DotProductLoop(int64_t iterations) {
  int32x4_t sums[kDotSums];
  for (int i = 0; i < kDotSums; ++i) sums[i] = vdupq_n_s32(i);
  const int8x16_t a = vdupq_n_s8(1);
  const int8x16_t b = vdupq_n_s8(-1);
  for (int64_t n = 0; n < iterations; ++n) {
    for (auto& sum : sums) {
      asm volatile(".arch armv8.2-a+crypto+dotprod\n\tsdot %0.4s, %1.16b, %2.16b"
                   : "+w"(sum)
                   : "w"(a), "w"(b));
    }
  }
  int32x4_t total = sums[0];
  for (int i = 1; i < kDotSums; ++i) total = vaddq_s32(total, sums[i]);
  return static_cast<float>(vgetq_lane_s32(total, 0));
}

void AddLoopsOf(TargetExtension extension, PeakLoops& loops) {
  if (extension == TargetExtension::kDotProd) {
    loops.int8 = {{DotProductLoop, 2.0 * 16 * kDotSums}, "sdot"};
  }
}
void AddExtensions(PeakLoops&) {}

#endif  // HWY_ARCH_X86

PeakLoops LoopsOfBits(int64_t targets) {
  const ScopedTarget scope(targets);
  PeakLoops loops;
  HWY_DYNAMIC_DISPATCH(FillLoops)(loops);
  return loops;
}

}  // namespace

PeakLoops LoopsOf(std::string_view target) {
  const Result<Target> found = FindTarget(target);
  FULMEN_CHECK(found, "{}", found.error().message);
  PeakLoops loops = LoopsOfBits(found->bit);
  if (found->bit == hwy::SupportedAndGeneratedTargets().front()) AddExtensions(loops);
  AddLoopsOf(found->extension, loops);
  return loops;
}

PeakLoops ChosenLoops() {
  if (const Result<std::string> chosen = ChosenTarget()) return LoopsOf(*chosen);
  const std::vector<std::string> targets = Targets();
  return targets.empty() ? LoopsOfBits(hwy::SupportedTargets()) : LoopsOf(targets.front());
}

}  // namespace fulmen::cpu
#endif  // HWY_ONCE
