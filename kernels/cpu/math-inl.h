// Elementary functions on vectors and widening loads, compiled once per instruction set. Code here
// and in the files that include it stays inside HWY_NAMESPACE: an inline function outside it would
// exist once per instruction set under one name, and the linker may keep the widest copy.
#if defined(FULMEN_KERNELS_CPU_MATH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FULMEN_KERNELS_CPU_MATH_INL_H_
#undef FULMEN_KERNELS_CPU_MATH_INL_H_
#else
#define FULMEN_KERNELS_CPU_MATH_INL_H_
#endif

#include <hwy/highway.h>

#include <cstdint>
#include <cstring>

HWY_BEFORE_NAMESPACE();
namespace fulmen::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Full float32 vectors: what every kernel works in.
using Floats = hn::ScalableTag<float>;
using FloatsV = hn::Vec<Floats>;
HWY_INLINE int64_t LaneCount() { return static_cast<int64_t>(hn::Lanes(Floats())); }

// v, brought to the bound where it is below or above. NaN stays NaN: x86 takes the second operand
// then, and ARM has an instruction for it, where Highway uses the one that takes the number.
template <class V>
HWY_INLINE V AtLeast(V bound, V v) {
#if HWY_ARCH_ARM_A64
  return V(vmaxq_f32(bound.raw, v.raw));
#else
  return hn::Max(bound, v);
#endif
}
template <class V>
HWY_INLINE V AtMost(V bound, V v) {
#if HWY_ARCH_ARM_A64
  return V(vminq_f32(bound.raw, v.raw));
#else
  return hn::Min(bound, v);
#endif
}

// p * 2^n for whole n and p near 1, rounded once; -150 <= n <= 128.
template <class D, class V>
HWY_INLINE V MultiplyByPowerOf2([[maybe_unused]] D d, V p, V n) {
#if HWY_TARGET <= HWY_AVX3
  static_assert(sizeof(V) == 64);  // shorter vectors have an instruction of their own
  return V{_mm512_scalef_ps(p.raw, n.raw)};
#else
  // 2^n in two factors, each a normal number.
  const hn::RebindToSigned<D> di;
  const auto whole = hn::ConvertTo(di, n);
  const auto half = hn::ShiftRight<1>(whole);
  const auto bias = hn::Set(di, 127);
  const V scale1 = hn::BitCast(d, hn::ShiftLeft<23>(hn::Add(half, bias)));
  const V scale2 = hn::BitCast(d, hn::ShiftLeft<23>(hn::Add(hn::Sub(whole, half), bias)));
  return hn::Mul(hn::Mul(p, scale1), scale2);
#endif
}

// e^v within 1 ulp for every float, subnormal results within 1 ulp of theirs; infinities as
// std::exp, NaN stays NaN. v = n ln 2 + r with |r| <= ln 2 / 2, ln 2 split in two; e^r is
// 1 + r + r^2 q(r), q the minimax polynomial of degree 4 (relative error 4e-9).
template <class D, class V>
HWY_INLINE V Exp(D d, V v) {
  v = AtLeast(hn::Set(d, -104.0F), AtMost(hn::Set(d, 89.0F), v));
  const V n = hn::Round(hn::Mul(v, hn::Set(d, 1.44269504F)));
  V r = hn::NegMulAdd(n, hn::Set(d, 0.693145751953125F), v);
  r = hn::NegMulAdd(n, hn::Set(d, 1.42860677e-6F), r);
  V q = hn::MulAdd(r, hn::Set(d, 0.00138145406F), hn::Set(d, 0.00836874545F));
  q = hn::MulAdd(r, q, hn::Set(d, 0.041668389F));
  q = hn::MulAdd(r, q, hn::Set(d, 0.166665211F));
  q = hn::MulAdd(r, q, hn::Set(d, 0.49999994F));
  const V p = hn::Add(hn::Set(d, 1.0F), hn::MulAdd(hn::Mul(r, r), q, r));
  return MultiplyByPowerOf2(d, p, n);
}

