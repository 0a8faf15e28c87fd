// Products x W^T of float32 rows with float32, float16 or bfloat16 weights: the shared core of
// linear and moe.
//
// Every output is one sum of a fixed order: `in` is cut into blocks of kBlock; within a block lane
// l adds the products at l, l + N, l + 2N, ... (N lanes); the lanes are added as a fixed tree;
// block sums are added from first to last. Nothing in that order depends on the number of rows of
// x, on how rows or outputs are cut into tasks, or on the type of the weights.
//
// One register tile is kTileRows rows of x by kTileCols rows of W, both read along `in`. Weights
// come straight from where they lie; where several tiles of x share them and the L1 cache has the
// room, the first one widens them and keeps them there side by side.
#if defined(FULMEN_KERNELS_CPU_GEMM_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FULMEN_KERNELS_CPU_GEMM_INL_H_
#undef FULMEN_KERNELS_CPU_GEMM_INL_H_
#else
#define FULMEN_KERNELS_CPU_GEMM_INL_H_
#endif

#include <algorithm>

#include "base/machine.h"
#include "base/matrix.h"
#include "kernels/context.h"
#include "kernels/cpu/activations-inl.h"
#include "kernels/cpu/math-inl.h"
#include "kernels/cpu/weights-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fulmen::cpu::HWY_NAMESPACE {

constexpr int64_t kTileCols = 4;
// A block of one tile of x stays in the L1 cache while weights stream past it from the L2 cache.
constexpr int64_t kBlock = 1024;
// Tiles of x of which a block stays in the L2 cache: 384 KB.
constexpr int64_t kCachedTiles = 96 / kTileRows;
// Rows of W per task: enough that a block of x is worth reading from beyond the L2 cache.
constexpr int64_t kTaskRows = 256;

constexpr int kLine = 64;  // bytes of a cache line

using Floats4 = hn::Full128<float>;
using Floats4V = hn::Vec<Floats4>;

// Fetches the cache line at `from` into the L2 cache. Not into L1: filling that from memory holds
// up the loads of the present (measured: 18 instead of 28 GB/s on a Zen 4 core).
HWY_INLINE void FetchLine(const void* from) { __builtin_prefetch(from, 0, 2); }

// Weights as they lie in memory.
template <class T>
struct DirectWeights {
  const T* rows[kTileCols];

  HWY_INLINE FloatsV Load(int64_t row, int64_t vector) const {
    return Widen(Floats(), rows[row] + vector * LaneCount());
  }
  HWY_INLINE FloatsV LoadFirst(int64_t row, int64_t vector, int64_t count) const {
    return WidenFirst(Floats(), rows[row] + vector * LaneCount(), static_cast<size_t>(count));
  }
};

// The weights that come after those at hand. While these are worked on, the same lines of what
// comes next are fetched; many rows at once and L2 fetches together keep the memory busy.
template <class T>
struct NextWeights {
  DirectWeights<T> block;
  int64_t begin, end;  // those of its rows that the tile at hand fetches

  HWY_INLINE void Fetch(int64_t vector) const {
    for (int64_t r = begin; r < end; ++r) FetchLine(block.rows[r] + vector * LaneCount());
  }
};

// A block of widened weights: kTileCols rows beside each other, vector by vector, padded.
struct WidenedWeights {
  const float* panel;

  HWY_INLINE FloatsV Load(int64_t row, int64_t vector) const {
    return hn::Load(Floats(), panel + (vector * kTileCols + row) * LaneCount());
  }
  HWY_INLINE FloatsV LoadFirst(int64_t row, int64_t vector, int64_t) const {
    return Load(row, vector);
  }
};

// As DirectWeights; what is widened is kept as WidenedWeights for the tiles that follow.
template <class T>
struct KeptWeights {
  DirectWeights<T> from;
  float* panel;

  HWY_INLINE FloatsV Keep(FloatsV widened, int64_t row, int64_t vector) const {
    hn::Store(widened, Floats(), panel + (vector * kTileCols + row) * LaneCount());
    return widened;
  }
  HWY_INLINE FloatsV Load(int64_t row, int64_t vector) const {
    return Keep(from.Load(row, vector), row, vector);
  }
  HWY_INLINE FloatsV LoadFirst(int64_t row, int64_t vector, int64_t count) const {
    return Keep(from.LoadFirst(row, vector, count), row, vector);
  }
};

// The sum of all lanes of each of four vectors: halves are added until four lanes remain, then
// lanes 0+2 and 1+3, then those two.
template <class D>
HWY_INLINE Floats4V FoldToFour(D, hn::Vec<D> v) {
  if constexpr (hn::MaxLanes(D()) == 4) {
    return v;
  } else {
    const hn::Half<D> half;
    return FoldToFour(half, hn::Add(hn::LowerHalf(half, v), hn::UpperHalf(half, v)));
  }
}
HWY_INLINE Floats4V SumLanes(FloatsV v0, FloatsV v1, FloatsV v2, FloatsV v3) {
  const Floats d;
  const Floats4 d4;
  const Floats4V a = FoldToFour(d, v0);
  const Floats4V b = FoldToFour(d, v1);
  const Floats4V c = FoldToFour(d, v2);
  const Floats4V e = FoldToFour(d, v3);
  const Floats4V ab = hn::Add(hn::InterleaveLower(d4, a, b), hn::InterleaveUpper(d4, a, b));
  const Floats4V ce = hn::Add(hn::InterleaveLower(d4, c, e), hn::InterleaveUpper(d4, c, e));
  return hn::Add(hn::ConcatLowerLower(d4, ce, ab), hn::ConcatUpperUpper(d4, ce, ab));
}

