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
#include "kernels/cpu/elementwise-inl.h"
#include "kernels/cpu/gemm-inl.h"
#include "kernels/cpu/unpack-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fulmen::cpu::HWY_NAMESPACE {

constexpr int64_t kMostBytes = MultipliesWords(kByteProducts) ? 2 : 1;  // of a value

// PanelRows() rows of a weight by one super block of columns (or as many as are left), one row in
// each lane: weight = scale * value [+ minimum], scale and minimum one for each group of columns.
// Values that have a sign are stored as kOffset of their type more.
// Of types with whole numbers for both (kWholeScales), weight = step * scale * value + minimum_step
// * minimum, with a step of each for the block.
struct Panel {
  static constexpr int64_t kMostGroups = kSuperBlock / kSmallGroup;
  // Fours of columns, or twos as words, as in Int8Tile.
  HWY_ALIGN int8_t values[kMostBytes * kSuperBlock * kMostPanelRows];
  HWY_ALIGN float scales[kMostGroups * kMostPanelRows];
  HWY_ALIGN float minima[kMostGroups * kMostPanelRows];
  HWY_ALIGN float steps[kMostPanelRows];
  HWY_ALIGN float minimum_steps[kMostPanelRows];
  HWY_ALIGN int32_t minimum_pairs[kPairs * kMostPanelRows];
  // For AMX, of kWholeScales: values times the low three bits of their scale are in `values`, and
  // times the high three here.
  HWY_ALIGN int8_t high_values[kMayHaveAmx ? kSuperBlock * kMostPanelRows : 1];

  HWY_INLINE static int64_t At(int64_t group, int64_t vec) {
    return group * PanelRows() + vec * LaneCount();
  }
  // The four of index `unit`, or two words.
  HWY_INLINE IntsV Values(int64_t unit, int64_t vec) const {
    const hn::Repartition<int8_t, Ints> d8;
    return hn::BitCast(Ints(), hn::Load(d8, values + 4 * At(unit, vec)));
  }
};

// A four of bytes with a sign as words, the even ones and the odd ones.
HWY_INLINE TwoFours BytesToWords(IntsV v) {
  const hn::Repartition<int16_t, Ints> d16;
  const auto bytes = hn::BitCast(d16, v);
  const auto even = hn::ShiftRight<8>(hn::ShiftLeft<8>(bytes));
  return {hn::BitCast(Ints(), even), hn::BitCast(Ints(), hn::ShiftRight<8>(bytes))};
}
HWY_INLINE IntsV AddToBytes(IntsV v, int amount) {
  const hn::Repartition<uint8_t, Ints> d8;
  return hn::BitCast(Ints(),
                     hn::Add(hn::BitCast(d8, v), hn::Set(d8, static_cast<uint8_t>(amount))));
}

// Where the numbers of a block go: fours and groups count from its first.
struct LanePanel {
  int8_t* values;
  float* scales;
  float* minima;
  int offset;  // values are stored as so much more, where they are no words
  bool words;
  bool scaled;  // values by the bits of their scales
  // One for each row, or row by row for each pair of groups.
  float* steps;
  float* minimum_steps;
  int32_t* minimum_pairs;
  int8_t* high_values;

