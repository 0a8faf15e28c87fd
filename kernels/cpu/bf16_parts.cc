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
#include "kernels/cpu/multiply-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fulmen::cpu::HWY_NAMESPACE {

#if HWY_ARCH_X86_64 && HWY_TARGET == HWY_AVX3_DL
namespace {

// Blocks of a panel that stay in the L1 cache while all tiles of x pass by, which many of stay in
// the L2 cache.
constexpr int64_t kChunkBlocks = 8;
constexpr int64_t kTilesTogether = 32;
constexpr int64_t kSide = 16;  // of a tile of sums

// What a few tiles of x by a few of W are to give: sums [rows][columns] of y. Each tile of them
// lies in y, or where that is too small for it, in a buffer until all columns are done.
template <int kTiles, int kWide>
class Sums {
 public:
  Sums(Matrix y, bool first)
      : y_(y), whole_(y.rows == kTiles * kSide && y.cols == kWide * kSide), first_(first) {
    if (!whole_ && !first_) Copy([](float* inside, float* outside) { *inside = *outside; });
  }
  void Load() {
    ForEachIndex<kTiles * kWide>(
        [&]<int kSum>() { first_ ? ClearTile<kSum>() : LoadTile<kSum>(At(kSum), Stride()); });
  }
  void Store() {
    ForEachIndex<kTiles * kWide>([&]<int kSum>() { StoreTile<kSum>(At(kSum), Stride()); });
    if (!whole_) Copy([](float* inside, float* outside) { *outside = *inside; });
  }

 private:
  float* At(int sum) {
    const int64_t row = sum / kWide * kSide;
    const int64_t column = sum % kWide * kSide;
    return whole_ ? y_.row(row) + column : buffer_ + row * kWide * kSide + column;
  }
  int64_t Stride() const {
    return (whole_ ? y_.stride : kWide * kSide) * static_cast<int64_t>(sizeof(float));
  }
  template <class Move>
  void Copy(const Move& move) {
    for (int64_t r = 0; r < y_.rows; ++r) {
      for (int64_t c = 0; c < y_.cols; ++c) move(buffer_ + r * kWide * kSide + c, y_.row(r) + c);
    }
  }

