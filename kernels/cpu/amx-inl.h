// Products of rows of x with weights of kWholeScales by AMX, which multiplies tiles of bytes.
// Included once per instruction set; there is code for AVX3_DL alone, which every processor with
// AMX has.
//
// The sums are those of quantized-inl.h, to the bit (of several NaN, any may come out). A value
// times its scale does not fit a byte, so the scale is taken apart: the values times its low three
// bits and times its high three bits are two panels, whose sums over a block are exact.
#if defined(FULMEN_KERNELS_CPU_AMX_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FULMEN_KERNELS_CPU_AMX_INL_H_
#undef FULMEN_KERNELS_CPU_AMX_INL_H_
#else
#define FULMEN_KERNELS_CPU_AMX_INL_H_
#endif

#include <span>

#include "base/matrix.h"
#include "kernels/cpu/activations-inl.h"
#include "kernels/cpu/amx_tiles.h"
#include "kernels/cpu/gemm-inl.h"
#include "kernels/cpu/panel-inl.h"

#if HWY_ARCH_X86_64 && HWY_TARGET == HWY_AVX3_DL

HWY_BEFORE_NAMESPACE();
namespace fulmen::cpu::HWY_NAMESPACE {

// Has kAmxColumns columns of a tile fetched, which tile loads wait for otherwise.
HWY_INLINE void FetchRows(const Int8Tile& x, int64_t column) {
  const uint8_t* rows = x.q + column * x.rows;
  HWY_UNROLL(16)
  for (int64_t r = 0; r < kAmxRows; ++r) __builtin_prefetch(rows + kAmxColumns * r, 0, 3);
}

// Tile registers: 0 to 3 are the sums of the values by the low and the high bits of their scales
// for both vectors of a panel; 4 is x, 5 and 6 are w.

// The sums of a block: [vector][low, high][kAmxRows][16].
struct alignas(kLine) BlockSums {
  int32_t sums[kPanelVecs][2][kAmxRows * 16];
  int32_t gap[16];  // so that those of two blocks do not lie at the same place of a page
};

// Part `part` of a block, kAmxColumns columns, of a tile of x by a panel.
HWY_INLINE void MultiplyPart(const Int8Tile& x, const Panel& w, int64_t column, int64_t part) {
  const uint8_t* rows = x.q + (column + kAmxColumns * part) * x.rows;
  const int64_t first = 4 * Panel::At(kAmxColumns / 4 * part, 0);
  LoadTile<4>(rows, kAmxColumns);
  ForEachIndex<kPanelVecs>([&]<int kVec>() {
    LoadTile<5>(w.values + first + kVec * kLine, 4 * PanelRows());
    AddByteProducts<2 * kVec, 4, 5>();
    LoadTile<6>(w.high_values + first + kVec * kLine, 4 * PanelRows());
    AddByteProducts<2 * kVec + 1, 4, 6>();
  });
}
HWY_INLINE void ClearSums() {
  ForEachIndex<2 * kPanelVecs>([]<int kSum>() { ClearTile<kSum>(); });
}
HWY_INLINE void StoreSums(BlockSums& to) {
  ForEachIndex<2 * kPanelVecs>(
      [&]<int kSum>() { StoreTile<kSum>(to.sums[kSum / 2][kSum % 2], kLine); });
}

// to [4][PanelRows()] += the block of rows [row, row + 4) of a tile.
HWY_INLINE void AddBlockRows(const BlockSums& block, const Int8Tile& x, const Panel& w,
                             int64_t column, int64_t row, float* HWY_RESTRICT to) {
  const Floats d;
  const Ints di;
  const int64_t first = column / kSuperBlock * x.rows + row;
  const int32_t* x_sums = x.sum_pairs + first * kPairs;
  const float* steps = x.steps + first;
  to += row * PanelRows();
  HWY_UNROLL(2)
  for (int v = 0; v < kPanelVecs; ++v) {
    const WholeScales scales(w, v);
    HWY_UNROLL(4)
    for (int r = 0; r < 4; ++r) {
      const int64_t at = (row + r) * 16;
      const IntsV low = hn::Load(di, block.sums[v][0] + at);
      const IntsV high = hn::Load(di, block.sums[v][1] + at);
      const FloatsV sum = hn::ConvertTo(d, hn::Add(low, hn::ShiftLeft<3>(high)));
      const FloatsV scaled = scales.Scale(sum, x_sums + r * kPairs);
      float* out = to + Panel::At(r, v);
      hn::Store(hn::MulAdd(hn::Set(d, steps[r]), scaled, hn::Load(d, out)), d, out);
    }
  }
}

// sums += tiles of x by one panel, a block of kWholeScales: some tiles are multiplied, then what
// came out of them is scaled and added.
template <class Traits>
requires(Traits::kProducts == ByteProducts::kTiles) HWY_FLATTEN HWY_NOINLINE
    void MultiplyTiles(std::span<const Int8Tile> tiles, const Panel& w, int64_t column,
                       int64_t /*columns*/, std::span<const std::byte> /*ahead*/, float* sums) {
  constexpr int kParts = kSuperBlock / kAmxColumns;
  constexpr size_t kTogether = 4;
  BlockSums blocks[kTogether];
  for (size_t first = 0; first < tiles.size(); first += kTogether) {
    const size_t count = std::min(kTogether, tiles.size() - first);
    for (size_t i = 0; i < count; ++i) {
      const Int8Tile& next = tiles[std::min(first + i + 1, tiles.size() - 1)];
      ClearSums();
      for (int part = 0; part < kParts; ++part) {
        FetchRows(next, column + kAmxColumns * part);
        MultiplyPart(tiles[first + i], w, column, part);
      }
      StoreSums(blocks[i]);
    }
    for (size_t i = 0; i < count; ++i, sums += kAmxRows * PanelRows()) {
      const Int8Tile& tile = tiles[first + i];
      for (int64_t row = 0; row < tile.rows; row += 4) {
        AddBlockRows(blocks[i], tile, w, column, row, sums);
      }
    }
  }
}

}  // namespace fulmen::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // HWY_ARCH_X86_64 && HWY_TARGET == HWY_AVX3_DL

#endif  // FULMEN_KERNELS_CPU_AMX_INL_H_
