// Quantized weights unpacked for products: some rows, one super block of columns. Included once per
// instruction set.
#if defined(FULMEN_KERNELS_CPU_PANEL_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FULMEN_KERNELS_CPU_PANEL_INL_H_
#undef FULMEN_KERNELS_CPU_PANEL_INL_H_
#else
#define FULMEN_KERNELS_CPU_PANEL_INL_H_
#endif

#include "base/quant_blocks.h"
#include "base/weight_matrix.h"
#include "kernels/cpu/dot-inl.h"
#include "kernels/cpu/tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fulmen::cpu::HWY_NAMESPACE {

constexpr int64_t kPanelVecs = 2;
constexpr int64_t kMostPanelRows = kPanelVecs * hn::MaxLanes(Floats());
HWY_INLINE int64_t PanelRows() { return kPanelVecs * LaneCount(); }

// How the numbers of a type are made of integers:
//   weight = scale * value [+ minimum], scale and minimum one for each group of columns.
template <class Block>
struct BlockTraits;

template <int kBlockSize, int kGroupSize, bool kHasMinimum, bool kIsWide>
struct Traits {
  static constexpr int kBlock = kBlockSize;
  static constexpr int kGroup = kGroupSize;
  static constexpr bool kMinimum = kHasMinimum;
  static constexpr bool kWide = kIsWide;  // values beyond kMostNarrow
};
template <>
struct BlockTraits<BlockQ4_0> : Traits<kSmallBlock, 32, false, false> {};
template <>
struct BlockTraits<BlockQ4_1> : Traits<kSmallBlock, 32, true, false> {};
template <>
struct BlockTraits<BlockQ5_0> : Traits<kSmallBlock, 32, false, false> {};
template <>
struct BlockTraits<BlockQ5_1> : Traits<kSmallBlock, 32, true, false> {};
template <>
struct BlockTraits<BlockQ8_0> : Traits<kSmallBlock, 32, false, true> {};
template <>
struct BlockTraits<BlockIQ4_NL> : Traits<kSmallBlock, 32, false, true> {};
template <>
struct BlockTraits<BlockQ2_K> : Traits<kSuperBlock, 16, true, false> {};
template <>
struct BlockTraits<BlockQ3_K> : Traits<kSuperBlock, 16, false, false> {};
template <>
struct BlockTraits<BlockQ4_K> : Traits<kSuperBlock, 32, true, false> {};
template <>
struct BlockTraits<BlockQ5_K> : Traits<kSuperBlock, 32, true, false> {};
template <>
struct BlockTraits<BlockQ6_K> : Traits<kSuperBlock, 16, false, false> {};
template <>
struct BlockTraits<BlockIQ4_XS> : Traits<kSuperBlock, 32, false, true> {};

// A block unpacked: values, and by group its scales and minima (0 where the type has none).
struct UnpackedBlock {
  int8_t* values;
  float* scales;
  float* minima;
};

HWY_INLINE float HalfToFloat(uint16_t bits) {
  const hwy::float16_t half = {bits};
  return hn::GetLane(Widen(hn::CappedTag<float, 1>(), &half));
}

// Bytes of two values: the low ones, then the high ones `count` further on.
template <class Function>
HWY_INLINE void SplitHalves(const uint8_t* q, int count, int8_t* values, const Function& value) {
  for (int i = 0; i < count; ++i) {
    values[i] = static_cast<int8_t>(value(q[i] & 15, i));
    values[i + count] = static_cast<int8_t>(value(q[i] >> 4, i + count));
  }
}

HWY_INLINE uint32_t LoadBits(const uint8_t (&bytes)[4]) {
  uint32_t bits;
  std::memcpy(&bits, bytes, sizeof(bits));
  return bits;
}

HWY_INLINE void Unpack(const BlockQ4_0& b, const UnpackedBlock& to) {
  *to.scales = HalfToFloat(b.d);
  SplitHalves(b.q, 16, to.values, [](int v, int) { return v - 8; });
}

HWY_INLINE void Unpack(const BlockQ4_1& b, const UnpackedBlock& to) {
  *to.scales = HalfToFloat(b.d);
  *to.minima = HalfToFloat(b.m);
  SplitHalves(b.q, 16, to.values, [](int v, int) { return v; });
}

HWY_INLINE void Unpack(const BlockQ5_0& b, const UnpackedBlock& to) {
  *to.scales = HalfToFloat(b.d);
  const uint32_t high = LoadBits(b.high);
  SplitHalves(b.q, 16, to.values,
              [high](int v, int i) { return (v | static_cast<int>(high >> i & 1) << 4) - 16; });
}

