// Quantized weights as they lie in a file, made into panels. Included once per instruction set.
#if defined(FULMEN_KERNELS_CPU_PANEL_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FULMEN_KERNELS_CPU_PANEL_INL_H_
#undef FULMEN_KERNELS_CPU_PANEL_INL_H_
#else
#define FULMEN_KERNELS_CPU_PANEL_INL_H_
#endif

#include <span>

#include "base/weight_matrix.h"
#include "kernels/cpu/dot-inl.h"
#include "kernels/cpu/gemm-inl.h"
#include "kernels/cpu/unpack-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fulmen::cpu::HWY_NAMESPACE {

// One row in each block of 128 bits: 16 bytes at `offset` of every fourth row from `row` on.
template <class D>
HWY_INLINE hn::Vec<D> LoadWords(D d, const std::byte* const* rows, int64_t row, int64_t offset) {
  if constexpr (hn::MaxLanes(D()) <= 4) {
    return hn::LoadU(d, reinterpret_cast<const int32_t*>(rows[row] + offset));
  } else {
    const hn::Half<D> half;
    const auto between = static_cast<int64_t>(hn::Lanes(half));
    return hn::Combine(d, LoadWords(half, rows, row + between, offset),
                       LoadWords(half, rows, row, offset));
  }
}

// Bytes between what is unpacked of a repacked weight and what is fetched meanwhile.
constexpr int64_t kAhead = 8192;

// to[w][r] = word w of rows[r], for PanelRows() rows. Words lie at any address.
template <int64_t kWords>
HWY_INLINE void TransposeWords(const std::byte* const* rows, int32_t* to) {
  static_assert(kWords >= 4);
  const Ints d;
  const hn::Repartition<int64_t, Ints> pairs;
  const int64_t lanes = LaneCount();
  for (int64_t v = 0; v < kPanelVecs; ++v, rows += lanes, to += lanes) {
    for (int64_t first = 0; first < kWords; first += 4) {
      const int64_t w = std::min(first, kWords - 4);  // the last four may overlap
      const IntsV a0 = LoadWords(d, rows, 0, 4 * w);
      const IntsV a1 = LoadWords(d, rows, 1, 4 * w);
      const IntsV a2 = LoadWords(d, rows, 2, 4 * w);
      const IntsV a3 = LoadWords(d, rows, 3, 4 * w);
      const auto low01 = hn::BitCast(pairs, hn::InterleaveLower(d, a0, a1));
      const auto low23 = hn::BitCast(pairs, hn::InterleaveLower(d, a2, a3));
      const auto high01 = hn::BitCast(pairs, hn::InterleaveUpper(d, a0, a1));
      const auto high23 = hn::BitCast(pairs, hn::InterleaveUpper(d, a2, a3));
      int32_t* out = to + w * PanelRows();
      hn::Store(hn::BitCast(d, hn::InterleaveLower(pairs, low01, low23)), d, out);
      hn::Store(hn::BitCast(d, hn::InterleaveUpper(pairs, low01, low23)), d, out + PanelRows());
      hn::Store(hn::BitCast(d, hn::InterleaveLower(pairs, high01, high23)), d,
                out + 2 * PanelRows());
      hn::Store(hn::BitCast(d, hn::InterleaveUpper(pairs, high01, high23)), d,
                out + 3 * PanelRows());
    }
  }
}

// How blocks of a type are multiplied.
template <class BlockType, ByteProducts kHow>
struct ProductTraits : BlockTraits<BlockType> {
  using Block = BlockType;
  using Base = BlockTraits<Block>;
  static constexpr ByteProducts kProducts = kHow;
  static constexpr bool kWords = Base::kWide && MultipliesWords(kHow);
  static constexpr int kOffset = Base::kMinimum || kWords ? 0 : OffsetOf(kHow);
  static constexpr int kBytes = kWords ? 2 : 1;  // of a value
};

// The rows of a panel as stored: the last row of the weight stands for those behind it.
struct StoredRows {
  const std::byte* rows[kMostPanelRows];

  StoredRows(const WeightMatrix& weight, int64_t row) {
    for (int64_t r = 0; r < PanelRows(); ++r) {
      rows[r] = weight.row(std::min(row + r, weight.rows - 1));
    }
  }
};

// One block of the rows of a panel, as LaneBlock has them: the repacked layout, too, panel after
// panel and in each of them block after block. As many bytes as the blocks have as stored.
template <class Block>
struct PanelBlock {
  static constexpr int64_t kHalves = BlockTraits<Block>::kHalves;
  static constexpr int64_t kWords = (sizeof(Block) - 2 * kHalves) / 4;

  std::byte* data;

  int32_t* words() const { return reinterpret_cast<int32_t*>(data); }
  uint16_t* halves() const {
    return reinterpret_cast<uint16_t*>(data + kWords * PanelRows() * int64_t{4});
  }
};

