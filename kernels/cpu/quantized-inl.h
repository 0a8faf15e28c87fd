// Products x W^T of rows rounded to 8 bits with quantized weights. Included once per instruction
// set.
//
// Every output is one sum of a fixed order. x has a step for each block of columns, W a scale (and
// for some types a minimum) for each group in the block. Products of integers are summed exactly
// within a group; within a block scale * sum + minimum * (sum of x) is added group by group in
// float32, or exactly where scales are whole numbers; times the step, blocks are added from first
// to last. So the bits depend neither on the number of rows of x, nor on how rows and outputs are
// cut into tasks.
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
#include "kernels/cpu/amx-inl.h"
#include "kernels/cpu/elementwise-inl.h"
#include "kernels/cpu/gemm-inl.h"
#include "kernels/cpu/panel-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fulmen::cpu::HWY_NAMESPACE {

template <int kRows>
using TileSums = FloatsV[kRows][kPanelVecs];

// Exact sums of the products of one group, which begins at `column` of x.
template <class Traits, int kRows>
HWY_INLINE void GroupSums(const Int8Tile& x, const Panel& w, int64_t column, int64_t group,
                          IntsV (&sums)[kRows][kPanelVecs]) {
  const int32_t* offsets = (Traits::kGroup == kSmallGroup ? x.small_offsets : x.large_offsets) +
                           column / Traits::kGroup * kRows;
  HWY_UNROLL(8)
  for (int r = 0; r < kRows; ++r) {
    HWY_UNROLL(8)
    for (IntsV& sum : sums[r]) {
      sum = Traits::kOffset == 0 ? hn::Zero(Ints()) : hn::Set(Ints(), offsets[r]);
    }
  }
  constexpr int kUnits = Traits::kGroup / 4 * Traits::kBytes;
  const uint8_t* x_units = x.q + column * kRows * Traits::kBytes;
  HWY_UNROLL(16)
  for (int i = 0; i < kUnits; i += 2) {
    TwoFours weights[kPanelVecs];
    HWY_UNROLL(8)
    for (int v = 0; v < kPanelVecs; ++v) {
      weights[v] = {w.Values(group * kUnits + i, v), w.Values(group * kUnits + i + 1, v)};
    }
    const uint8_t* fours = x_units + i * kRows * 4;
    HWY_UNROLL(8)
    for (int r = 0; r < kRows; ++r) {
      const TwoFours row = {BroadcastFour(fours + 4 * r), BroadcastFour(fours + 4 * (kRows + r))};
      HWY_UNROLL(8)
      for (int v = 0; v < kPanelVecs; ++v) {
        sums[r][v] = AddProducts<Traits>(row, weights[v], sums[r][v]);
      }
    }
  }
}

// What the next tile will read: tiles lie further apart than the machine foresees, and too much
// fetched at once would hold up the loads of the present.
template <int kBytes>
HWY_INLINE void FetchPart(const uint8_t* from) {
  HWY_UNROLL(8)
  for (int i = 0; i < kBytes; i += kLine) __builtin_prefetch(from + i, 0, 3);
}

// block += scale * sums + minimum * (sum of x), for one group.
template <class Traits, int kRows>
HWY_INLINE void AddGroup(const Int8Tile& x, const Panel& w, int64_t column, int64_t group,
                         bool first, TileSums<kRows>& block) {
  const Floats d;
  IntsV sums[kRows][kPanelVecs];
  GroupSums<Traits, kRows>(x, w, column, group, sums);
  const float* x_sums = (Traits::kGroup == kSmallGroup ? x.small_sums : x.large_sums) +
                        column / Traits::kGroup * kRows;
  HWY_UNROLL(8)
  for (int v = 0; v < kPanelVecs; ++v) {
    const FloatsV scale = hn::Load(d, w.scales + Panel::At(group, v));
    HWY_UNROLL(8)
    for (int r = 0; r < kRows; ++r) {
      const FloatsV sum = hn::ConvertTo(d, sums[r][v]);
      // Whole numbers have one zero.
      const auto product = [&]() HWY_ATTR {
        return Traits::kWholeScales ? hn::MulAdd(scale, sum, hn::Zero(d)) : hn::Mul(scale, sum);
      };
      block[r][v] = first ? product() : hn::MulAdd(scale, sum, block[r][v]);
    }
    if constexpr (Traits::kMinimum && !Traits::kWholeScales) {
      const FloatsV minimum = hn::Load(d, w.minima + Panel::At(group, v));
      HWY_UNROLL(8)
      for (int r = 0; r < kRows; ++r) {
        block[r][v] = hn::MulAdd(minimum, hn::Set(d, x_sums[r]), block[r][v]);
      }
    }
  }
}

