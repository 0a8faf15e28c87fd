// Products x W^T of float32 rows with float32, float16 or bfloat16 weights: the shared core of
// linear and moe.
//
// Every output is one sum of a fixed order: `in` is cut into blocks of kBlock; within a block lane
// l adds the products at l, l + N, l + 2N, ... (N lanes); the lanes are added as a fixed tree;
// block sums are added from first to last. Nothing in that order depends on the number of rows of
// x, on how rows or outputs are cut into tasks, or on the type of the weights.
//
// One register tile is kTileRows rows of x by kTileCols rows of W, both read along `in`. Up to
// kDirectRows rows of x, the weights come straight from where they lie; with more, a block of
// weights is widened once into panels that stay in the L2 cache while all rows of x pass by.
#if defined(FULMEN_KERNELS_CPU_GEMM_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FULMEN_KERNELS_CPU_GEMM_INL_H_
#undef FULMEN_KERNELS_CPU_GEMM_INL_H_
#else
#define FULMEN_KERNELS_CPU_GEMM_INL_H_
#endif

#include <algorithm>

#include "base/matrix.h"
#include "kernels/context.h"
#include "kernels/cpu/math-inl.h"
#include "kernels/cpu/weights-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fulmen::cpu::HWY_NAMESPACE {

// 6 x 4 sums, 4 weights and one row of x fit 32 registers; 2 x 4 sums with the same fit 16.
constexpr int64_t kTileRows = HWY_CAP_GE512 ? 6 : 2;
constexpr int64_t kTileCols = 4;
// A block of one tile of x stays in the L1 cache while weights stream past it from the L2 cache.
constexpr int64_t kBlock = 1024;
// Up to this many rows of x, a block of all of them stays in the L2 cache (at most 576 KB), and
// widening weights anew for each tile is cheaper than writing panels.
constexpr int64_t kDirectRows = 24 * kTileRows;
// Rows of W widened at once: 512 KB of a block.
constexpr int64_t kWeightPanelRows = 128;
constexpr int64_t kWeightPanelFloats = kWeightPanelRows * kBlock;
// Rows of W per task: several panels, since all but the first are fetched ahead.
constexpr int64_t kTaskRows = 256;

constexpr int kLine = 64;  // bytes of a cache line

using Floats4 = hn::Full128<float>;
using Floats4V = hn::Vec<Floats4>;

HWY_INLINE int64_t LaneCount() { return static_cast<int64_t>(hn::Lanes(Floats())); }
HWY_INLINE int64_t RoundUp(int64_t value, int64_t unit) { return (value + unit - 1) / unit * unit; }
HWY_INLINE int64_t CeilDiv(int64_t value, int64_t unit) { return (value + unit - 1) / unit; }

// Rows of x in the order a tile reads them: tiles of kTileRows rows (the last may have fewer), in
// each tile vector by vector along `in`, the tile's rows beside each other; padded with zeros to
// whole vectors.
struct PackedRows {
  const float* data;
  int64_t rows;
  int64_t cols;

  int64_t TileSize() const { return kTileRows * RoundUp(cols, LaneCount()); }
  int64_t Tiles() const { return CeilDiv(rows, kTileRows); }
  int64_t RowsOf(int64_t tile) const { return std::min(kTileRows, rows - tile * kTileRows); }
};

HWY_INLINE int64_t PackedSize(int64_t rows, int64_t cols) {
  return rows * RoundUp(cols, LaneCount());
}

// Packs `count` <= kTileRows rows as one tile.
inline void PackTile(const float* const* rows, int64_t count, int64_t cols, float* to) {
  const Floats d;
  const int64_t lanes = LaneCount();
  int64_t c = 0;
  for (; c + lanes <= cols; c += lanes) {
    for (int64_t r = 0; r < count; ++r, to += lanes) hn::Store(hn::LoadU(d, rows[r] + c), d, to);
  }
  if (c == cols) return;
  for (int64_t r = 0; r < count; ++r, to += lanes) {
    hn::Store(WidenFirst(d, rows[r] + c, static_cast<size_t>(cols - c)), d, to);
  }
}

