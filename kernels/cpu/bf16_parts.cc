// Products x W^T of float32 rows with BF16 weights by AMX. x is the sum of three BF16 to the bit
// (activations-inl.h) and products of BF16 are exact in float32, so nothing is rounded but sums.
//
// Every output is one sum of a fixed order: block by block of kBf16Columns columns, in each of them
// the largest part of x first. Nothing in that order depends on the number of rows of x, or on how
// rows or outputs are cut into tasks.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/bf16_parts.cc"
#include <hwy/foreach_target.h>
// After foreach_target.h.
#include <hwy/highway.h>

#include "kernels/cpu/amx_tiles.h"
#include "kernels/cpu/bf16_panel-inl.h"
#include "kernels/cpu/elementwise-inl.h"
#include "kernels/cpu/multiply-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fulmen::cpu::HWY_NAMESPACE {

#if HWY_ARCH_X86_64 && HWY_TARGET == HWY_AVX3_DL
namespace {

// Blocks of a panel that stay in the L1 cache while tiles of x pass by.
constexpr int64_t kChunkBlocks = 8;
// Tiles of x and rows of W whose chunks and sums stay in the L2 cache: 384, 128 and 256 KB.
constexpr int64_t kMostTiles = 16;
constexpr int64_t kMostRows = 256;

// A tile of sums. They lie apart from y, whose rows push each other out of the cache.
using SumTile = float[kAmxRows][kAmxRows];
constexpr int64_t kSumStride = sizeof(SumTile) / kAmxRows;

// Blocks [begin, end) of all columns, which are worked on at once.
struct Chunk {
  int64_t begin, end;
  int64_t size() const { return end - begin; }
};

// A chunk of a tile of x.
struct XBlocks {
  const uint16_t* data;
  int64_t rows;
};

// sums [kTiles][2 kPanels] (+)= a chunk of kTiles tiles of x by kPanels panels of W, of which what
// lies `ahead` bytes further on is fetched meanwhile, unless that is 0.
template <int kTiles, int kPanels>
HWY_FLATTEN HWY_NOINLINE void MultiplyBlocks(const XBlocks (&x)[kTiles],
                                             const std::byte* const (&w)[kPanels],
                                             const Chunk& chunk, int64_t ahead,
                                             SumTile* const (&sums)[kTiles]) {
  constexpr int kWide = 2 * kPanels;
  constexpr int kFirstX = 4;  // of the registers; sums come before
  constexpr int kFirstW = kFirstX + kTiles;
  constexpr int kForW = 8 - kFirstW;
  static_assert(kTiles * kWide <= kFirstX);
  const int64_t panel_stride = PanelRows() * 4;
  ForEachIndex<kTiles * kWide>([&]<int kSum>() {
    if (chunk.begin == 0) return ClearTile<kSum>();
    LoadTile<kSum>(sums[kSum / kWide][kSum % kWide], kSumStride);
  });
  for (int64_t b = 0; b < chunk.size(); ++b) {
    const int64_t at = b * Bf16BlockBytes();
    ForEachIndex<kBf16PartsOfFloat>([&]<int kPart>() {
      ForEachIndex<kTiles>([&]<int kTile>() {
        const int64_t row = (b * kBf16PartsOfFloat + kPart) * x[kTile].rows;
        LoadTile<kFirstX + kTile>(x[kTile].data + row * kBf16Columns, kBf16RowBytes);
      });
      ForEachIndex<kWide>([&]<int kColumn>() {
        constexpr int kW = kFirstW + kColumn % kForW;
        const std::byte* panel = w[kColumn / 2] + at;
        // Where there is no register for each, they are loaded anew for each part.
        if constexpr (kPart == 0 || kWide > kForW) {
          LoadTile<kW>(panel + kColumn % 2 * int64_t{kLine}, panel_stride);
        }
        ForEachIndex<kTiles>(
            [&]<int kTile>() { AddBf16Products<kTile * kWide + kColumn, kFirstX + kTile, kW>(); });
        if (ahead == 0) return;
        // A sixth of the lines of the panel.
        constexpr int kStep = 2 * kPart + kColumn % 2;
        const int64_t lines = Bf16BlockBytes() / kLine;
        for (int64_t i = lines * kStep / 6; i < lines * (kStep + 1) / 6; ++i) {
          FetchLine(panel + ahead + i * kLine);
        }
      });
    });
  }
  ForEachIndex<kTiles * kWide>(
      [&]<int kSum>() { StoreTile<kSum>(sums[kSum / kWide][kSum % kWide], kSumStride); });
}

// A chunk of two panels, or of one where the weight has no more.
class PanelPair {
 public:
  PanelPair(const WeightMatrix& weight, int64_t row, const Chunk& chunk) {
    for (; count_ < 2 && row < weight.rows; ++count_, row += PanelRows()) {
      if (weight.layout == WeightLayout::kRepacked) {
        panels_[count_] = weight.row(row) + chunk.begin * Bf16BlockBytes();
        continue;
      }
      std::byte* to = gathered_ + count_ * kChunkBlocks * Bf16BlockBytes();
      panels_[count_] = to;
      const StoredRows stored(weight, row);
      for (int64_t b = chunk.begin; b < chunk.end; ++b, to += Bf16BlockBytes()) {
        GatherBf16Block(stored, weight.cols, b, chunk.size() * kBf16RowBytes, to);
      }
    }
  }
  int64_t count() const { return count_; }
  const std::byte* operator[](int64_t i) const { return panels_[i]; }

