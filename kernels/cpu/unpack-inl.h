// Blocks of quantized weights, unpacked for many rows at once, one row in each lane: what Unpack
// reads of a block it gives to a LanePanel or to what looks like one. Included once per instruction
// set.
#if defined(FULMEN_KERNELS_CPU_UNPACK_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FULMEN_KERNELS_CPU_UNPACK_INL_H_
#undef FULMEN_KERNELS_CPU_UNPACK_INL_H_
#else
#define FULMEN_KERNELS_CPU_UNPACK_INL_H_
#endif

#include "base/check.h"
#include "base/dtype.h"
#include "base/quant_blocks.h"
#include "kernels/cpu/dot-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fulmen::cpu::HWY_NAMESPACE {

constexpr int64_t kPanelVecs = 2;
constexpr int64_t kMostPanelRows = kPanelVecs * hn::MaxLanes(Floats());
HWY_INLINE int64_t PanelRows() { return kPanelVecs * LaneCount(); }

// One block of the rows of a vector. A word of each row lies beside that of the next; so do halves.
// With each that is read, one line of what lies `ahead` bytes further on is fetched, from first to
// last: memory gives most when it is asked for a little all the time and in order, and a single
// line left out is waited for. So each should be read once.
class LaneBlock {
 public:
  // words: [words of the block][LaneCount()], halves: [halves of the block][PanelRows()].
  HWY_INLINE LaneBlock(const int32_t* words, const uint16_t* halves, int64_t ahead)
      : words_(words), halves_(halves), ahead_(ahead) {}

  HWY_INLINE IntsV Word(int64_t i) const {
    const IntsV word = hn::Load(Ints(), words_ + i * LaneCount());
    if (fetched_ % kLine == 0) {
      const std::byte* at = reinterpret_cast<const std::byte*>(words_) + ahead_ + fetched_;
      // To the compiler the address hangs on the word. It would fetch all of a block at once before
      // anything else, and fetches wait for one another: Q6_K was read at two thirds of the rate.
#if HWY_ARCH_X86
      asm("" : "+r"(at) : "v"(word.raw));
#else
      asm("" : "+r"(at) : "w"(word.raw));
#endif
      __builtin_prefetch(at, 0, 2);
    }
    fetched_ += 4 * LaneCount();
    return word;
  }
  HWY_INLINE FloatsV Half(int64_t i) const {
    FetchHalf(i);
    return Widen(Floats(), reinterpret_cast<const hwy::float16_t*>(halves_ + i * PanelRows()));
  }
  HWY_INLINE IntsV HalfBits(int64_t i) const {
    FetchHalf(i);
    const hn::Rebind<uint16_t, Ints> d16;
    return hn::PromoteTo(Ints(), hn::LoadU(d16, halves_ + i * PanelRows()));
  }

 private:
  HWY_INLINE void FetchHalf(int64_t i) const {
    const auto* half = reinterpret_cast<const std::byte*>(halves_ + i * PanelRows());
    __builtin_prefetch(half + ahead_, 0, 2);
  }

  const int32_t* words_;
  const uint16_t* halves_;
  int64_t ahead_;
  mutable int64_t fetched_ = 0;  // a constant wherever the compiler unrolls
};

HWY_INLINE IntsV Bytes(uint8_t byte) {
  return hn::Set(Ints(), static_cast<int32_t>(byte * 0x01010101U));
}
HWY_INLINE IntsV LowHalves(IntsV v) { return hn::And(v, Bytes(15)); }
HWY_INLINE IntsV HighHalves(IntsV v) { return hn::And(hn::ShiftRight<4>(v), Bytes(15)); }
// Bit `bit` of each byte, as bit `to`.
template <int kTo>
HWY_INLINE IntsV BitOfBytes(IntsV v, int bit) {
  return hn::ShiftLeft<kTo>(hn::And(hn::ShiftRightSame(v, bit), Bytes(1)));
}
HWY_INLINE IntsV SubBytes(IntsV v, int8_t amount) {
  const hn::Repartition<int8_t, Ints> d8;
  return hn::BitCast(Ints(), hn::Sub(hn::BitCast(d8, v), hn::Set(d8, amount)));
}
HWY_INLINE FloatsV ByteAsFloat(IntsV v, int byte) {
  return hn::ConvertTo(Floats(), hn::And(hn::ShiftRightSame(v, 8 * byte), hn::Set(Ints(), 255)));
}
HWY_INLINE FloatsV SignedByteAsFloat(IntsV v, int byte) {
  return hn::ConvertTo(Floats(), hn::ShiftRight<24>(hn::ShiftLeftSame(v, 24 - 8 * byte)));
}