// Where a tile's sums go: y[row][0 .. cols), added to what is there unless this is the first block.
struct TileOutput {
  float* data;
  int64_t stride;
  int64_t cols;
  bool first;
};

HWY_INLINE void AddToOutput(Floats4V sums, int64_t row, const TileOutput& y) {
  const Floats4 d4;
  float* to = y.data + row * y.stride;
  if (HWY_LIKELY(y.cols == kTileCols)) {
    hn::StoreU(y.first ? sums : hn::Add(hn::LoadU(d4, to), sums), d4, to);
    return;
  }
  float buffer[kTileCols] = {};
  if (!y.first) std::memcpy(buffer, to, static_cast<size_t>(y.cols) * sizeof(float));
  if (!y.first) sums = hn::Add(hn::LoadU(d4, buffer), sums);
  hn::StoreU(sums, d4, buffer);
  std::memcpy(to, buffer, static_cast<size_t>(y.cols) * sizeof(float));
}

// The last vector of a block, which has but `count` elements.
template <class Weights>
struct LastVector {
  const Weights& weights;
  int64_t count;

  HWY_INLINE FloatsV Load(int64_t row, int64_t vector) const {
    return weights.LoadFirst(row, vector, count);
  }
};

// sums += the products of one vector of each row of a tile of x, which lie side by side at `x`, and
// of vector `v` of the weights. Registers hold the weights while the rows pass by or, where those
// are too few for that, the rows while the weights do.
template <int kRows, class Weights>
HWY_INLINE void AddProducts(const float* HWY_RESTRICT x, const Weights& w, int64_t v,
                            FloatsV (&sums)[kRows][kTileCols]) {
  constexpr int kRegisters = HWY_CAP_GE512 ? 32 : 16;
  const Floats d;
  if constexpr ((kRows + 1) * kTileCols < kRegisters) {
    FloatsV weights[kTileCols];
    HWY_UNROLL(8)
    for (int c = 0; c < kTileCols; ++c) weights[c] = w.Load(c, v);
    HWY_UNROLL(8)
    for (int r = 0; r < kRows; ++r) {
      const FloatsV row = hn::Load(d, x + r * LaneCount());
      HWY_UNROLL(8)
      for (int c = 0; c < kTileCols; ++c) sums[r][c] = hn::MulAdd(row, weights[c], sums[r][c]);
    }
  } else {
    FloatsV rows[kRows];
    HWY_UNROLL(8)
    for (int r = 0; r < kRows; ++r) rows[r] = hn::Load(d, x + r * LaneCount());
    HWY_UNROLL(8)
    for (int c = 0; c < kTileCols; ++c) {
      const FloatsV weights = w.Load(c, v);
      HWY_UNROLL(8)
      for (int r = 0; r < kRows; ++r) sums[r][c] = hn::MulAdd(rows[r], weights, sums[r][c]);
    }
  }
}

// One tile over one block of `count` elements; x points at the block within its packed tile.
template <int kRows, class Weights, class T>
HWY_INLINE void ComputeTile(const float* HWY_RESTRICT x, const Weights& w,
                            const NextWeights<T>& next, int64_t count, const TileOutput& y) {
  constexpr int kVectorsPerLine =
      std::max<int>(1, kLine / static_cast<int>(sizeof(T) * hn::MaxLanes(Floats())));
  const int64_t lanes = LaneCount();
  FloatsV sums[kRows][kTileCols];
  HWY_UNROLL(8)
  for (auto& row : sums) {
    HWY_UNROLL(8)
    for (auto& sum : row) sum = hn::Zero(Floats());
  }
  const int64_t vectors = count / lanes;
  int64_t v = 0;
  for (; v + kVectorsPerLine <= vectors; v += kVectorsPerLine) {
    next.Fetch(v);
    HWY_UNROLL(8)
    for (int i = 0; i < kVectorsPerLine; ++i) {
      AddProducts(x, w, v + i, sums);
      x += kRows * lanes;
    }
  }
  for (; v < vectors; ++v, x += kRows * lanes) AddProducts(x, w, v, sums);
  if (const int64_t rest = count - vectors * lanes; rest != 0) {
    AddProducts(x, LastVector<Weights>{w, rest}, v, sums);
  }
  HWY_UNROLL(8)
  for (int r = 0; r < kRows; ++r) {
    AddToOutput(SumLanes(sums[r][0], sums[r][1], sums[r][2], sums[r][3]), r, y);
  }
}

