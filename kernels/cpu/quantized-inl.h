// Products x W^T of rows rounded to 8 bits with quantized weights. Included once per instruction
// set.
//
// Every output is one sum of a fixed order. x has a step for each block of columns, W a scale (and
// for some types a minimum) for each group in the block. Products of integers are summed exactly
// within a group; within a block scale * sum + minimum * (sum of x) is added group by group in
// float32; times the step, blocks are added from first to last. So the bits depend neither on the
// number of rows of x, nor on how rows and outputs are cut into tasks.
//
// A panel of W is unpacked once into the L1 cache, for all tiles of x. A register tile is
// kTileRows rows of x by kPanelVecs vectors of W, one output row in each lane.
#if defined(FULMEN_KERNELS_CPU_QUANTIZED_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FULMEN_KERNELS_CPU_QUANTIZED_INL_H_
#undef FULMEN_KERNELS_CPU_QUANTIZED_INL_H_
#else
#define FULMEN_KERNELS_CPU_QUANTIZED_INL_H_
#endif

#include "base/matrix.h"
#include "kernels/cpu/activations-inl.h"
#include "kernels/cpu/gemm-inl.h"
#include "kernels/cpu/panel-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fulmen::cpu::HWY_NAMESPACE {

// Where the sums of a tile go: y[row][0 .. cols), added to what is there unless these are the first
// columns.
struct PanelOutput {
  Matrix y;
  int64_t cols;
  bool first;

  HWY_INLINE FloatsV Load(int64_t row, int64_t vec) const {
    const int64_t from = vec * LaneCount();
    if (first || from >= cols) return hn::Zero(Floats());
    if (HWY_LIKELY(from + LaneCount() <= cols)) return hn::LoadU(Floats(), y.row(row) + from);
    return WidenFirst(Floats(), y.row(row) + from, static_cast<size_t>(cols - from));
  }
  HWY_INLINE void Store(FloatsV v, int64_t row, int64_t vec) const {
    const int64_t from = vec * LaneCount();
    if (HWY_LIKELY(from + LaneCount() <= cols)) return hn::StoreU(v, Floats(), y.row(row) + from);
    if (from < cols) StoreFirst(Floats(), v, y.row(row) + from, static_cast<size_t>(cols - from));
  }
};

template <int kRows>
using TileSums = FloatsV[kRows][kPanelVecs];

// Exact sums of the products of one group; `fours` is where it begins.
template <class Traits, int kRows>
HWY_INLINE void GroupSums(const Int8Tile& x, const Panel& w, int64_t four, int64_t panel_four,
                          int64_t group, IntsV (&sums)[kRows][kPanelVecs]) {
  const Ints di;
  HWY_UNROLL(8)
  for (auto& row : sums) {
    HWY_UNROLL(8)
    for (int v = 0; v < kPanelVecs; ++v) {
      row[v] = hn::Load(di, w.corrections + Panel::At(group, v));
    }
  }
  HWY_UNROLL(8)
  for (int i = 0; i < Traits::kGroup / 4; i += 2) {
    IntsV weights[2][kPanelVecs];
    HWY_UNROLL(8)
    for (int v = 0; v < kPanelVecs; ++v) {
      weights[0][v] = w.Values(panel_four + i, v);
      weights[1][v] = w.Values(panel_four + i + 1, v);
    }
    const uint8_t* fours = x.q + (four + i) * kRows * 4;
    HWY_UNROLL(8)
    for (int r = 0; r < kRows; ++r) {
      const TwoFours row = LoadFours<Traits::kWide>(fours + 4 * r, fours + 4 * (kRows + r));
      HWY_UNROLL(8)
      for (int v = 0; v < kPanelVecs; ++v) {
        sums[r][v] = AddProducts<Traits::kWide>(row, weights[0][v], weights[1][v], sums[r][v]);
      }
    }
  }
}

// block += scale * sums + minimum * (sum of x), for one group.
template <class Traits, int kRows>
HWY_INLINE void AddGroup(const Int8Tile& x, const Panel& w, int64_t column, int64_t group,
                         bool first, TileSums<kRows>& block) {
  const Floats d;
  IntsV sums[kRows][kPanelVecs];
  GroupSums<Traits, kRows>(x, w, column / 4, group * (Traits::kGroup / 4), group, sums);
  const float* x_sums = (Traits::kGroup == kSmallGroup ? x.small_sums : x.large_sums) +
                        column / Traits::kGroup * kRows;
  HWY_UNROLL(8)
  for (int v = 0; v < kPanelVecs; ++v) {
    const FloatsV scale = hn::Load(d, w.scales + Panel::At(group, v));
    HWY_UNROLL(8)
    for (int r = 0; r < kRows; ++r) {
      const FloatsV sum = hn::ConvertTo(d, sums[r][v]);
      block[r][v] = first ? hn::Mul(scale, sum) : hn::MulAdd(scale, sum, block[r][v]);
    }
    if constexpr (Traits::kMinimum) {
      const FloatsV minimum = hn::Load(d, w.minima + Panel::At(group, v));
      HWY_UNROLL(8)
      for (int r = 0; r < kRows; ++r) {
        block[r][v] = hn::MulAdd(minimum, hn::Set(d, x_sums[r]), block[r][v]);
      }
    }
  }
}