// 1 + e^-v, as Exp but shorter, for v is brought within -87 and 80: beyond, what depends on it
// changes no more than by numbers near the subnormal ones, which take processors a hundred times as
// long. 2^n is then a normal number, and n, as a whole number and with the bias of an exponent,
// what the low bits of v log2(e) are once a number has been added whose last bit stands for 1.
template <class D, class V>
HWY_INLINE V OnePlusExpOfMinus(D d, V v) {
  const V shift = hn::Set(d, 0x1.8p23F + 127);
  v = AtLeast(hn::Set(d, -87.0F), AtMost(hn::Set(d, 80.0F), v));
  const V shifted = hn::NegMulAdd(v, hn::Set(d, 1.44269504F), shift);
  const V n = hn::Sub(shifted, shift);
  V r = hn::MulAdd(n, hn::Set(d, 0.693145751953125F), v);
  r = hn::MulAdd(n, hn::Set(d, 1.42860677e-6F), r);
  V q = hn::MulAdd(r, hn::Set(d, 0.00138145406F), hn::Set(d, -0.00836874545F));
  q = hn::MulAdd(r, q, hn::Set(d, 0.041668389F));
  q = hn::MulAdd(r, q, hn::Set(d, -0.166665211F));
  q = hn::MulAdd(r, q, hn::Set(d, 0.49999994F));
  const V one = hn::Set(d, 1.0F);
  const V p = hn::Add(one, hn::MulSub(hn::Mul(r, r), q, r));
  const hn::RebindToUnsigned<D> du;
  return hn::MulAdd(p, hn::BitCast(d, hn::ShiftLeft<23>(hn::BitCast(du, shifted))), one);
}

// 1 / (1 + e^-v)
template <class D, class V>
HWY_INLINE V Sigmoid(D d, V v) {
  return hn::Div(hn::Set(d, 1.0F), OnePlusExpOfMinus(d, v));
}

// v * sigmoid(v)
template <class D, class V>
HWY_INLINE V Silu(D d, V v) {
  return hn::Div(v, OnePlusExpOfMinus(d, v));
}

// sigmoid(v) and 1 - sigmoid(v), each with a small relative error however far v is from 0.
template <class V>
struct SigmoidPair {
  V value;
  V complement;
};
template <class D, class V>
HWY_INLINE SigmoidPair<V> SigmoidAndComplement(D d, V v) {
  const V one = hn::Set(d, 1.0F);
  const V power = Exp(d, hn::Neg(hn::Abs(v)));
  const V larger = hn::Div(one, hn::Add(one, power));
  const V smaller = hn::Mul(power, larger);
  const auto negative = hn::Lt(v, hn::Zero(d));
  return {hn::IfThenElse(negative, smaller, larger), hn::IfThenElse(negative, larger, smaller)};
}

// d silu(v) / dv = sigmoid(v) (1 + v (1 - sigmoid(v)))
template <class D, class V>
HWY_INLINE V SiluSlope(D d, V v) {
  const SigmoidPair<V> sigmoid = SigmoidAndComplement(d, v);
  return hn::MulAdd(hn::Mul(v, sigmoid.value), sigmoid.complement, sigmoid.value);
}

// Of a standard normal N at v, which is brought within 12.5 of 0: beyond, nothing changes but that
// numbers become subnormal, which takes processors a hundred times as long.
template <class V>
struct NormalTail {
  V v;
  V bell;  // e^(-v^2 / 2)
  V tail;  // P(N > |v|) within (8 + v^2 / 2) 2^-24, relatively: v^2 was rounded
};
// tail / bell = 0.5 erfcx(|v| / sqrt 2) is t p(t), t = 1 / (1 + 0.265 |v|) and p the polynomial of
// degree 8 of least relative error (1.1e-8).
template <class D, class V>
HWY_INLINE NormalTail<V> TailOfNormal(D d, V v) {
  const V distance = AtMost(hn::Set(d, 12.5F), hn::Abs(v));
  const V bell = Exp(d, hn::Mul(distance, hn::Mul(distance, hn::Set(d, -0.5F))));
  const V one = hn::Set(d, 1.0F);
  const V t = hn::Div(one, hn::MulAdd(distance, hn::Set(d, 0.265F), one));
  V p = hn::MulAdd(t, hn::Set(d, 0.0309128046F), hn::Set(d, -0.144663078F));
  p = hn::MulAdd(t, p, hn::Set(d, 0.218688422F));
  p = hn::MulAdd(t, p, hn::Set(d, -0.117336552F));
  p = hn::MulAdd(t, p, hn::Set(d, 0.1386105F));
  p = hn::MulAdd(t, p, hn::Set(d, 0.0600385951F));
  p = hn::MulAdd(t, p, hn::Set(d, 0.102770112F));
  p = hn::MulAdd(t, p, hn::Set(d, 0.105237079F));
  p = hn::MulAdd(t, p, hn::Set(d, 0.105742124F));
  return {hn::CopySignToAbs(distance, v), bell, hn::Mul(hn::Mul(t, p), bell)};
}