// The four bits from `first` on of each lane, one in each byte, as bit 4.
HWY_INLINE IntsV FourFifthBits(IntsV bits, int first) {
  const IntsV four = hn::And(hn::ShiftRightSame(bits, first), hn::Set(Ints(), 15));
  // Bit i to bit 8 i: times 1 + 2^7 + 2^14 + 2^21, whose other terms are masked off.
  return hn::ShiftLeft<4>(hn::And(hn::Mul(four, hn::Set(Ints(), 0x00204081)), Bytes(1)));
}

HWY_INLINE IntsV IQ4Lookup(IntsV indices) {
  const hn::Repartition<int8_t, Ints> d8;
  return hn::BitCast(Ints(), hn::TableLookupBytes(hn::LoadDup128(d8, kIQ4Values.data()),
                                                  hn::BitCast(d8, indices)));
}

// Of a type: how many words and halves a block has, where they stand in it; sizes of blocks and
// groups; whether there are minima, and values beyond kMostNarrow.
template <int kBlockSize, int kGroupSize, bool kHasMinimum, bool kIsWide, int kHalfCount,
          int kHalfOffset, int kWordOffset, bool kHasWholeScales = false>
struct Traits {
  static constexpr int kBlock = kBlockSize;
  static constexpr int kGroup = kGroupSize;
  static constexpr bool kMinimum = kHasMinimum;
  static constexpr bool kWide = kIsWide;
  static constexpr int kHalves = kHalfCount;
  static constexpr int kFirstHalf = kHalfOffset;
  static constexpr int kFirstWord = kWordOffset;
  static constexpr bool kWholeScales = kHasWholeScales;
};
template <class Block>
struct BlockTraits;

template <>
struct BlockTraits<BlockQ4_0> : Traits<kSmallBlock, 32, false, false, 1, 0, 2> {};
template <class To>
HWY_INLINE void Unpack(const BlockQ4_0*, const LaneBlock& from, To& to) {
  to.SetScale(0, from.Half(0));
  HWY_UNROLL(16)
  for (int i = 0; i < 4; ++i) {
    const IntsV word = from.Word(i);
    to.SetValues(i, SubBytes(LowHalves(word), 8));
    to.SetValues(i + 4, SubBytes(HighHalves(word), 8));
  }
}

template <>
struct BlockTraits<BlockQ4_1> : Traits<kSmallBlock, 32, true, false, 2, 0, 4> {};
template <class To>
HWY_INLINE void Unpack(const BlockQ4_1*, const LaneBlock& from, To& to) {
  to.SetScale(0, from.Half(0));
  to.SetMinimum(0, from.Half(1));
  HWY_UNROLL(16)
  for (int i = 0; i < 4; ++i) {
    const IntsV word = from.Word(i);
    to.SetValues(i, LowHalves(word));
    to.SetValues(i + 4, HighHalves(word));
  }
}

template <>
struct BlockTraits<BlockQ5_0> : Traits<kSmallBlock, 32, false, false, 1, 0, 2> {};
template <class To>
HWY_INLINE void Unpack(const BlockQ5_0*, const LaneBlock& from, To& to) {
  to.SetScale(0, from.Half(0));
  const IntsV high = from.Word(0);
  HWY_UNROLL(16)
  for (int i = 0; i < 4; ++i) {
    const IntsV word = from.Word(i + 1);
    to.SetValues(i, SubBytes(hn::Or(LowHalves(word), FourFifthBits(high, 4 * i)), 16));
    to.SetValues(i + 4, SubBytes(hn::Or(HighHalves(word), FourFifthBits(high, 16 + 4 * i)), 16));
  }
}

template <>
struct BlockTraits<BlockQ5_1> : Traits<kSmallBlock, 32, true, false, 2, 0, 4> {};
template <class To>
HWY_INLINE void Unpack(const BlockQ5_1*, const LaneBlock& from, To& to) {
  to.SetScale(0, from.Half(0));
  to.SetMinimum(0, from.Half(1));
  const IntsV high = from.Word(0);
  HWY_UNROLL(16)
  for (int i = 0; i < 4; ++i) {
    const IntsV word = from.Word(i + 1);
    to.SetValues(i, hn::Or(LowHalves(word), FourFifthBits(high, 4 * i)));
    to.SetValues(i + 4, hn::Or(HighHalves(word), FourFifthBits(high, 16 + 4 * i)));
  }
}