  Matrix y_;
  bool whole_;
  bool first_;
  alignas(kLine) float buffer_[kTiles * kWide * kSide * kSide];
};

// Some blocks of a tile of x.
struct XBlocks {
  const uint16_t* data;
  int64_t rows;
};

// sums += `blocks` blocks of kTiles tiles of x by kPanels panels of W, of which what lies `ahead`
// bytes further on is fetched meanwhile, unless that is 0.
template <int kTiles, int kPanels>
HWY_FLATTEN HWY_NOINLINE void MultiplyBlocks(const XBlocks (&x)[kTiles],
                                             const std::byte* const (&w)[kPanels], int64_t blocks,
                                             int64_t ahead, Sums<kTiles, 2 * kPanels>& sums) {
  constexpr int kWide = 2 * kPanels;
  constexpr int kFirstX = 4;  // of the registers; sums come before
  constexpr int kFirstW = kFirstX + kTiles;
  constexpr int kForW = 8 - kFirstW;
  static_assert(kTiles * kWide <= kFirstX);
  const int64_t panel_stride = PanelRows() * 4;
  sums.Load();
  for (int64_t b = 0; b < blocks; ++b) {
    const int64_t at = b * Bf16BlockBytes();
    for (int p = 0; p < kPanels && ahead != 0; ++p) {
      for (int64_t i = 0; i < Bf16BlockBytes(); i += kLine) FetchLine(w[p] + at + ahead + i);
    }
    ForEachIndex<kBf16PartsOfFloat>([&]<int kPart>() {
      ForEachIndex<kTiles>([&]<int kTile>() {
        const int64_t row = (b * kBf16PartsOfFloat + kPart) * x[kTile].rows;
        LoadTile<kFirstX + kTile>(x[kTile].data + row * kBf16Columns, kBf16RowBytes);
      });
      ForEachIndex<kWide>([&]<int kColumn>() {
        constexpr int kW = kFirstW + kColumn % kForW;
        // Where there is no register for each, they are loaded anew for each part.
        if constexpr (kPart == 0 || kWide > kForW) {
          LoadTile<kW>(w[kColumn / 2] + at + kColumn % 2 * int64_t{kLine}, panel_stride);
        }
        ForEachIndex<kTiles>(
            [&]<int kTile>() { AddBf16Products<kTile * kWide + kColumn, kFirstX + kTile, kW>(); });
      });
    });
  }
  sums.Store();
}

// Blocks [begin, end) of all columns, which are worked on at once.
struct Chunk {
  int64_t begin, end;
  int64_t size() const { return end - begin; }
};

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

// y (+)= `tiles` of x by a pair of panels, a chunk of the columns; y.data is that of row 0 of x.
void MultiplyPair(const PackedRows& x, const TileRange& tiles, const PanelPair& w,
                  const Chunk& chunk, int64_t ahead, Matrix y) {
  const auto x_blocks = [&](int64_t tile) {
    const int64_t rows = x.RowsOf(tile);
    return XBlocks{x.Bf16Tile(tile) + chunk.begin * kBf16PartsOfFloat * rows * kBf16Columns, rows};
  };
  // Of `count` tiles from `tile` on and columns [first, first + columns), or those that there are.
  const auto part = [&](int64_t tile, int64_t count, int64_t first, int64_t columns) {
    const int64_t row = tile * kAmxRows;
    return y.Rows(row, std::min(count * kAmxRows, x.rows - row))
        .Cols(first, std::min(columns, y.cols - first));
  };
  const bool first = chunk.begin == 0;
  int64_t tile = tiles.begin;
  for (; tile + 2 <= tiles.end; tile += 2, ahead = 0) {
    for (int64_t p = 0; p < w.count(); ++p) {
      Sums<2, 2> sums(part(tile, 2, p * PanelRows(), PanelRows()), first);
      MultiplyBlocks<2, 1>({x_blocks(tile), x_blocks(tile + 1)}, {w[p]}, chunk.size(), ahead, sums);
    }
  }
  if (tile == tiles.end) return;
  if (w.count() == 2) {
    Sums<1, 4> sums(part(tile, 1, 0, 2 * PanelRows()), first);
    MultiplyBlocks<1, 2>({x_blocks(tile)}, {w[0], w[1]}, chunk.size(), ahead, sums);
  } else {
    Sums<1, 2> sums(part(tile, 1, 0, PanelRows()), first);
    MultiplyBlocks<1, 1>({x_blocks(tile)}, {w[0]}, chunk.size(), ahead, sums);
  }
}

}  // namespace

void MultiplyBf16Parts(const PackedRows& x, const TileRange& tiles, const WeightMatrix& weight,
                       Matrix y) {
  const AmxTiles registers;
  const bool repacked = weight.layout == WeightLayout::kRepacked;
  const int64_t blocks = CeilDiv(weight.cols, kBf16Columns);
  // One tile of x stays in the caches whole: then W is read in the order of memory.
  const bool in_order = repacked && tiles.size() == 1;
  const int64_t chunk_blocks = in_order ? blocks : kChunkBlocks;
  for (int64_t begin = 0; begin < blocks; begin += chunk_blocks) {
    const Chunk chunk = {begin, std::min(begin + chunk_blocks, blocks)};
    for (int64_t tile = tiles.begin; tile < tiles.end; tile += kTilesTogether) {
      const TileRange together = {tile, std::min(tile + kTilesTogether, tiles.end)};
      int64_t ahead = in_order ? kAhead : 2 * PanelRows() * weight.stride;  // or the next pair
      if (!repacked || tile != tiles.begin) ahead = 0;
      for (int64_t row = 0; row < weight.rows; row += 2 * PanelRows()) {
        const PanelPair pair(weight, row, chunk);
        const int64_t columns = std::min(2 * PanelRows(), weight.rows - row);
        MultiplyPair(x, together, pair, chunk, ahead, y.Cols(row, columns));
      }
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