  // The same of values whose scale, below 64, is in both halves of a lane.
  HWY_INLINE void SetScaledValues(int64_t four, IntsV v, IntsV scale) const {
    const hn::Repartition<uint16_t, Ints> d16;
    const hn::Repartition<int8_t, Ints> d8;
    // No product of a byte reaches the byte above it.
    const auto times = [&](auto factor) HWY_ATTR { return hn::Mul(hn::BitCast(d16, v), factor); };
    const auto words16 = hn::BitCast(d16, scale);
    StoreUnit(four, hn::BitCast(Ints(), times(hn::And(words16, hn::Set(d16, 7)))));
    hn::Store(hn::BitCast(d8, times(hn::ShiftRight<3>(words16))), d8,
              high_values + 4 * four * PanelRows());
  }
  HWY_INLINE void SetSteps(FloatsV step, FloatsV minimum_step) const {
    hn::Store(step, Floats(), steps);
    hn::Store(minimum_step, Floats(), minimum_steps);
  }
  HWY_INLINE void SetMinimumPair(int64_t pair, IntsV v) const {
    hn::Store(v, Ints(), minimum_pairs + pair * PanelRows());
  }
  HWY_INLINE void SetValues(int64_t four, IntsV v) const {
    if (words) {
      const TwoFours units = BytesToWords(v);
      StoreUnit(2 * four, units.a);
      StoreUnit(2 * four + 1, units.b);
    } else {
      StoreUnit(four, AddToBytes(v, offset));
    }
  }
  HWY_INLINE void StoreUnit(int64_t unit, IntsV v) const {
    const hn::Repartition<int8_t, Ints> d8;
    hn::Store(hn::BitCast(d8, v), d8, values + 4 * unit * PanelRows());
  }
  HWY_INLINE void SetScale(int64_t group, FloatsV v) const {
    hn::Store(v, Floats(), scales + group * PanelRows());
  }
  HWY_INLINE void SetMinimum(int64_t group, FloatsV v) const {
    hn::Store(v, Floats(), minima + group * PanelRows());
  }
};

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

// to[v][w][r] = word w of row r of vector v, for the rows of a panel. Words lie at any address.
template <int64_t kWords>
HWY_INLINE void TransposeWords(const std::byte* const* rows, int32_t* to) {
  static_assert(kWords >= 4);
  const Ints d;
  const hn::Repartition<int64_t, Ints> pairs;
  const int64_t lanes = LaneCount();
  for (int64_t v = 0; v < kPanelVecs; ++v, rows += lanes, to += kWords * lanes) {
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
      int32_t* out = to + w * lanes;
      hn::Store(hn::BitCast(d, hn::InterleaveLower(pairs, low01, low23)), d, out);
      hn::Store(hn::BitCast(d, hn::InterleaveUpper(pairs, low01, low23)), d, out + lanes);
      hn::Store(hn::BitCast(d, hn::InterleaveLower(pairs, high01, high23)), d, out + 2 * lanes);
      hn::Store(hn::BitCast(d, hn::InterleaveUpper(pairs, high01, high23)), d, out + 3 * lanes);
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
  // So many rows of x are multiplied as weights are unpacked. With a scale for 16 columns there are
  // too many sums for registers from three rows on.
  static constexpr int64_t kMostOneTileRows = Base::kGroup == kSmallGroup ? 2 : kTileRows;
};

// The rows of a panel as stored: the last row of the weight stands for those behind it.
struct StoredRows {
  const std::byte* rows[kMostPanelRows];

  StoredRows() = default;
  StoredRows(const WeightMatrix& weight, int64_t row) {
    for (int64_t r = 0; r < PanelRows(); ++r) {
      rows[r] = weight.row(std::min(row + r, weight.rows - 1));
    }
  }
};

// One block of the rows of a panel: its words, vector after vector, then the halves of all rows:
// the repacked layout, too, panel after panel and in each of them block after block. As many bytes
// as the blocks have as stored, and read from first to last.
template <class Block>
struct PanelBlock {
  static constexpr int64_t kHalves = BlockTraits<Block>::kHalves;
  static constexpr int64_t kWords = (sizeof(Block) - 2 * kHalves) / 4;

  std::byte* data;

  int32_t* words() const { return reinterpret_cast<int32_t*>(data); }
  uint16_t* halves() const {
    return reinterpret_cast<uint16_t*>(data + kWords * PanelRows() * int64_t{4});
  }
  // Of one vector, whose reading fetches what lies `ahead` bytes further on.
  LaneBlock Lanes(int64_t vec, int64_t ahead) const {
    const int64_t lane = vec * LaneCount();
    return {words() + kWords * lane, halves() + lane, ahead};
  }
};

// Block `index` of each row of a weight as stored. What lies `ahead` bytes further on is fetched
// meanwhile.
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

// Of kWholeScales: the sums of so many groups, times their scales, are added exactly.
constexpr int kExactGroups = 4;

// One vector of a panel of kWholeScales, a whole block: step * (sum of scale * value * x) +
// minimum_step * (sum of minimum * x), both sums exact.
struct WholeScales {
  FloatsV step, minimum_step;
  IntsV minima[kPairs];

  WholeScales() = default;
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
    const LanePanel to{panel.values + 4 * Panel::At(unit, v),
                       panel.scales + Panel::At(group, v),
                       panel.minima + Panel::At(group, v),
                       Traits::kOffset,
                       Traits::kWords,
                       Traits::kWholeScales && Traits::kProducts == ByteProducts::kTiles,
                       panel.steps + lane,
                       panel.minimum_steps + lane,
                       panel.minimum_pairs + lane,
                       kMayHaveAmx ? panel.high_values + 4 * lane : nullptr};
    Unpack(static_cast<const Block*>(nullptr), block.Lanes(v, ahead), to);
  }
}