template <class Weights, class T>
inline void ComputeTileOf(int64_t rows, const float* x, const Weights& w,
                          const NextWeights<T>& next, int64_t count, const TileOutput& y) {
  switch (rows) {
    case 1:
      return ComputeTile<1>(x, w, next, count, y);
    case 2:
      return ComputeTile<2>(x, w, next, count, y);
    case 3:
      return ComputeTile<3>(x, w, next, count, y);
#if HWY_CAP_GE512
    case 4:
      return ComputeTile<4>(x, w, next, count, y);
    case 5:
      return ComputeTile<5>(x, w, next, count, y);
    default:
      return ComputeTile<6>(x, w, next, count, y);
#endif
  }
}

// Some rows of W, `in` elements each.
template <class T>
struct WeightRows {
  WeightElements<T> elements;
  int64_t count;
  int64_t in;

  // Elements from k on of rows [row, row + kTileCols); the last row stands for those behind it.
  HWY_INLINE DirectWeights<T> Block(int64_t row, int64_t k) const {
    DirectWeights<T> block;
    for (int64_t c = 0; c < kTileCols; ++c) {
      block.rows[c] = elements.row(std::min(row + c, count - 1)) + k;
    }
    return block;
  }
};

struct TileRange {
  int64_t begin, end;
  int64_t size() const { return end - begin; }
};

// Whether so many tiles of x are worth keeping widened weights for. Where these and a tile of x
// do not fit the L1 cache together, they push each other out, and to widen weights anew for every
// tile is faster, also for hundreds of them (measured on a Zen 4, whose L1 has 32 KB).
inline bool WorthKeeping(int64_t tiles) {
  constexpr int64_t kFewest = HWY_CAP_GE512 ? 2 : 3;
  constexpr int64_t kBytes = (kTileRows + kTileCols) * kBlock * int64_t{sizeof(float)};
  static const bool fits = L1DataCacheBytes() >= kBytes;
  return tiles >= kFewest && fits;
}

// One block of weights, `count` elements from k on, with each of `tiles` of x. `panel` holds
// kTileCols * kBlock floats; y.data is that of row 0 of x.
template <class T>
inline void MultiplyBlock(const PackedRows& x, const TileRange& tiles, const DirectWeights<T>& w,
                          const DirectWeights<T>& next, int64_t k, int64_t count, float* panel,
                          const TileOutput& y) {
  const bool keep = WorthKeeping(tiles.size());
  for (int64_t tile = tiles.begin; tile < tiles.end; ++tile) {
    const int64_t rows = x.RowsOf(tile);
    const float* x_block = x.FloatTile(tile) + rows * k;
    // Each tile fetches some of the rows, so that memory is busy all the time.
    const NextWeights<T> fetched = {next, (tile - tiles.begin) * kTileCols / tiles.size(),
                                    (tile + 1 - tiles.begin) * kTileCols / tiles.size()};
    const TileOutput to = {y.data + tile * kTileRows * y.stride, y.stride, y.cols, y.first};
    if (!keep) {
      ComputeTileOf(rows, x_block, w, fetched, count, to);
    } else if (tile == tiles.begin) {
      ComputeTileOf(rows, x_block, KeptWeights<T>{w, panel}, fetched, count, to);
    } else {
      ComputeTileOf(rows, x_block, WidenedWeights{panel}, fetched, count, to);
    }
  }
}

// y[:, 0 .. w.count) of `tiles` of x; y.data is that of row 0 of x. Few rows of x stay in the L2
// cache whole, and the weights are read a few rows at a time to their end; of more rows, one block
// of up to kCachedTiles stays there while all rows of W pass by.
template <class T>
inline void MultiplyRows(const PackedRows& x, const TileRange& tiles, const WeightRows<T>& w,
                         Matrix y) {
  HWY_ALIGN float panel[kTileCols * kBlock];
  const bool few = tiles.size() * x.cols <= kCachedTiles * kBlock;
  const int64_t rows = few ? kTileCols : w.count;
  for (int64_t first = 0; first < w.count; first += rows) {
    const int64_t end = std::min(first + rows, w.count);
    for (int64_t k = 0; k < w.in; k += kBlock) {
      for (int64_t tile = tiles.begin; tile < tiles.end; tile += kCachedTiles) {
        const TileRange cached = {tile, std::min(tile + kCachedTiles, tiles.end)};
        for (int64_t row = first; row < end; row += kTileCols) {
          const int64_t cols = std::min(kTileCols, end - row);
          const bool last_row = row + kTileCols >= end;
          const bool last_block = k + kBlock >= w.in;
          const DirectWeights<T> next = !last_row    ? w.Block(row + kTileCols, k)
                                        : last_block ? w.Block(end, 0)
                                                     : w.Block(first, k + kBlock);
          MultiplyBlock(x, cached, w.Block(row, k), next, k, std::min(kBlock, w.in - k), panel,
                        {y.data + row, y.stride, cols, k == 0});
        }
      }
    }
  }
}

}  // namespace fulmen::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // FULMEN_KERNELS_CPU_GEMM_INL_H_