template <>
struct BlockTraits<BlockQ8_0> : Traits<kSmallBlock, 32, false, true, 1, 0, 2> {};
template <class To>
HWY_INLINE void Unpack(const BlockQ8_0*, const LaneBlock& from, To& to) {
  to.SetScale(0, from.Half(0));
  HWY_UNROLL(16)
  for (int i = 0; i < 8; ++i) to.SetValues(i, from.Word(i));
}

template <>
struct BlockTraits<BlockIQ4_NL> : Traits<kSmallBlock, 32, false, true, 1, 0, 2> {};
template <class To>
HWY_INLINE void Unpack(const BlockIQ4_NL*, const LaneBlock& from, To& to) {
  to.SetScale(0, from.Half(0));
  HWY_UNROLL(16)
  for (int i = 0; i < 4; ++i) {
    const IntsV word = from.Word(i);
    to.SetValues(i, IQ4Lookup(LowHalves(word)));
    to.SetValues(i + 4, IQ4Lookup(HighHalves(word)));
  }
}

// The two bits of eight words of Q2_K or Q3_K, by quarters of half a block.
template <class To, class Finish>
HWY_INLINE void UnpackTwoBits(const LaneBlock& from, int64_t first_word, To& to,
                              const Finish& finish) {
  HWY_UNROLL(16)
  for (int half = 0; half < 2; ++half) {
    HWY_UNROLL(16)
    for (int i = 0; i < 8; ++i) {
      const IntsV word = from.Word(first_word + 8 * half + i);
      HWY_UNROLL(16)
      for (int j = 0; j < 4; ++j) {
        const IntsV low = hn::And(hn::ShiftRightSame(word, 2 * j), Bytes(3));
        to.SetValues(32 * half + 8 * j + i, finish(low, i, 4 * half + j));
      }
    }
  }
}

template <>
struct BlockTraits<BlockQ2_K> : Traits<kSuperBlock, 16, true, false, 2, offsetof(BlockQ2_K, d), 0> {
};
template <class To>
HWY_INLINE void Unpack(const BlockQ2_K*, const LaneBlock& from, To& to) {
  const FloatsV d = from.Half(0);
  const FloatsV dmin = hn::Neg(from.Half(1));
  HWY_UNROLL(16)
  for (int word = 0; word < 4; ++word) {
    const IntsV scales = from.Word(word);
    HWY_UNROLL(16)
    for (int byte = 0; byte < 4; ++byte) {
      to.SetScale(4 * word + byte, hn::Mul(d, ByteAsFloat(LowHalves(scales), byte)));
      to.SetMinimum(4 * word + byte, hn::Mul(dmin, ByteAsFloat(HighHalves(scales), byte)));
    }
  }
  UnpackTwoBits(from, 4, to, [](IntsV v, int, int) HWY_ATTR { return v; });
}

template <>
struct BlockTraits<BlockQ3_K>
    : Traits<kSuperBlock, 16, false, false, 1, offsetof(BlockQ3_K, d), 0> {};
template <class To>
HWY_INLINE void Unpack(const BlockQ3_K*, const LaneBlock& from, To& to) {
  const FloatsV d = from.Half(0);
  const IntsV a = from.Word(24), b = from.Word(25), high = from.Word(26);
  const IntsV mask = Bytes(0x30);
  const IntsV scales[4] = {hn::Or(LowHalves(a), hn::And(hn::ShiftLeft<4>(high), mask)),
                           hn::Or(LowHalves(b), hn::And(hn::ShiftLeft<2>(high), mask)),
                           hn::Or(HighHalves(a), hn::And(high, mask)),
                           hn::Or(HighHalves(b), hn::And(hn::ShiftRight<2>(high), mask))};
  HWY_UNROLL(16)
  for (int g = 0; g < 16; ++g) {
    to.SetScale(g, hn::Mul(d, SignedByteAsFloat(SubBytes(scales[g / 4], 32), g % 4)));
  }
  IntsV third_bits[8];
  HWY_UNROLL(8)
  for (int i = 0; i < 8; ++i) third_bits[i] = from.Word(i);
  UnpackTwoBits(from, 8, to, [&](IntsV low, int i, int bit) HWY_ATTR {
    return SubBytes(hn::Or(low, BitOfBytes<2>(third_bits[i], bit)), 4);
  });
}