// Fetches the cache line at `from` into the L2 cache. Not into L1: filling that from memory holds
// up the loads of the present (measured: 18 instead of 28 GB/s on a Zen 4 core).
HWY_INLINE void FetchLine(const void* from) { __builtin_prefetch(from, 0, 2); }

// Weights as they lie in memory. While the present block is worked on, the same lines of what comes
// next are fetched; many rows at once and L2 fetches together keep the memory busy.
template <class T>
struct DirectWeights {
  static constexpr int kVectorsPerLine =
      std::max<int>(1, kLine / static_cast<int>(sizeof(T) * hn::MaxLanes(Floats())));
  const T* rows[kTileCols];
  const T* next[kTileCols];        // the block that comes next, of each row
  int64_t fetch_begin, fetch_end;  // of `next`, by the tile at hand

  HWY_INLINE FloatsV Load(int64_t row, int64_t vector) const {
    return Widen(Floats(), rows[row] + vector * LaneCount());
  }
  HWY_INLINE FloatsV LoadFirst(int64_t row, int64_t vector, int64_t count) const {
    return WidenFirst(Floats(), rows[row] + vector * LaneCount(), static_cast<size_t>(count));
  }
  HWY_INLINE void Fetch(int64_t vector) const {
    for (int64_t r = fetch_begin; r < fetch_end; ++r) FetchLine(next[r] + vector * LaneCount());
  }
};

// Weights widened into a panel: kTileCols rows beside each other, vector by vector, padded.
struct PanelWeights {
  static constexpr int kVectorsPerLine = 1;
  const float* data;
  HWY_INLINE FloatsV Load(int64_t row, int64_t vector) const {
    return hn::Load(Floats(), data + (vector * kTileCols + row) * LaneCount());
  }
  HWY_INLINE FloatsV LoadFirst(int64_t row, int64_t vector, int64_t) const {
    return Load(row, vector);
  }
  HWY_INLINE void Fetch(int64_t) const {}
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

// sums += the products of vector `v` of a tile of x and of the weights; x points at that vector.
template <int kRows>
HWY_INLINE void AddProducts(const float* HWY_RESTRICT x, const FloatsV (&weights)[kTileCols],
                            FloatsV (&sums)[kRows][kTileCols]) {
  const Floats d;
  HWY_UNROLL(8)
  for (int r = 0; r < kRows; ++r) {
    const FloatsV row = hn::Load(d, x + r * LaneCount());
    HWY_UNROLL(8)
    for (int c = 0; c < kTileCols; ++c) sums[r][c] = hn::MulAdd(row, weights[c], sums[r][c]);
  }
}

// One tile over one block of `count` elements; x points at the block within its packed tile.
template <int kRows, class Weights>
HWY_INLINE void ComputeTile(const float* HWY_RESTRICT x, const Weights& w, int64_t count,
                            const TileOutput& y) {
  const int64_t lanes = LaneCount();
  FloatsV sums[kRows][kTileCols];
  HWY_UNROLL(8)
  for (auto& row : sums) {
    HWY_UNROLL(8)
    for (auto& sum : row) sum = hn::Zero(Floats());
  }
  FloatsV weights[kTileCols];
  const int64_t vectors = count / lanes;
  int64_t v = 0;
  const auto add_vector = [&]() HWY_ATTR {
    HWY_UNROLL(8)
    for (int c = 0; c < kTileCols; ++c) weights[c] = w.Load(c, v);
    AddProducts<kRows>(x, weights, sums);
    ++v;
    x += kRows * lanes;
  };
  while (v + Weights::kVectorsPerLine <= vectors) {
    w.Fetch(v);
    HWY_UNROLL(8)
    for (int i = 0; i < Weights::kVectorsPerLine; ++i) add_vector();
  }
  for (int64_t left = vectors - v; left > 0; --left) add_vector();
  if (const int64_t rest = count - vectors * lanes; rest != 0) {
    for (int c = 0; c < kTileCols; ++c) weights[c] = w.LoadFirst(c, v, rest);
    AddProducts<kRows>(x, weights, sums);
  }
  HWY_UNROLL(8)
  for (int r = 0; r < kRows; ++r) {
    AddToOutput(SumLanes(sums[r][0], sums[r][1], sums[r][2], sums[r][3]), r, y);
  }
}

template <class Weights>
inline void ComputeTileOf(int64_t rows, const float* x, const Weights& w, int64_t count,
                          const TileOutput& y) {
  switch (rows) {
    case 1:
      return ComputeTile<1>(x, w, count, y);
    case 2:
      return ComputeTile<2>(x, w, count, y);
#if HWY_CAP_GE512
    case 3:
      return ComputeTile<3>(x, w, count, y);
    case 4:
      return ComputeTile<4>(x, w, count, y);
    case 5:
      return ComputeTile<5>(x, w, count, y);
    default:
      return ComputeTile<6>(x, w, count, y);
#endif
  }
}

// Some rows of W, `in` elements each.
template <class T>
struct WeightRows {
  WeightElements<T> elements;
  int64_t count;
  int64_t in;