// The blocks of the panel that begins at `row`, one after another.
template <class Block>
class PanelBlocks {
 public:
  PanelBlocks(const WeightMatrix& weight, int64_t row)
      : weight_(weight),
        first_(const_cast<std::byte*>(weight.row(row))),
        count_(weight.cols / BlockTraits<Block>::kBlock) {
    if (!repacked()) stored_ = StoredRows(weight, row);
  }

  bool repacked() const { return weight_.layout == WeightLayout::kRepacked; }
  // Of rows as stored, At fetches what comes next.
  int64_t ahead() const { return repacked() ? kAhead : 0; }

  // Of rows as stored it holds until the next call.
  PanelBlock<Block> At(int64_t index) {
    constexpr auto kBytes = static_cast<int64_t>(sizeof(Block));
    if (repacked()) return {first_ + index * kBytes * PanelRows()};
    // A super block further on, or in the rows behind these.
    constexpr int64_t kBlocks = kSuperBlock / BlockTraits<Block>::kBlock;
    const int64_t ahead = index + kBlocks < count_
                              ? kBlocks * kBytes
                              : PanelRows() * weight_.stride + (kBlocks - count_) * kBytes;
    GatherBlock(stored_, index, ahead, PanelBlock<Block>{gathered_});
    return {gathered_};
  }

 private:
  const WeightMatrix& weight_;
  std::byte* first_;
  StoredRows stored_;
  int64_t count_;
  HWY_ALIGN std::byte gathered_[sizeof(Block) * kMostPanelRows];
};

// Columns [column, column + columns), whole blocks, of a panel. Of a repacked weight what comes
// next is fetched meanwhile, unless it is `later`: then it is returned, to be fetched while the
// panel is multiplied.
template <class Traits, class Block = typename Traits::Block>
HWY_NOINLINE std::span<const std::byte> FillPanel(PanelBlocks<Block>& from, int64_t column,
                                                  int64_t columns, bool later, Panel& panel) {
  const int64_t first = column / Traits::kBlock;
  const int64_t blocks = columns / Traits::kBlock;
  for (int64_t b = 0; b < blocks; ++b) {
    UnpackBlock<Traits>(from.At(first + b), b, later ? 0 : from.ahead(), panel);
  }
  if (!later || !from.repacked()) return {};
  const auto bytes = static_cast<size_t>(blocks * sizeof(Block) * PanelRows());
  return {from.At(first + blocks).data, bytes};
}

// y[:, 0 .. columns of y) = the sums of some tiles, which lie row by row.
HWY_INLINE void StorePanel(const float* sums, Matrix y) {
  for (int64_t r = 0; r < y.rows; ++r) {
    for (int64_t c = 0; c < y.cols; c += LaneCount()) {
      StorePart(hn::Load(Floats(), sums + r * PanelRows() + c), y.row(r) + c, y.cols - c);
    }
  }
}

}  // namespace fulmen::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // FULMEN_KERNELS_CPU_PANEL_INL_H_
