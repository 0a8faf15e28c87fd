// Products of 8-bit integers, four to each lane of 32 bits: the one place with the instructions
// that Highway lacks. Included once per instruction set.
#if defined(FULMEN_KERNELS_CPU_DOT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FULMEN_KERNELS_CPU_DOT_INL_H_
#undef FULMEN_KERNELS_CPU_DOT_INL_H_
#else
#define FULMEN_KERNELS_CPU_DOT_INL_H_
#endif

#include <cstdint>
#include <cstring>

#include "kernels/cpu/activations-inl.h"
#include "kernels/cpu/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fulmen::cpu::HWY_NAMESPACE {

using Ints = hn::RebindToSigned<Floats>;
using IntsV = hn::Vec<Ints>;

// Where a register holds sums of pairs in 16 bits first, weights beyond kMostNarrow overflow those.
constexpr int kMostNarrow = 32;
#if HWY_ARCH_X86 && HWY_TARGET > HWY_AVX3_DL
constexpr bool kPairsIn16Bits = true;
#else
constexpr bool kPairsIn16Bits = false;
#endif

// Four bytes of x in every lane.
HWY_INLINE IntsV BroadcastFour(const uint8_t* from) {
  int32_t four;
  std::memcpy(&four, from, sizeof(four));
  return hn::Set(Ints(), four);
}

#if !HWY_ARCH_X86

// The four products of each lane.
HWY_INLINE IntsV Dot(IntsV x, IntsV w) {
  const hn::RebindToUnsigned<Ints> du;
  const auto xu = hn::BitCast(du, x);
  const auto product = [&](auto x_byte, auto w_byte)
                           HWY_ATTR { return hn::Mul(hn::BitCast(Ints(), x_byte), w_byte); };
  const auto mask = hn::Set(du, 255);
  const IntsV a = product(hn::And(xu, mask), hn::ShiftRight<24>(hn::ShiftLeft<24>(w)));
  const IntsV b =
      product(hn::And(hn::ShiftRight<8>(xu), mask), hn::ShiftRight<24>(hn::ShiftLeft<16>(w)));
  const IntsV c =
      product(hn::And(hn::ShiftRight<16>(xu), mask), hn::ShiftRight<24>(hn::ShiftLeft<8>(w)));
  const IntsV e = product(hn::ShiftRight<24>(xu), hn::ShiftRight<24>(w));
  return hn::Add(hn::Add(a, b), hn::Add(c, e));
}

#elif HWY_TARGET > HWY_AVX3_DL

#if HWY_MAX_BYTES == 64
HWY_INLINE IntsV MultiplyPairs8(IntsV x, IntsV w) {
  return IntsV{_mm512_maddubs_epi16(x.raw, w.raw)};
}
HWY_INLINE IntsV MultiplyPairs16(IntsV a, IntsV b) {
  return IntsV{_mm512_madd_epi16(a.raw, b.raw)};
}
HWY_INLINE IntsV Add16(IntsV a, IntsV b) { return IntsV{_mm512_add_epi16(a.raw, b.raw)}; }
HWY_INLINE IntsV Abs8(IntsV w) { return IntsV{_mm512_abs_epi8(w.raw)}; }
HWY_INLINE IntsV CopySign8(IntsV x, IntsV w) {
  return IntsV{
      _mm512_mask_sub_epi8(x.raw, _mm512_movepi8_mask(w.raw), _mm512_setzero_si512(), x.raw)};
}
#elif HWY_MAX_BYTES == 32
HWY_INLINE IntsV MultiplyPairs8(IntsV x, IntsV w) {
  return IntsV{_mm256_maddubs_epi16(x.raw, w.raw)};
}
HWY_INLINE IntsV MultiplyPairs16(IntsV a, IntsV b) {
  return IntsV{_mm256_madd_epi16(a.raw, b.raw)};
}
HWY_INLINE IntsV Add16(IntsV a, IntsV b) { return IntsV{_mm256_add_epi16(a.raw, b.raw)}; }
HWY_INLINE IntsV Abs8(IntsV w) { return IntsV{_mm256_abs_epi8(w.raw)}; }
HWY_INLINE IntsV CopySign8(IntsV x, IntsV w) { return IntsV{_mm256_sign_epi8(x.raw, w.raw)}; }
#else
HWY_INLINE IntsV MultiplyPairs8(IntsV x, IntsV w) { return IntsV{_mm_maddubs_epi16(x.raw, w.raw)}; }
HWY_INLINE IntsV MultiplyPairs16(IntsV a, IntsV b) { return IntsV{_mm_madd_epi16(a.raw, b.raw)}; }
HWY_INLINE IntsV Add16(IntsV a, IntsV b) { return IntsV{_mm_add_epi16(a.raw, b.raw)}; }
HWY_INLINE IntsV Abs8(IntsV w) { return IntsV{_mm_abs_epi8(w.raw)}; }
HWY_INLINE IntsV CopySign8(IntsV x, IntsV w) { return IntsV{_mm_sign_epi8(x.raw, w.raw)}; }
#endif
HWY_INLINE IntsV Ones16() { return hn::Set(Ints(), 0x00010001); }

#endif

#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3_DL
// The target has VNNI, but Highway 1.0.3 does not tell the compiler.
HWY_INLINE IntsV AddDot(IntsV sum, IntsV x, IntsV w) {
  asm("vpdpbusd %2, %1, %0" : "+v"(sum.raw) : "v"(x.raw), "v"(w.raw));
  return sum;
}
#endif

// Eight bytes of x, as one row of a tile has them in two fours, made ready for products.
struct TwoFours {
  IntsV a, b;
};

// With kWide weights may be any; where kPairsIn16Bits, x loses its zero point then, and what
// corrects for it is not wanted.
template <bool kWide>
HWY_INLINE TwoFours LoadFours(const uint8_t* a, const uint8_t* b) {
  TwoFours x = {BroadcastFour(a), BroadcastFour(b)};
  if constexpr (kWide && kPairsIn16Bits) {
    const IntsV zero_point = hn::Set(Ints(), static_cast<int32_t>(0x80808080U));
    x = {hn::Xor(x.a, zero_point), hn::Xor(x.b, zero_point)};
  }
  return x;
}

// sum += the products of x (unsigned) with the weights wa and wb (signed), lane by lane. Exact.
template <bool kWide>
HWY_INLINE IntsV AddProducts(const TwoFours& x, IntsV wa, IntsV wb, IntsV sum) {
#if !HWY_ARCH_X86
  return hn::Add(sum, hn::Add(Dot(x.a, wa), Dot(x.b, wb)));
#elif HWY_TARGET <= HWY_AVX3_DL
  return AddDot(AddDot(sum, x.a, wa), x.b, wb);
#else
  if constexpr (kWide) {
    const IntsV a = MultiplyPairs16(MultiplyPairs8(Abs8(wa), CopySign8(x.a, wa)), Ones16());
    const IntsV b = MultiplyPairs16(MultiplyPairs8(Abs8(wb), CopySign8(x.b, wb)), Ones16());
    return hn::Add(sum, hn::Add(a, b));
  }
  static_assert(2 * 2 * 255 * kMostNarrow <= 32767);
  const IntsV pairs = Add16(MultiplyPairs8(x.a, wa), MultiplyPairs8(x.b, wb));
  return hn::Add(sum, MultiplyPairs16(pairs, Ones16()));
#endif
}

}  // namespace fulmen::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // FULMEN_KERNELS_CPU_DOT_INL_H_