  const T* row(int64_t r) const { return elements.row(r); }
};

// Weights that will be needed next, fetched a part at a time while the present ones are worked on.
struct NextWeights {
  const std::byte* data;
  int64_t row_bytes;  // of the block
  int64_t stride;     // bytes
  int64_t rows;

  // Part `part` of `parts` of rows [first, first + kTileCols).
  HWY_INLINE void Fetch(int64_t first, int64_t part, int64_t parts) const {
    const int64_t begin = RoundUp(row_bytes * part / parts, kLine);
    const int64_t end = row_bytes * (part + 1) / parts;
    for (int64_t row = first; row < std::min(first + kTileCols, rows); ++row) {
      const std::byte* from = data + row * stride;
      for (int64_t at = begin; at < end; at += kLine) FetchLine(from + at);
    }
  }
};

// The weights after block k of rows [row, row + rows): their next block, or the first of the rows
// behind them.
template <class T>
HWY_INLINE NextWeights After(const WeightRows<T>& w, int64_t row, int64_t rows, int64_t k) {
  constexpr auto kSize = static_cast<int64_t>(sizeof(T));
  k += kBlock;
  if (k >= w.in) {
    k = 0;
    row = std::min(row + rows, w.count);
  }
  return {reinterpret_cast<const std::byte*>(w.row(row) + k), std::min(kBlock, w.in - k) * kSize,
          w.elements.stride * kSize, std::min(rows, w.count - row)};
}

// y[:, 0 .. w.count) of tiles [tile_begin, tile_end) of x; y.data is that of row 0 of x.
template <class T>
inline void MultiplyDirect(const PackedRows& x, int64_t tile_begin, int64_t tile_end,
                           const WeightRows<T>& w, Matrix y) {
  for (int64_t row = 0; row < w.count; row += kTileCols) {
    const int64_t cols = std::min(kTileCols, w.count - row);
    for (int64_t k = 0; k < w.in; k += kBlock) {
      const int64_t count = std::min(kBlock, w.in - k);
      // Next come the same rows' next block or, at their end, the rows behind them.
      const bool at_end = k + kBlock >= w.in;
      DirectWeights<T> weights;
      for (int64_t c = 0; c < kTileCols; ++c) {
        const int64_t present = row + std::min(c, cols - 1);
        weights.rows[c] = w.row(present) + k;
        weights.next[c] =
            at_end ? w.row(std::min(present + kTileCols, w.count - 1)) : weights.rows[c] + kBlock;
      }
      for (int64_t tile = tile_begin; tile < tile_end; ++tile) {
        const int64_t rows = x.RowsOf(tile);
        // Each tile fetches some of the rows, so that memory is busy all the time.
        weights.fetch_begin = (tile - tile_begin) * kTileCols / (tile_end - tile_begin);
        weights.fetch_end = (tile + 1 - tile_begin) * kTileCols / (tile_end - tile_begin);
        ComputeTileOf(rows, x.data + tile * x.TileSize() + rows * k, weights, count,
                      {y.row(tile * kTileRows) + row, y.stride, cols, k == 0});
      }
    }
  }
}

// Widens elements [k, k + count) of the rows of w into panels of kTileCols rows.
template <class T>
inline void PackPanels(const WeightRows<T>& w, int64_t k, int64_t count, float* to) {
  const Floats d;
  const int64_t lanes = LaneCount();
  const int64_t vectors = count / lanes;
  const int64_t rest = count - vectors * lanes;
  for (int64_t row = 0; row < w.count; row += kTileCols) {
    for (int64_t c = 0; c < kTileCols; ++c) {
      const T* from = w.row(std::min(row + c, w.count - 1)) + k;
      float* out = to + c * lanes;
      for (int64_t v = 0; v < vectors; ++v, from += lanes, out += kTileCols * lanes) {
        hn::Store(Widen(d, from), d, out);
      }
      if (rest != 0) hn::Store(WidenFirst(d, from, static_cast<size_t>(rest)), d, out);
    }
    to += kTileCols * RoundUp(count, lanes);
  }
}

// As MultiplyDirect, through panels; `panels` holds kWeightPanelFloats.
template <class T>
inline void MultiplyPanels(const PackedRows& x, int64_t tile_begin, int64_t tile_end,
                           const WeightRows<T>& w, float* panels, Matrix y) {
  for (int64_t first = 0; first < w.count; first += kWeightPanelRows) {
    const int64_t panel_rows = std::min(kWeightPanelRows, w.count - first);
    for (int64_t k = 0; k < w.in; k += kBlock) {
      const int64_t count = std::min(kBlock, w.in - k);
      const int64_t panel_size = kTileCols * RoundUp(count, LaneCount());
      const NextWeights next = After(w, first, kWeightPanelRows, k);
      PackPanels<T>({{w.row(first), w.elements.stride}, panel_rows, w.in}, k, count, panels);
      for (int64_t tile = tile_begin; tile < tile_end; ++tile) {
        const int64_t rows = x.RowsOf(tile);
        const float* x_block = x.data + tile * x.TileSize() + rows * k;
        const float* panel = panels;
        for (int64_t row = 0; row < panel_rows; row += kTileCols, panel += panel_size) {
          const int64_t cols = std::min(kTileCols, panel_rows - row);
          next.Fetch(row, tile - tile_begin, tile_end - tile_begin);
          ComputeTileOf(rows, x_block, PanelWeights{panel}, count,
                        {y.row(tile * kTileRows) + first + row, y.stride, cols, k == 0});
        }
      }
    }
  }
}

// y[:, 0 .. weight.rows) of tiles [tile_begin, tile_end) of x.
inline void Multiply(const PackedRows& x, int64_t tile_begin, int64_t tile_end,
                     const WeightMatrix& weight, float* panels, Matrix y) {
  VisitElements(weight, [&]<class T>(const WeightElements<T>& elements) {
    const WeightRows<T> rows = {elements, weight.rows, weight.cols};
    if (x.rows <= kDirectRows) {
      MultiplyDirect(x, tile_begin, tile_end, rows, y);
    } else {
      MultiplyPanels(x, tile_begin, tile_end, rows, panels, y);
    }
  });
}

// Rows of W per task, where all weights of the loop have `out` rows. Two tiles of x and less: half
// a megabyte of weights, enough to hide the start of a task and few enough to share out evenly.
// More: kTaskRows, or less so that every thread has some.
inline int64_t RowsPerTask(int64_t x_rows, const WeightMatrix& weight, int64_t out, int threads) {
  constexpr int64_t kFewRowsBytes = 512 << 10;
  const auto row_bytes =
      std::max<int64_t>(1, static_cast<int64_t>(BytesOf(weight.type, weight.cols)));
  const int64_t share = RoundUp(CeilDiv(out, int64_t{4} * threads), kTileCols);
  const int64_t most =
      x_rows <= 2 * kTileRows ? RoundUp(CeilDiv(kFewRowsBytes, row_bytes), kTileCols) : kTaskRows;
  return std::max(kTileCols, std::min(share, most));
}

}  // namespace fulmen::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // FULMEN_KERNELS_CPU_GEMM_INL_H_