// A whole block of kWholeScales. The sum of scale * sums is exact in float32 as far as kExactGroups
// groups go, and then rounded once.
template <class Traits, int kRows>
HWY_INLINE void WholeBlock(const Int8Tile& x, const Panel& w, int64_t column, const uint8_t* next,
                           TileSums<kRows>& block) {
  constexpr int kGroups = Traits::kBlock / Traits::kGroup;
  static_assert(kExactGroups * Traits::kGroup * Traits::kMostValue * kMostRounded *
                        Traits::kMostScale <
                    1 << 24 &&
                kGroups <= 2 * kExactGroups);
  TileSums<kRows> first_half;
  for (int g = 0; g < kGroups; ++g) {
    FetchPart<Traits::kGroup * kRows>(next + g * Traits::kGroup * kRows);
    AddGroup<Traits, kRows>(x, w, column + g * Traits::kGroup, g, g % kExactGroups == 0, block);
    if (g + 1 == kExactGroups) std::copy_n(&block[0][0], kRows * kPanelVecs, &first_half[0][0]);
  }
  const int32_t* x_sums = x.sum_pairs + column / kSuperBlock * kRows * kPairs;
  HWY_UNROLL(8)
  for (int v = 0; v < kPanelVecs; ++v) {
    const WholeScales scales(w, v);
    HWY_UNROLL(8)
    for (int r = 0; r < kRows; ++r) {
      block[r][v] = scales.Scale(hn::Add(first_half[r][v], block[r][v]), x_sums + r * kPairs);
    }
  }
}

// sums [kRows][PanelRows()] += one tile of x with one panel, whose first column is `column`. Where
// a panel is one block, sums stay where they lie until it is added, for registers hold its own.
template <class Traits, int kRows>
HWY_NOINLINE void MultiplyTile(const Int8Tile& x, const Panel& w, int64_t column, int64_t columns,
                               const uint8_t* next, float* HWY_RESTRICT sums) {
  constexpr int64_t kLineFloats = kLine / sizeof(float);
  constexpr bool kOneBlock = Traits::kBlock == kSuperBlock;
  const Floats d;
  const auto for_each_sum = [](const auto& visit) HWY_ATTR {
    HWY_UNROLL(8)
    for (int r = 0; r < kRows; ++r) {
      HWY_UNROLL(8)
      for (int v = 0; v < kPanelVecs; ++v) visit(r, v);
    }
  };
  TileSums<kRows> kept;
  if constexpr (kOneBlock) {
    for (int64_t i = 0; i < kRows * PanelRows(); i += kLineFloats) {
      __builtin_prefetch(sums + i, 1, 3);
    }
  } else {
    for_each_sum([&](int r, int v) HWY_ATTR { kept[r][v] = hn::Load(d, sums + Panel::At(r, v)); });
  }
  for (int64_t c = 0; c < columns; c += Traits::kBlock) {
    TileSums<kRows> block;
    if constexpr (Traits::kWholeScales) {
      WholeBlock<Traits, kRows>(x, w, column + c, next + c * kRows, block);
    } else {
      for (int g = 0; g < Traits::kBlock / Traits::kGroup; ++g) {
        constexpr int kColumnBytes = kRows * Traits::kBytes;
        FetchPart<Traits::kGroup * kColumnBytes>(next + (c + g * Traits::kGroup) * kColumnBytes);
        AddGroup<Traits, kRows>(x, w, column + c + g * Traits::kGroup, c / Traits::kGroup + g,
                                g == 0, block);
      }
    }
    const float* steps = x.steps + (column + c) / Traits::kBlock * kRows;
    for_each_sum([&](int r, int v) HWY_ATTR {
      if constexpr (kOneBlock) kept[r][v] = hn::Load(d, sums + Panel::At(r, v));
      kept[r][v] = hn::MulAdd(hn::Set(d, steps[r]), block[r][v], kept[r][v]);
    });
  }
  for_each_sum([&](int r, int v) HWY_ATTR { hn::Store(kept[r][v], d, sums + Panel::At(r, v)); });
}