// Of Q4_K and Q5_K, in six bits each of the first three words: four groups in the bytes of a
// vector.
struct ScalesAndMinima {
  IntsV scales[2];
  IntsV minima[2];

  explicit ScalesAndMinima(const LaneBlock& from) {
    const IntsV a = from.Word(0), b = from.Word(1), c = from.Word(2);
    const IntsV six = Bytes(63), high = Bytes(0x30);
    scales[0] = hn::And(a, six);
    scales[1] = hn::Or(LowHalves(c), hn::And(hn::ShiftRight<2>(a), high));
    minima[0] = hn::And(b, six);
    minima[1] = hn::Or(HighHalves(c), hn::And(hn::ShiftRight<2>(b), high));
  }
};

template <>
struct BlockTraits<BlockQ4_K> : Traits<kSuperBlock, 32, true, false, 2, 0, 4, true> {
  static constexpr int kMostValue = 15;
  static constexpr int kMostScale = 63;
};
template <class To>
HWY_INLINE void Unpack(const BlockQ4_K*, const LaneBlock& from, To& to) {
  const ScalesAndMinima groups(from);
  to.SetSteps(from.Half(0), hn::Neg(from.Half(1)));
  const IntsV byte = hn::Set(Ints(), 255);
  HWY_UNROLL(16)
  for (int pair = 0; pair < 4; ++pair) {
    const IntsV minima = hn::ShiftRightSame(groups.minima[pair / 2], pair % 2 * 16);
    const IntsV second = hn::And(hn::ShiftRight<8>(minima), byte);
    to.SetMinimumPair(pair, hn::Or(hn::And(minima, byte), hn::ShiftLeft<16>(second)));
  }
  HWY_UNROLL(16)
  for (int pair = 0; pair < 4; ++pair) {
    const IntsV scales = hn::ShiftRightSame(groups.scales[pair / 2], pair % 2 * 16);
    const IntsV low_scale = hn::And(scales, byte);
    const IntsV high_scale = hn::And(hn::ShiftRight<8>(scales), byte);
    if (to.scaled) {
      const IntsV low_twice = hn::Or(low_scale, hn::ShiftLeft<16>(low_scale));
      const IntsV high_twice = hn::Or(high_scale, hn::ShiftLeft<16>(high_scale));
      HWY_UNROLL(16)
      for (int i = 0; i < 8; ++i) {
        const IntsV word = from.Word(3 + 8 * pair + i);
        to.SetScaledValues(16 * pair + i, LowHalves(word), low_twice);
        to.SetScaledValues(16 * pair + 8 + i, HighHalves(word), high_twice);
      }
    } else {
      to.SetScale(2 * pair, hn::ConvertTo(Floats(), low_scale));
      to.SetScale(2 * pair + 1, hn::ConvertTo(Floats(), high_scale));
      HWY_UNROLL(16)
      for (int i = 0; i < 8; ++i) {
        const IntsV word = from.Word(3 + 8 * pair + i);
        to.SetValues(16 * pair + i, LowHalves(word));
        to.SetValues(16 * pair + 8 + i, HighHalves(word));
      }
    }
  }
}

template <>
struct BlockTraits<BlockQ5_K> : Traits<kSuperBlock, 32, true, false, 2, 0, 4> {};
template <class To>
HWY_INLINE void Unpack(const BlockQ5_K*, const LaneBlock& from, To& to) {
  const ScalesAndMinima groups(from);
  const FloatsV d = from.Half(0);
  const FloatsV dmin = hn::Neg(from.Half(1));
  HWY_UNROLL(16)
  for (int g = 0; g < 8; ++g) {
    to.SetScale(g, hn::Mul(d, ByteAsFloat(groups.scales[g / 4], g % 4)));
    to.SetMinimum(g, hn::Mul(dmin, ByteAsFloat(groups.minima[g / 4], g % 4)));
  }
  HWY_UNROLL(16)
  for (int i = 0; i < 8; ++i) {
    const IntsV high = from.Word(3 + i);
    HWY_UNROLL(16)
    for (int pair = 0; pair < 4; ++pair) {
      const IntsV word = from.Word(11 + 8 * pair + i);
      to.SetValues(16 * pair + i, hn::Or(LowHalves(word), BitOfBytes<4>(high, 2 * pair)));
      to.SetValues(16 * pair + 8 + i, hn::Or(HighHalves(word), BitOfBytes<4>(high, 2 * pair + 1)));
    }
  }
}

template <>
struct BlockTraits<BlockQ6_K>
    : Traits<kSuperBlock, 16, false, false, 1, offsetof(BlockQ6_K, d), 0> {};