// v P(N <= v) = max(v, 0) - |v| P(N > |v|)
template <class D, class V>
HWY_INLINE V Gelu(D d, V v) {
  const NormalTail<V> normal = TailOfNormal(d, v);
  return hn::NegMulAdd(hn::Abs(normal.v), normal.tail, hn::Max(v, hn::Zero(d)));
}

// d gelu(v) / dv = P(N <= v) + v e^(-v^2 / 2) / sqrt(2 pi)
template <class D, class V>
HWY_INLINE V GeluSlope(D d, V v) {
  const NormalTail<V> normal = TailOfNormal(d, v);
  const V below =
      hn::IfThenElse(hn::Lt(v, hn::Zero(d)), normal.tail, hn::Sub(hn::Set(d, 1.0F), normal.tail));
  return hn::MulAdd(hn::Mul(normal.v, hn::Set(d, 0.398942280F)), normal.bell, below);
}

// Lanes(d) consecutive elements of a float32, float16 or bfloat16 array, as float32.
template <class D>
HWY_INLINE hn::Vec<D> Widen(D d, const float* from) {
  return hn::LoadU(d, from);
}
template <class D>
HWY_INLINE hn::Vec<D> Widen(D d, const hwy::float16_t* from) {
#if HWY_TARGET == HWY_SSE4
  // Highway's own, where there is no instruction, takes infinity and NaN for large numbers.
  const hn::RebindToUnsigned<D> du;
  const hn::Rebind<uint16_t, D> d16;
  const auto bits = hn::PromoteTo(du, hn::LoadU(d16, reinterpret_cast<const uint16_t*>(from)));
  const auto magnitude = hn::ShiftLeft<13>(hn::And(bits, hn::Set(du, 0x7fff)));
  const auto sign = hn::ShiftLeft<16>(hn::And(bits, hn::Set(du, 0x8000)));
  // The exponent's bias goes from 15 to 127; subnormals become what they stand for.
  const auto finite = hn::Mul(hn::BitCast(d, magnitude), hn::Set(d, 0x1p112F));
  const auto highest = hn::Set(hn::RebindToSigned<D>(), 0x0f7fffff);
  const auto beyond = hn::BitCast(
      du, hn::VecFromMask(hn::RebindToSigned<D>(),
                          hn::Gt(hn::BitCast(hn::RebindToSigned<D>(), magnitude), highest)));
  const auto infinite = hn::And(beyond, hn::Set(du, 0x7f800000));
  return hn::BitCast(d, hn::Or(hn::BitCast(du, finite), hn::Or(infinite, sign)));
#else
  return hn::PromoteTo(d, hn::LoadU(hn::Rebind<hwy::float16_t, D>(), from));
#endif
}
template <class D>
HWY_INLINE hn::Vec<D> Widen(D d, const hwy::bfloat16_t* from) {
  return hn::PromoteTo(d, hn::LoadU(hn::Rebind<hwy::bfloat16_t, D>(), from));
}

// The first `count` < Lanes(d) elements, zeros behind them; reads no further.
template <class D, class T>
HWY_INLINE hn::Vec<D> WidenFirst(D d, const T* from, size_t count) {
  HWY_ALIGN T buffer[HWY_MAX_BYTES / sizeof(T)] = {};
  std::memcpy(buffer, from, count * sizeof(T));
  return Widen(d, buffer);
}

// The first `count` < Lanes(d) lanes of v; writes no further.
template <class D>
HWY_INLINE void StoreFirst(D d, hn::Vec<D> v, float* to, size_t count) {
  HWY_ALIGN float buffer[HWY_MAX_BYTES / sizeof(float)];
  hn::Store(v, d, buffer);
  std::memcpy(to, buffer, count * sizeof(float));
}

}  // namespace fulmen::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // FULMEN_KERNELS_CPU_MATH_INL_H_
