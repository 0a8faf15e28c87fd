#include "kernels/cpu/peak_loops.h"

#include <array>

#include "kernels/cpu/targets.h"

#if defined(__x86_64__)
#include <immintrin.h>
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

void FillLoops(PortableLoops& loops) {
  loops.fma = {FmaLoop, 2.0 * kSums * static_cast<double>(hn::Lanes(Floats()))};
  loops.read = ReadPages;
}

}  // namespace
}  // namespace fulmen::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace fulmen::cpu {

HWY_EXPORT(FillLoops);

PortableLoops BestLoops() {
  const ScopedTarget scope(hwy::SupportedTargets());
  PortableLoops loops;
  HWY_DYNAMIC_DISPATCH(FillLoops)(loops);
  return loops;
}

namespace {

#if HWY_ARCH_X86

constexpr int kDotSums = 12;

// Highway lacks these two instructions.
__attribute__((target("avx512f,avx512vnni"))) float Int8Loop(int64_t iterations) {
  __m512i sums[kDotSums];
  for (int i = 0; i < kDotSums; ++i) sums[i] = _mm512_set1_epi32(i);
  const __m512i a = _mm512_set1_epi8(1);
  const __m512i b = _mm512_set1_epi8(-1);
  for (int64_t n = 0; n < iterations; ++n) {
    for (auto& sum : sums) sum = _mm512_dpbusd_epi32(sum, a, b);
  }
  __m512i total = sums[0];
  for (const auto& sum : sums) total = _mm512_xor_si512(total, sum);
  std::array<int32_t, 16> lanes;
  _mm512_storeu_si512(lanes.data(), total);
  return static_cast<float>(lanes[0]);
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
  for (const auto& sum : sums) total = _mm512_add_ps(total, sum);
  std::array<float, 16> lanes;
  _mm512_storeu_ps(lanes.data(), total);
  return lanes[0];
}

#endif  // HWY_ARCH_X86

}  // namespace

std::optional<CountedLoop> Int8DotLoop() {
#if HWY_ARCH_X86
  if (__builtin_cpu_supports("avx512vnni")) return CountedLoop{Int8Loop, 2.0 * 64 * kDotSums};
#endif
  return std::nullopt;
}

std::optional<CountedLoop> Bf16DotLoop() {
#if HWY_ARCH_X86
  if (__builtin_cpu_supports("avx512bf16")) return CountedLoop{Bf16Loop, 2.0 * 32 * kDotSums};
#endif
  return std::nullopt;
}

}  // namespace fulmen::cpu
#endif  // HWY_ONCE
