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
#if HWY_ARCH_ARM_A64
  const int16x8_t a = vreinterpretq_s16_s32(x.raw), b = vreinterpretq_s16_s32(w.raw);
  const int32x4_t low = vmull_s16(vget_low_s16(a), vget_low_s16(b));
  return hn::Add(sum, IntsV(vpaddq_s32(low, vmull_high_s16(a, b))));
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

#if HWY_ARCH_X86 && HWY_TARGET > HWY_AVX3_DL

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

// Bytes: sum += the products of x, with a sign, and w, without one, lane by lane. Exact where w is
// below 2 kMostNarrow, and with kFours. Words: the same, both with a sign, always
// exact. With kBothSigned: of bytes that both have a sign, exact for any w.
template <ByteProducts kProducts>
struct Products;

#if HWY_ARCH_X86 && HWY_TARGET > HWY_AVX3_DL
template <>
struct Products<ByteProducts::kPairs> {
  static HWY_INLINE IntsV AddBytes(const TwoFours& x, const TwoFours& w, IntsV sum) {
    static_assert(2 * 2 * (2 * kMostNarrow - 1) * kMostRounded <= 32767);
    const IntsV pairs = Add16(MultiplyPairs8(w.a, x.a), MultiplyPairs8(w.b, x.b));
    return AddInOrder(sum, MultiplyPairs16(pairs, Ones16()));
  }
  static HWY_INLINE IntsV AddWords(const TwoFours& x, const TwoFours& w, IntsV sum) {
    return AddInOrder(AddInOrder(sum, MultiplyPairs16(x.a, w.a)), MultiplyPairs16(x.b, w.b));
  }
};
#endif

#if HWY_ARCH_X86 && (HWY_TARGET <= HWY_AVX3_DL || HWY_TARGET == HWY_AVX2)
template <>
struct Products<ByteProducts::kFours> {
  static HWY_INLINE IntsV AddBytes(const TwoFours& x, const TwoFours& w, IntsV sum) {
    return AddDot(AddDot(sum, w.a, x.a), w.b, x.b);
  }

 private:
  // Highway 1.0.3 does not tell the compiler that AVX3_DL has VNNI; AVX2 has it where the processor
  // has AVX-VNNI.
  static HWY_INLINE IntsV AddDot(IntsV sum, IntsV w, IntsV x) {
#if HWY_TARGET == HWY_AVX2
    asm("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sum.raw) : "x"(w.raw), "x"(x.raw));
    return sum;
#else
    asm("vpdpbusd %2, %1, %0" : "+v"(sum.raw) : "v"(w.raw), "v"(x.raw));
    return sum;
#endif
  }
};
#endif

#if HWY_ARCH_ARM_A64
template <>
struct Products<ByteProducts::kPairs> {
  static HWY_INLINE IntsV AddBothSigned(const TwoFours& x, const TwoFours& w, IntsV sum) {
    static_assert(2 * kMostRounded * 128 <= 32767);
    const Halves xa(x.a), xb(x.b), wa(w.a), wb(w.b);
    const int16x8_t low = vmlal_s8(vmull_s8(xa.low(), wa.low()), xb.low(), wb.low());
    const int16x8_t high = vmlal_high_s8(vmull_high_s8(xa.all, wa.all), xb.all, wb.all);
    return hn::Add(sum, IntsV(vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high))));
  }

 private:
  struct Halves {
    int8x16_t all;

    HWY_INLINE explicit Halves(IntsV v) : all(vreinterpretq_s8_s32(v.raw)) {}
    HWY_INLINE int8x8_t low() const { return vget_low_s8(all); }
  };
};

template <>
struct Products<ByteProducts::kFours> {
  static HWY_INLINE IntsV AddBothSigned(const TwoFours& x, const TwoFours& w, IntsV sum) {
    return AddDot(AddDot(sum, x.a, w.a), x.b, w.b);
  }

 private:
  // An extension that Highway's NEON does without, so the assembler, too, has to be told.
  static HWY_INLINE IntsV AddDot(IntsV sum, IntsV x, IntsV w) {
    asm(".arch armv8.2-a+crypto+dotprod\n\tsdot %0.4s, %1.16b, %2.16b"
        : "+w"(sum.raw)
        : "w"(x.raw), "w"(w.raw));
    return sum;
  }
};
#endif

// sum += the products of x with the weights w, lane by lane.
template <class Traits>
HWY_INLINE IntsV AddProducts(const TwoFours& x, const TwoFours& w, IntsV sum) {
  using Sums = Products<Traits::kProducts>;
  if constexpr (kBothSigned) {
    return Sums::AddBothSigned(x, w, sum);
  } else if constexpr (Traits::kWords) {
    return Sums::AddWords(x, w, sum);
  } else {
    return Sums::AddBytes(x, w, sum);
  }
}

}  // namespace fulmen::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // FULMEN_KERNELS_CPU_DOT_INL_H_