 private:
  const std::byte* panels_[2] = {};
  int64_t count_ = 0;
  alignas(kLine) std::byte gathered_[2 * kChunkBlocks * kMostPanelRows * kBf16RowBytes];
};

// sums of tile t at sums + t * stride, for a pair of panels.
void MultiplyPair(const PackedRows& x, const TileRange& tiles, const PanelPair& w,
                  const Chunk& chunk, int64_t ahead, SumTile* sums, int64_t stride) {
  const auto x_blocks = [&](int64_t tile) {
    const int64_t rows = x.RowsOf(tile);
    return XBlocks{x.Bf16Tile(tile) + chunk.begin * kBf16PartsOfFloat * rows * kBf16Columns, rows};
  };
  int64_t tile = tiles.begin;
  for (; tile + 2 <= tiles.end; tile += 2, sums += 2 * stride, ahead = 0) {
    for (int64_t p = 0; p < w.count(); ++p) {
      MultiplyBlocks<2, 1>({x_blocks(tile), x_blocks(tile + 1)}, {w[p]}, chunk, ahead,
                           {sums + 2 * p, sums + stride + 2 * p});
    }
  }
  if (tile == tiles.end) return;
  if (w.count() == 2) {
    MultiplyBlocks<1, 2>({x_blocks(tile)}, {w[0], w[1]}, chunk, ahead, {sums});
  } else {
    MultiplyBlocks<1, 1>({x_blocks(tile)}, {w[0]}, chunk, ahead, {sums});
  }
}

// y = the sums of some rows, `wide` tiles side by side.
void StoreSums(const SumTile* sums, int64_t wide, Matrix y) {
  for (int64_t r = 0; r < y.rows; ++r) {
    const SumTile* tiles = sums + r / kAmxRows * wide;
    for (int64_t c = 0; c < y.cols; c += kAmxRows) {
      StorePart(hn::Load(Floats(), tiles[c / kAmxRows][r % kAmxRows]), y.row(r) + c, y.cols - c);
    }
  }
}

// At most kMostTiles tiles by kMostRows rows of W; y begins with the first of those.
void MultiplyCached(const PackedRows& x, const TileRange& tiles, const WeightMatrix& weight,
                    Matrix y) {
  alignas(kLine) SumTile sums[kMostTiles * kMostRows / kAmxRows];
  const bool repacked = weight.layout == WeightLayout::kRepacked;
  const int64_t wide = RoundUp(weight.rows, PanelRows()) / kAmxRows;
  const int64_t blocks = CeilDiv(weight.cols, kBf16Columns);
  // One tile of x stays in the caches whole: then W is read in the order of memory.
  const bool in_order = repacked && tiles.size() == 1;
  const int64_t chunk_blocks = in_order ? blocks : kChunkBlocks;
  int64_t ahead = in_order ? kAhead : 2 * PanelRows() * weight.stride;  // or the next pair
  if (!repacked) ahead = 0;
  for (int64_t begin = 0; begin < blocks; begin += chunk_blocks) {
    const Chunk chunk = {begin, std::min(begin + chunk_blocks, blocks)};
    for (int64_t row = 0; row < weight.rows; row += 2 * PanelRows()) {
      MultiplyPair(x, tiles, PanelPair(weight, row, chunk), chunk, ahead, sums + row / kAmxRows,
                   wide);
    }
  }
  const int64_t first = tiles.begin * kAmxRows;
  StoreSums(sums, wide, y.Rows(first, std::min(tiles.end * kAmxRows, x.rows) - first));
}

}  // namespace

void MultiplyBf16Parts(const PackedRows& x, const TileRange& tiles, const WeightMatrix& weight,
                       Matrix y) {
  const AmxTiles registers;
  for (int64_t tile = tiles.begin; tile < tiles.end; tile += kMostTiles) {
    const TileRange some = {tile, std::min(tile + kMostTiles, tiles.end)};
    for (int64_t row = 0; row < weight.rows; row += kMostRows) {
      const int64_t rows = std::min(kMostRows, weight.rows - row);
      MultiplyCached(x, some, weight.Rows(row, rows), y.Cols(row, rows));
    }
  }
}

#else

void MultiplyBf16Parts(const PackedRows& /*x*/, const TileRange& /*tiles*/,
                       const WeightMatrix& /*weight*/, Matrix /*y*/) {
  FULMEN_CHECK(false, "this instruction set has no AMX");
}

#endif  // HWY_ARCH_X86_64 && HWY_TARGET == HWY_AVX3_DL

}  // namespace fulmen::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