// One tile of x with one panel, whose first column is `column`.
template <class Traits, int kRows>
HWY_NOINLINE void MultiplyTile(const Int8Tile& x, const Panel& w, int64_t column, int64_t columns,
                               int64_t row, const PanelOutput& y) {
  const Floats d;
  TileSums<kRows> sums;
  HWY_UNROLL(8)
  for (int r = 0; r < kRows; ++r) {
    HWY_UNROLL(8)
    for (int v = 0; v < kPanelVecs; ++v) sums[r][v] = y.Load(row + r, v);
  }
  for (int64_t c = 0; c < columns; c += Traits::kBlock) {
    TileSums<kRows> block;
    for (int g = 0; g < Traits::kBlock / Traits::kGroup; ++g) {
      AddGroup<Traits, kRows>(x, w, column + c + g * Traits::kGroup, c / Traits::kGroup + g, g == 0,
                              block);
    }
    const float* steps = x.steps + (column + c) / Traits::kBlock * kRows;
    HWY_UNROLL(8)
    for (int r = 0; r < kRows; ++r) {
      HWY_UNROLL(8)
      for (int v = 0; v < kPanelVecs; ++v) {
        sums[r][v] = hn::MulAdd(hn::Set(d, steps[r]), block[r][v], sums[r][v]);
      }
    }
  }
  HWY_UNROLL(8)
  for (int r = 0; r < kRows; ++r) {
    HWY_UNROLL(8)
    for (int v = 0; v < kPanelVecs; ++v) y.Store(sums[r][v], row + r, v);
  }
}

template <class Traits>
HWY_INLINE void MultiplyTileOf(const Int8Tile& x, const Panel& w, int64_t column, int64_t columns,
                               int64_t row, const PanelOutput& y) {
  switch (x.rows) {
    case 1:
      return MultiplyTile<Traits, 1>(x, w, column, columns, row, y);
    case 2:
      return MultiplyTile<Traits, 2>(x, w, column, columns, row, y);
    case 3:
      return MultiplyTile<Traits, 3>(x, w, column, columns, row, y);
#if HWY_CAP_GE512
    case 4:
      return MultiplyTile<Traits, 4>(x, w, column, columns, row, y);
    case 5:
      return MultiplyTile<Traits, 5>(x, w, column, columns, row, y);
    default:
      return MultiplyTile<Traits, 6>(x, w, column, columns, row, y);
#endif
  }
}

template <class Block>
inline void MultiplyBlocks(const PackedRows& x, const TileRange& tiles, const WeightMatrix& weight,
                           Matrix y) {
  using Traits = BlockTraits<Block>;
  Panel panel;
  for (int64_t row = 0; row < weight.rows; row += PanelRows()) {
    const int64_t rows = std::min(PanelRows(), weight.rows - row);
    for (int64_t column = 0; column < weight.cols; column += kSuperBlock) {
      const int64_t columns = std::min<int64_t>(kSuperBlock, weight.cols - column);
      FillPanel<Block>(weight, row, column, columns, panel);
      const PanelOutput to = {y.Cols(row, rows), rows, column == 0};
      for (int64_t tile = tiles.begin; tile < tiles.end; ++tile) {
        MultiplyTileOf<Traits>(x.QuantizedTile(tile), panel, column, columns, tile * kTileRows, to);
      }
    }
  }
}

// y[:, 0 .. weight.rows) of `tiles` of x; y.data is that of row 0 of x.
inline void MultiplyQuantized(const PackedRows& x, const TileRange& tiles,
                              const WeightMatrix& weight, Matrix y) {
  switch (weight.type) {
    case DType::kQ4_0:
      return MultiplyBlocks<BlockQ4_0>(x, tiles, weight, y);
    case DType::kQ4_1:
      return MultiplyBlocks<BlockQ4_1>(x, tiles, weight, y);
    case DType::kQ5_0:
      return MultiplyBlocks<BlockQ5_0>(x, tiles, weight, y);
    case DType::kQ5_1:
      return MultiplyBlocks<BlockQ5_1>(x, tiles, weight, y);
    case DType::kQ8_0:
      return MultiplyBlocks<BlockQ8_0>(x, tiles, weight, y);
    case DType::kQ2_K:
      return MultiplyBlocks<BlockQ2_K>(x, tiles, weight, y);
    case DType::kQ3_K:
      return MultiplyBlocks<BlockQ3_K>(x, tiles, weight, y);
    case DType::kQ4_K:
      return MultiplyBlocks<BlockQ4_K>(x, tiles, weight, y);
    case DType::kQ5_K:
      return MultiplyBlocks<BlockQ5_K>(x, tiles, weight, y);
    case DType::kQ6_K:
      return MultiplyBlocks<BlockQ6_K>(x, tiles, weight, y);
    case DType::kIQ4_NL:
      return MultiplyBlocks<BlockIQ4_NL>(x, tiles, weight, y);
    case DType::kIQ4_XS:
      return MultiplyBlocks<BlockIQ4_XS>(x, tiles, weight, y);
    default:
      FULMEN_CHECK(false, "{} is no quantized type", DTypeName(weight.type));
  }
}

}  // namespace fulmen::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // FULMEN_KERNELS_CPU_QUANTIZED_INL_H_