template <class To>
HWY_INLINE void Unpack(const BlockQ6_K*, const LaneBlock& from, To& to) {
  const IntsV mask = Bytes(0x30);
  HWY_UNROLL(16)
  for (int half = 0; half < 2; ++half) {
    HWY_UNROLL(16)
    for (int i = 0; i < 8; ++i) {
      const IntsV a = from.Word(16 * half + i);
      const IntsV b = from.Word(16 * half + 8 + i);
      const IntsV high = from.Word(32 + 8 * half + i);
      const auto set = [&](int quarter, IntsV low, IntsV bits) HWY_ATTR {
        to.SetValues(32 * half + 8 * quarter + i, SubBytes(hn::Or(low, hn::And(bits, mask)), 32));
      };
      set(0, LowHalves(a), hn::ShiftLeft<4>(high));
      set(1, LowHalves(b), hn::ShiftLeft<2>(high));
      set(2, HighHalves(a), high);
      set(3, HighHalves(b), hn::ShiftRight<2>(high));
    }
  }
  const FloatsV d = from.Half(0);
  HWY_UNROLL(16)
  for (int word = 0; word < 4; ++word) {
    const IntsV scales = from.Word(48 + word);
    HWY_UNROLL(4)
    for (int byte = 0; byte < 4; ++byte) {
      to.SetScale(4 * word + byte, hn::Mul(d, SignedByteAsFloat(scales, byte)));
    }
  }
}

template <>
struct BlockTraits<BlockIQ4_XS> : Traits<kSuperBlock, 32, false, true, 2, 0, 4> {};
template <class To>
HWY_INLINE void Unpack(const BlockIQ4_XS*, const LaneBlock& from, To& to) {
  const FloatsV d = from.Half(0);
  const IntsV high = from.HalfBits(1);
  const IntsV low = from.Word(0);
  HWY_UNROLL(16)
  for (int g = 0; g < 8; ++g) {
    const IntsV low4 = hn::And(hn::ShiftRightSame(low, 4 * g), hn::Set(Ints(), 15));
    const IntsV high2 = hn::And(hn::ShiftRightSame(high, 2 * g), hn::Set(Ints(), 3));
    const IntsV scale = hn::Sub(hn::Or(low4, hn::ShiftLeft<4>(high2)), hn::Set(Ints(), 32));
    to.SetScale(g, hn::Mul(d, hn::ConvertTo(Floats(), scale)));
    HWY_UNROLL(16)
    for (int i = 0; i < 4; ++i) {
      const IntsV word = from.Word(1 + 4 * g + i);
      to.SetValues(8 * g + i, IQ4Lookup(LowHalves(word)));
      to.SetValues(8 * g + 4 + i, IQ4Lookup(HighHalves(word)));
    }
  }
}

// Calls visit with a null pointer to the blocks of a quantized type.
template <class Visit>
HWY_INLINE void VisitBlocks(DType type, const Visit& visit) {
  switch (type) {
    case DType::kQ4_0:
      return visit(static_cast<const BlockQ4_0*>(nullptr));
    case DType::kQ4_1:
      return visit(static_cast<const BlockQ4_1*>(nullptr));
    case DType::kQ5_0:
      return visit(static_cast<const BlockQ5_0*>(nullptr));
    case DType::kQ5_1:
      return visit(static_cast<const BlockQ5_1*>(nullptr));
    case DType::kQ8_0:
      return visit(static_cast<const BlockQ8_0*>(nullptr));
    case DType::kQ2_K:
      return visit(static_cast<const BlockQ2_K*>(nullptr));
    case DType::kQ3_K:
      return visit(static_cast<const BlockQ3_K*>(nullptr));
    case DType::kQ4_K:
      return visit(static_cast<const BlockQ4_K*>(nullptr));
    case DType::kQ5_K:
      return visit(static_cast<const BlockQ5_K*>(nullptr));
    case DType::kQ6_K:
      return visit(static_cast<const BlockQ6_K*>(nullptr));
    case DType::kIQ4_NL:
      return visit(static_cast<const BlockIQ4_NL*>(nullptr));
    case DType::kIQ4_XS:
      return visit(static_cast<const BlockIQ4_XS*>(nullptr));
    default:
      FULMEN_CHECK(false, "{} is no quantized type", DTypeName(type));
  }
}

}  // namespace fulmen::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // FULMEN_KERNELS_CPU_UNPACK_INL_H_