template <class Traits>
HWY_INLINE void MultiplyTileOf(const Int8Tile& x, const Panel& w, int64_t column, int64_t columns,
                               const uint8_t* next, float* sums) {
  switch (x.rows) {
    case 1:
      return MultiplyTile<Traits, 1>(x, w, column, columns, next, sums);
    case 2:
      return MultiplyTile<Traits, 2>(x, w, column, columns, next, sums);
    case 3:
      return MultiplyTile<Traits, 3>(x, w, column, columns, next, sums);
#if HWY_CAP_GE512
    case 4:
      return MultiplyTile<Traits, 4>(x, w, column, columns, next, sums);
    case 5:
      return MultiplyTile<Traits, 5>(x, w, column, columns, next, sums);
    default:
      return MultiplyTile<Traits, 6>(x, w, column, columns, next, sums);
#endif
  }
}

// sums [rows of the tiles][PanelRows()] += tiles of x with one panel. `ahead` is fetched meanwhile,
// some with each tile.
template <class Traits>
HWY_INLINE void MultiplyTiles(std::span<const Int8Tile> tiles, const Panel& w, int64_t column,
                              int64_t columns, std::span<const std::byte> ahead, float* sums) {
  const auto bytes = static_cast<int64_t>(ahead.size());
  const int64_t part = RoundUp(CeilDiv(bytes, static_cast<int64_t>(tiles.size())), kLine);
  const std::byte* from = ahead.data();
  for (size_t tile = 0; tile < tiles.size(); ++tile, from += part) {
    const Int8Tile& next = tiles[std::min(tile + 1, tiles.size() - 1)];
    for (int64_t i = 0; i < part; i += kLine) FetchLine(from + i);
    MultiplyTileOf<Traits>(tiles[tile], w, column, columns,
                           next.q + column * next.rows * Traits::kBytes, sums);
    sums += tiles[tile].rows * PanelRows();
  }
}

// Rows of x whose sums with one panel are kept side by side while the columns pass by: in y, rows
// lie far apart and often push each other out of the cache. 66 KB at most; 512 rows fit.
constexpr int64_t kMostSumRows = (512 + kTileRows - 1) / kTileRows * kTileRows;

template <class Traits>
HWY_NOINLINE void MultiplyPanels(const PackedRows& x, const TileRange& tiles,
                                 const WeightMatrix& weight, Matrix y) {
  HWY_ALIGN float sums[kMostSumRows * kMostPanelRows];
  Panel panel;
  // Vectors of 512 bits unpack what has more than five bits faster than memory gives it; elsewhere
  // unpacking leaves it the time.
  constexpr bool kUnpacksFast =
      HWY_CAP_GE512 && 8 * sizeof(typename Traits::Block) > 5 * Traits::kBlock;
  const bool later = kUnpacksFast && Traits::kProducts != ByteProducts::kTiles && tiles.size() > 1;
  const int64_t first_row = tiles.begin * x.TileRows();
  const int64_t x_rows = std::min(tiles.end * x.TileRows(), x.rows) - first_row;
  Int8Tile x_tiles[kMostSumRows / kTileRows];
  for (int64_t i = 0; i < tiles.size(); ++i) x_tiles[i] = x.QuantizedTile(tiles.begin + i);
  for (int64_t row = 0; row < weight.rows; row += PanelRows()) {
    PanelBlocks<typename Traits::Block> blocks(weight, row);
    std::fill_n(sums, x_rows * PanelRows(), 0.0F);
    for (int64_t column = 0; column < weight.cols; column += kSuperBlock) {
      const int64_t columns = std::min<int64_t>(kSuperBlock, weight.cols - column);
      const auto ahead = FillPanel<Traits>(blocks, column, columns, later, panel);
      MultiplyTiles<Traits>({x_tiles, static_cast<size_t>(tiles.size())}, panel, column, columns,
                            ahead, sums);
    }
    StorePanel(sums, y.Rows(first_row, x_rows).Cols(row, std::min(PanelRows(), weight.rows - row)));
  }
}

}  // namespace fulmen::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // FULMEN_KERNELS_CPU_QUANTIZED_INL_H_