HWY_INLINE void Unpack(const BlockQ5_1& b, const UnpackedBlock& to) {
  *to.scales = HalfToFloat(b.d);
  *to.minima = HalfToFloat(b.m);
  const uint32_t high = LoadBits(b.high);
  SplitHalves(b.q, 16, to.values,
              [high](int v, int i) { return v | static_cast<int>(high >> i & 1) << 4; });
}

HWY_INLINE void Unpack(const BlockQ8_0& b, const UnpackedBlock& to) {
  *to.scales = HalfToFloat(b.d);
  std::memcpy(to.values, b.q, sizeof(b.q));
}

HWY_INLINE int IQ4Value(int index) { return kIQ4Values[static_cast<size_t>(index)]; }

HWY_INLINE void Unpack(const BlockIQ4_NL& b, const UnpackedBlock& to) {
  *to.scales = HalfToFloat(b.d);
  SplitHalves(b.q, 16, to.values, [](int v, int) { return IQ4Value(v); });
}

HWY_INLINE void Unpack(const BlockQ2_K& b, const UnpackedBlock& to) {
  const float d = HalfToFloat(b.d);
  const float dmin = -HalfToFloat(b.dmin);
  for (int g = 0; g < 16; ++g) {
    to.scales[g] = d * static_cast<float>(b.scales[g] & 15);
    to.minima[g] = dmin * static_cast<float>(b.scales[g] >> 4);
  }
  for (int half = 0; half < 2; ++half) {
    for (int j = 0; j < 4; ++j) {
      int8_t* values = to.values + 128 * half + 32 * j;
      for (int i = 0; i < 32; ++i) {
        values[i] = static_cast<int8_t>(b.q[32 * half + i] >> (2 * j) & 3);
      }
    }
  }
}

HWY_INLINE void Unpack(const BlockQ3_K& b, const UnpackedBlock& to) {
  const float d = HalfToFloat(b.d);
  const std::array<int8_t, 16> scales = Q3Scales(b.scales);
  for (size_t g = 0; g < 16; ++g) to.scales[g] = d * static_cast<float>(scales[g]);
  for (int half = 0; half < 2; ++half) {
    for (int j = 0; j < 4; ++j) {
      int8_t* values = to.values + 128 * half + 32 * j;
      for (int i = 0; i < 32; ++i) {
        const int low = b.q[32 * half + i] >> (2 * j) & 3;
        const int third = b.high[i] >> (4 * half + j) & 1;
        values[i] = static_cast<int8_t>((low | third << 2) - 4);
      }
    }
  }
}

// Of Q4_K and Q5_K.
HWY_INLINE void UnpackScales(uint16_t d_bits, uint16_t dmin_bits, const uint8_t (&packed)[12],
                             const UnpackedBlock& to) {
  const float d = HalfToFloat(d_bits);
  const float dmin = -HalfToFloat(dmin_bits);
  const ScalesAndMinima s = Q4ScalesAndMinima(packed);
  for (size_t g = 0; g < 8; ++g) {
    to.scales[g] = d * static_cast<float>(s.scales[g]);
    to.minima[g] = dmin * static_cast<float>(s.minima[g]);
  }
}

HWY_INLINE void Unpack(const BlockQ4_K& b, const UnpackedBlock& to) {
  UnpackScales(b.d, b.dmin, b.scales, to);
  for (int c = 0; c < 4; ++c) {
    SplitHalves(b.q + 32 * c, 32, to.values + 64 * c, [](int v, int) { return v; });
  }
}

HWY_INLINE void Unpack(const BlockQ5_K& b, const UnpackedBlock& to) {
  UnpackScales(b.d, b.dmin, b.scales, to);
  for (int c = 0; c < 4; ++c) {
    int8_t* values = to.values + 64 * c;
    for (int i = 0; i < 32; ++i) {
      const int q = b.q[32 * c + i];
      const int high = b.high[i] >> (2 * c);
      values[i] = static_cast<int8_t>((q & 15) | (high & 1) << 4);
      values[i + 32] = static_cast<int8_t>((q >> 4) | (high & 2) << 3);
    }
  }
}

HWY_INLINE void Unpack(const BlockQ6_K& b, const UnpackedBlock& to) {
  const float d = HalfToFloat(b.d);
  for (int g = 0; g < 16; ++g) to.scales[g] = d * static_cast<float>(b.scales[g]);
  for (int half = 0; half < 2; ++half) {
    const uint8_t* low = b.low + 64 * half;
    const uint8_t* high = b.high + 32 * half;
    int8_t* values = to.values + 128 * half;
    for (int i = 0; i < 32; ++i) {
      values[i] = static_cast<int8_t>(((low[i] & 15) | (high[i] & 3) << 4) - 32);
      values[i + 32] = static_cast<int8_t>(((low[i + 32] & 15) | (high[i] >> 2 & 3) << 4) - 32);
      values[i + 64] = static_cast<int8_t>(((low[i] >> 4) | (high[i] >> 4 & 3) << 4) - 32);
      values[i + 96] = static_cast<int8_t>(((low[i + 32] >> 4) | (high[i] >> 6) << 4) - 32);
    }
  }
}

