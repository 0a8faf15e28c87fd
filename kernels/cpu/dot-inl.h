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

// Four bytes of x in every lane.
HWY_INLINE IntsV BroadcastFour(const uint8_t* from) {
  int32_t four;
  std::memcpy(&four, from, sizeof(four));
  return hn::Set(Ints(), four);
}

// sum += the two products of words with a sign in each lane.
HWY_INLINE IntsV AddPairs(IntsV sum, IntsV x, IntsV w) {
#if !HWY_ARCH_X86
  const auto low = [](IntsV v) HWY_ATTR { return hn::ShiftRight<16>(hn::ShiftLeft<16>(v)); };
  const auto high = [](IntsV v) HWY_ATTR { return hn::ShiftRight<16>(v); };
  return hn::Add(sum, hn::Add(hn::Mul(low(x), low(w)), hn::Mul(high(x), high(w))));
#elif HWY_TARGET <= HWY_AVX3_DL
  asm("vpdpwssd %2, %1, %0" : "+v"(sum.raw) : "v"(x.raw), "v"(w.raw));
  return sum;
#elif HWY_MAX_BYTES == 64
  return hn::Add(sum, IntsV{_mm512_madd_epi16(x.raw, w.raw)});
#elif HWY_MAX_BYTES == 32
  return hn::Add(sum, IntsV{_mm256_madd_epi16(x.raw, w.raw)});
#else
  return hn::Add(sum, IntsV{_mm_madd_epi16(x.raw, w.raw)});
#endif
}

#if !HWY_ARCH_X86

// The sum of the four products of each lane, of bytes without a sign and bytes with one.
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
#elif HWY_MAX_BYTES == 32
HWY_INLINE IntsV MultiplyPairs8(IntsV x, IntsV w) {
  return IntsV{_mm256_maddubs_epi16(x.raw, w.raw)};
}
HWY_INLINE IntsV MultiplyPairs16(IntsV a, IntsV b) {
  return IntsV{_mm256_madd_epi16(a.raw, b.raw)};
}
HWY_INLINE IntsV Add16(IntsV a, IntsV b) { return IntsV{_mm256_add_epi16(a.raw, b.raw)}; }
#else
HWY_INLINE IntsV MultiplyPairs8(IntsV x, IntsV w) { return IntsV{_mm_maddubs_epi16(x.raw, w.raw)}; }
HWY_INLINE IntsV MultiplyPairs16(IntsV a, IntsV b) { return IntsV{_mm_madd_epi16(a.raw, b.raw)}; }
HWY_INLINE IntsV Add16(IntsV a, IntsV b) { return IntsV{_mm_add_epi16(a.raw, b.raw)}; }
#endif
HWY_INLINE IntsV Ones16() { return hn::Set(Ints(), 0x00010001); }

// GCC takes sums of integers in any order it likes, at worst in one that keeps all products first,
// for which there are no registers. To the compiler this changes the sum.
HWY_INLINE IntsV AddInOrder(IntsV sum, IntsV product) {
  sum = hn::Add(sum, product);
  asm("" : "+v"(sum.raw));
  return sum;
}

#endif

// Of one row of a tile, what two registers of weights are multiplied by, the same in every lane:
// two fours of bytes, or the even and the odd two words of one four.
struct TwoFours {
  IntsV a, b;
};

// Bytes: sum += the products of x, without a sign, and w, with one, lane by lane. Exact where
// either side is within kMostNarrow, and with kFours. Words: the same, both with a sign, always
// exact.
template <ByteProducts kProducts>
struct Products;

#if HWY_ARCH_X86 && HWY_TARGET > HWY_AVX3_DL
template <>
struct Products<ByteProducts::kPairs> {
  static HWY_INLINE IntsV AddSigned(const TwoFours& x, const TwoFours& w, IntsV sum) {
    return AddInOrder(sum, Multiply(w, x));
  }
  static HWY_INLINE IntsV AddUnsigned(const TwoFours& x, const TwoFours& w, IntsV sum) {
    return hn::Add(sum, Multiply(x, w));  // in GCC's order 4 % faster than in this
  }
  static HWY_INLINE IntsV AddWords(const TwoFours& x, const TwoFours& w, IntsV sum) {
    return AddInOrder(AddInOrder(sum, MultiplyPairs16(x.a, w.a)), MultiplyPairs16(x.b, w.b));
  }

 private:
  static HWY_INLINE IntsV Multiply(const TwoFours& without_sign, const TwoFours& with_sign) {
    static_assert(2 * 2 * 255 * kMostNarrow <= 32767);
    return MultiplyPairs16(Add16(MultiplyPairs8(without_sign.a, with_sign.a),
                                 MultiplyPairs8(without_sign.b, with_sign.b)),
                           Ones16());
  }
};
#endif

#if !HWY_ARCH_X86 || HWY_TARGET <= HWY_AVX3_DL || HWY_TARGET == HWY_AVX2
template <>
struct Products<ByteProducts::kFours> {
  static HWY_INLINE IntsV AddSigned(const TwoFours& x, const TwoFours& w, IntsV sum) {
    return AddUnsigned(w, x, sum);
  }
  static HWY_INLINE IntsV AddUnsigned(const TwoFours& x, const TwoFours& w, IntsV sum) {
    return AddDot(AddDot(sum, x.a, w.a), x.b, w.b);
  }

 private:
  // Highway 1.0.3 does not tell the compiler that AVX3_DL has VNNI; AVX2 has it where the processor
  // has AVX-VNNI.
  static HWY_INLINE IntsV AddDot(IntsV sum, IntsV x, IntsV w) {
#if !HWY_ARCH_X86
    return hn::Add(sum, Dot(x, w));
#elif HWY_TARGET == HWY_AVX2
    asm("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sum.raw) : "x"(x.raw), "x"(w.raw));
    return sum;
#else
    asm("vpdpbusd %2, %1, %0" : "+v"(sum.raw) : "v"(x.raw), "v"(w.raw));
    return sum;
#endif
  }
};
#endif

// sum += the products of x with the weights w, lane by lane.
template <class Traits>
HWY_INLINE IntsV AddProducts(const TwoFours& x, const TwoFours& w, IntsV sum) {
  using Sums = Products<Traits::kProducts>;
  if constexpr (Traits::kWords) {
    return Sums::AddWords(x, w, sum);
  } else if constexpr (Traits::kMinimum) {
    return Sums::AddSigned(x, w, sum);
  } else {
    return Sums::AddUnsigned(x, w, sum);
  }
}

}  // namespace fulmen::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // FULMEN_KERNELS_CPU_DOT_INL_H_