// Block `index` of each row. What lies `ahead` bytes further on is fetched meanwhile.
template <class Block>
HWY_INLINE void GatherBlock(const StoredRows& stored, int64_t index, int64_t ahead,
                            const PanelBlock<Block>& to) {
  using T = BlockTraits<Block>;
  const int64_t offset = index * static_cast<int64_t>(sizeof(Block));
  const std::byte* rows[kMostPanelRows];
  for (int64_t r = 0; r < PanelRows(); ++r) {
    const std::byte* block = stored.rows[r] + offset;
    rows[r] = block + T::kFirstWord;
    for (size_t i = 0; i < sizeof(Block); i += kLine) FetchLine(block + ahead + i);
    for (int64_t i = 0; i < T::kHalves; ++i) {
      std::memcpy(&to.halves()[i * PanelRows() + r], block + T::kFirstHalf + 2 * i, 2);
    }
  }
  TransposeWords<PanelBlock<Block>::kWords>(rows, to.words());
}

// One vector of a panel of kWholeScales, a whole block: step * (sum of scale * value * x) +
// minimum_step * (sum of minimum * x), both sums exact.
struct WholeScales {
  FloatsV step, minimum_step;
  IntsV minima[kPairs];

  WholeScales(const Panel& panel, int64_t vec)
      : step(hn::Load(Floats(), panel.steps + vec * LaneCount())),
        minimum_step(hn::Load(Floats(), panel.minimum_steps + vec * LaneCount())) {
    HWY_UNROLL(4)
    for (int p = 0; p < kPairs; ++p) {
      minima[p] = hn::Load(Ints(), panel.minimum_pairs + Panel::At(p, vec));
    }
  }

  // Of a row whose sums over the groups are x_sums[kPairs], two and two.
  HWY_INLINE FloatsV Scale(FloatsV sum, const int32_t* x_sums) const {
    IntsV minimum = hn::Zero(Ints());
    HWY_UNROLL(4)
    for (int p = 0; p < kPairs; ++p) {
      minimum = AddPairs(minimum, hn::Set(Ints(), x_sums[p]), minima[p]);
    }
    return hn::MulAdd(minimum_step, hn::ConvertTo(Floats(), minimum), hn::Mul(step, sum));
  }
};

// `block` is the index-th of the panel.
template <class Traits, class Block = typename Traits::Block>
HWY_INLINE void UnpackBlock(const PanelBlock<Block>& block, int64_t index, int64_t ahead,
                            Panel& panel) {
  const int64_t group = index * (Traits::kBlock / Traits::kGroup);
  const int64_t unit = index * (Traits::kBlock / 4 * Traits::kBytes);
  for (int64_t v = 0; v < kPanelVecs; ++v) {
    const int64_t lane = v * LaneCount();
    Unpack(static_cast<const Block*>(nullptr),
           LaneBlock{block.words() + lane, block.halves() + lane, ahead},
           LanePanel{panel.values + 4 * Panel::At(unit, v), panel.scales + Panel::At(group, v),
                     panel.minima + Panel::At(group, v), Traits::kOffset, Traits::kWords,
                     Traits::kWholeScales && Traits::kProducts == ByteProducts::kTiles,
                     panel.steps + lane, panel.minimum_steps + lane, panel.minimum_pairs + lane,
                     kMayHaveAmx ? panel.high_values + 4 * lane : nullptr});
  }
}

// Columns [column, column + columns), whole blocks, of the panel that begins at `row`. What comes
// next of the weights is fetched meanwhile, unless it is `later`: then it is returned, to be
// fetched while the panel is multiplied.
template <class Traits>
HWY_NOINLINE std::span<const std::byte> FillPanel(const WeightMatrix& weight,
                                                  const StoredRows& stored, int64_t row,
                                                  int64_t column, int64_t columns, bool later,
                                                  Panel& panel) {
  using Block = typename Traits::Block;
  constexpr auto kBytes = static_cast<int64_t>(sizeof(Block));
  const int64_t first = column / Traits::kBlock;
  const int64_t blocks = columns / Traits::kBlock;
  std::span<const std::byte> ahead;
  if (weight.layout == WeightLayout::kRepacked) {
    auto* data = const_cast<std::byte*>(weight.row(row)) + first * kBytes * PanelRows();
    for (int64_t b = 0; b < blocks; ++b, data += kBytes * PanelRows()) {
      UnpackBlock<Traits>(PanelBlock<Block>{data}, b, later ? 0 : kAhead, panel);
    }
    if (later) ahead = {data, static_cast<size_t>(blocks * kBytes * PanelRows())};
  } else {
    HWY_ALIGN std::byte gathered[sizeof(Block) * kMostPanelRows];
    // The columns behind these, or the first ones of the rows behind these.
    const int64_t distance = column + columns < weight.cols
                                 ? blocks * kBytes
                                 : PanelRows() * weight.stride - first * kBytes;
    for (int64_t b = 0; b < blocks; ++b) {
      GatherBlock(stored, first + b, distance, PanelBlock<Block>{gathered});
      UnpackBlock<Traits>(PanelBlock<Block>{gathered}, b, 0, panel);
    }
  }
  return ahead;
}

}  // namespace fulmen::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // FULMEN_KERNELS_CPU_PANEL_INL_H_