HWY_INLINE void Unpack(const BlockIQ4_XS& b, const UnpackedBlock& to) {
  const float d = HalfToFloat(b.d);
  const std::array<int8_t, 8> scales = IQ4Scales(b);
  for (size_t g = 0; g < 8; ++g) {
    to.scales[g] = d * static_cast<float>(scales[g]);
    SplitHalves(b.q + 16 * g, 16, to.values + 32 * g, [](int v, int) { return IQ4Value(v); });
  }
}

// PanelRows() rows of a weight by one super block of columns (or as many as are left), rows in
// lanes. Fours of columns as in Int8Tile; what stands for a group, by group.
struct Panel {
  static constexpr int64_t kMostGroups = kSuperBlock / kSmallGroup;
  HWY_ALIGN int8_t values[kSuperBlock * kMostPanelRows];
  HWY_ALIGN float scales[kMostGroups * kMostPanelRows];
  HWY_ALIGN float minima[kMostGroups * kMostPanelRows];
  // What the zero point of x adds to the products of a group, to be taken off.
  HWY_ALIGN int32_t corrections[kMostGroups * kMostPanelRows];

  HWY_INLINE IntsV Values(int64_t four, int64_t vec) const {
    const hn::Repartition<int8_t, Ints> d8;
    return hn::BitCast(Ints(), hn::Load(d8, values + 4 * (four * PanelRows() + vec * LaneCount())));
  }
  HWY_INLINE static int64_t At(int64_t group, int64_t vec) {
    return group * PanelRows() + vec * LaneCount();
  }
};

template <int kGroup, bool kWide>
HWY_INLINE void FillCorrections(int64_t columns, Panel& panel) {
  static_assert(kZeroPoint == 1 << 7);
  const Ints di;
  const uint8_t ones[4] = {1, 1, 1, 1};
  for (int64_t g = 0; g < columns / kGroup; ++g) {
    for (int64_t v = 0; v < kPanelVecs; ++v) {
      IntsV sum = hn::Zero(di);
      for (int64_t four = g * (kGroup / 4); four < (g + 1) * (kGroup / 4); four += 2) {
        if constexpr (kWide && kPairsIn16Bits) break;
        const TwoFours x = LoadFours<false>(ones, ones);
        sum = AddProducts<kWide>(x, panel.Values(four, v), panel.Values(four + 1, v), sum);
      }
      hn::Store(hn::Neg(hn::ShiftLeft<7>(sum)), di, panel.corrections + Panel::At(g, v));
    }
  }
}

// Rows [row, row + PanelRows()) of `weight` (its last row stands for those behind it), columns
// [column, column + columns), whole blocks.
template <class Block>
HWY_NOINLINE void FillPanel(const WeightMatrix& weight, int64_t row, int64_t column,
                            int64_t columns, Panel& panel) {
  using Traits = BlockTraits<Block>;
  constexpr int kGroups = Traits::kBlock / Traits::kGroup;
  HWY_ALIGN int8_t rows[kMostPanelRows * kSuperBlock];
  const int64_t panel_rows = PanelRows();
  for (int64_t r = 0; r < panel_rows; ++r) {
    const std::byte* data = weight.row(std::min(row + r, weight.rows - 1));
    const auto* blocks = reinterpret_cast<const Block*>(data) + column / Traits::kBlock;
    for (int64_t b = 0; b < columns / Traits::kBlock; ++b) {
      float scales[kGroups];
      float minima[kGroups];
      Unpack(blocks[b], {rows + r * kSuperBlock + b * Traits::kBlock, scales, minima});
      for (int g = 0; g < kGroups; ++g) {
        const int64_t at = (b * kGroups + g) * panel_rows + r;
        panel.scales[at] = scales[g];
        if constexpr (Traits::kMinimum) panel.minima[at] = minima[g];
      }
    }
  }
  Transpose({reinterpret_cast<const float*>(rows), panel_rows, columns / 4, kSuperBlock / 4},
            {reinterpret_cast<float*>(panel.values), columns / 4, panel_rows, panel_rows});
  FillCorrections<Traits::kGroup, Traits::kWide>(columns, panel);
}

}  // namespace fulmen::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // FULMEN_KERNELS_CPU_PANEL_INL_H_
