// Products of training, where both operands change from call to call and there are many rows:
// c (+)= a b in outer-product form. Included once per instruction set.
//
// A register tile is kPanelRows rows of a by two vectors of columns of b: for every element of
// the depth, two vectors of b and one broadcast element of each row of a. Every element of c is a
// sum of a fixed order: the depth is cut into blocks that depend on nothing but the depth; a block
// is one chain of multiply-adds; blocks are added from first to last. Threads and the place of a
// row or column in its matrix change no bit.
#if defined(FULMEN_KERNELS_CPU_PRODUCTS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FULMEN_KERNELS_CPU_PRODUCTS_INL_H_
#undef FULMEN_KERNELS_CPU_PRODUCTS_INL_H_
#else
#define FULMEN_KERNELS_CPU_PRODUCTS_INL_H_
#endif

#include <algorithm>

#include "base/matrix.h"
#include "kernels/context.h"
#include "kernels/cpu/packed-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fulmen::cpu::HWY_NAMESPACE {

// Lines of memory that later work will read, fetched into the L2 cache a few at a time while
// products run. Without it gathered rows would be waited for: processors foresee only long runs.
class Upcoming {
 public:
  // Of each tile, one line for so many elements of the depth.
  static constexpr int64_t kElements = kFetchElements;
  static constexpr int64_t kMaxLines = kMaxDepth / kElements;

  Upcoming() = default;
  // Columns [begin, end) of `count` rows.
  Upcoming(const GatheredRows& rows, int64_t count, int64_t begin, int64_t end)
      : rows_(rows), count_(count), begin_(begin), end_(end), at_(begin) {}

  // The same of a second matrix with the same index.
  void Add(const GatheredRows& rows) { second_ = rows; }

  // The next lines; behind the last, `idle` instead.
  HWY_INLINE void Next(int64_t count, const float* idle, const float** lines) {
    for (int64_t i = 0; i < count; ++i) {
      if (row_ == count_) {
        lines[i] = idle;
        continue;
      }
      lines[i] = rows_.row(row_) + at_;
      at_ += kLineFloats;
      if (at_ < end_) continue;
      at_ = begin_;
      if (++row_ == count_ && second_.data != nullptr) {
        rows_ = second_;
        second_.data = nullptr;
        row_ = 0;
      }
    }
  }

 private:
  static constexpr int64_t kLineFloats = 16;
  GatheredRows rows_ = {nullptr, 0};
  GatheredRows second_ = {nullptr, 0};
  int64_t count_ = 0;
  int64_t begin_ = 0;
  int64_t end_ = 0;
  int64_t row_ = 0;
  int64_t at_ = 0;
};

// Steps of the depth after which a vector of b is used that is fetched into the L1 cache now: where
// rows of b lie apart, processors do not foresee them.
constexpr int64_t kAheadSteps = 16;

// c = a b, or c + a b, for kRows rows and kVecs vectors of columns.
template <Precision kPrecision, int kRows, int kVecs>
HWY_NOINLINE void MultiplyTile(const TileInput& input, float* HWY_RESTRICT c, int64_t c_stride) {
  const Floats d;
  const int64_t lanes = TileLanes();
  const float* HWY_RESTRICT a[kRows / kRowStep];
#pragma GCC unroll 4
  for (int i = 0; i < kRows / kRowStep; ++i) a[i] = input.a + kRowStep * i * input.a_row;
  const float* HWY_RESTRICT b = input.b;
  const int64_t a_row = input.a_row;
  const int64_t a_step = input.a_step;
  const int64_t b_step = input.b_step;
  FloatsV sums[kRows][kVecs];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
    __builtin_prefetch(c + r * c_stride, 1);
    if (kVecs > 1) __builtin_prefetch(c + r * c_stride + lanes, 1);
#pragma GCC unroll 2
    for (int v = 0; v < kVecs; ++v) sums[r][v] = hn::Zero(d);
  }
  const hn::RebindToUnsigned<Floats> du;
  const auto lower = [&](FloatsV units) HWY_ATTR {
    return hn::BitCast(d, hn::ShiftLeft<16>(hn::BitCast(du, units)));
  };
  const auto upper = [&](FloatsV units) HWY_ATTR {
    return hn::BitCast(d, hn::And(hn::BitCast(du, units), hn::Set(du, 0xffff0000U)));
  };
  const auto add_products = [&]() HWY_ATTR {
    FloatsV columns[kVecs];
#pragma GCC unroll 2
    for (int v = 0; v < kVecs; ++v) {
      columns[v] = hn::LoadU(d, b + v * lanes);
      __builtin_prefetch(b + kAheadSteps * b_step + v * lanes);
    }
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const FloatsV row = hn::Set(d, a[r / kRowStep][r % kRowStep * a_row]);
#pragma GCC unroll 2
      for (int v = 0; v < kVecs; ++v) {
        if constexpr (kPrecision == Precision::kFloat32) {
          sums[r][v] = hn::MulAdd(row, columns[v], sums[r][v]);
        } else {
          sums[r][v] = hn::MulAdd(lower(row), lower(columns[v]), sums[r][v]);
          sums[r][v] = hn::MulAdd(upper(row), upper(columns[v]), sums[r][v]);
        }
      }
    }
#pragma GCC unroll 4
    for (int i = 0; i < kRows / kRowStep; ++i) a[i] += a_step;
    b += b_step;
  };
  const int64_t fetched = input.depth / Upcoming::kElements;
  for (int64_t i = 0; i < fetched; ++i) {
    __builtin_prefetch(input.fetch[i], 0, 2);
    for (int64_t k = 0; k < Upcoming::kElements; ++k) add_products();
  }
  for (int64_t k = fetched * Upcoming::kElements; k < input.depth; ++k) add_products();
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
    for (int v = 0; v < kVecs; ++v) {
      float* to = c + r * c_stride + v * lanes;
      hn::StoreU(input.add ? hn::Add(hn::LoadU(d, to), sums[r][v]) : sums[r][v], d, to);
    }
  }
}

template <Precision kPrecision, int kVecs>
HWY_INLINE void MultiplyTileOf(int64_t rows, const TileInput& input, float* c, int64_t c_stride) {
  if constexpr (kPrecision == Precision::kBFloat16 && HWY_TARGET == HWY_AVX3_DL) {
    if (HasBf16Dot()) return MultiplyBf16Tile(rows, kVecs, input, c, c_stride);
  }
  if constexpr (kPanelRows == 4 * kRowStep) {
    if (rows > 3 * kRowStep) {
      return MultiplyTile<kPrecision, 4 * kRowStep, kVecs>(input, c, c_stride);
    }
    if (rows > 2 * kRowStep) {
      return MultiplyTile<kPrecision, 3 * kRowStep, kVecs>(input, c, c_stride);
    }
  }
  if (rows > kRowStep) return MultiplyTile<kPrecision, 2 * kRowStep, kVecs>(input, c, c_stride);
  MultiplyTile<kPrecision, kRowStep, kVecs>(input, c, c_stride);
}

// As MultiplyTile for any rows <= kPanelRows and columns <= PanelColumns() of c. Rows of `a` behind
// the last are not read: they may lie outside of its memory.
template <Precision kPrecision>
HWY_NOINLINE void MultiplyEdge(TileInput input, Matrix c) {
  HWY_ALIGN float rows[kPanelRows * kMaxDepth];
  HWY_ALIGN float result[kPanelRows * kPanelVecs * hn::MaxLanes(Floats())];
  if (c.rows % kRowStep != 0) {
    for (int64_t k = 0; k < input.depth; ++k) {
      for (int64_t r = 0; r < c.rows; ++r) {
        rows[k * kPanelRows + r] = input.a[k * input.a_step + r * input.a_row];
      }
    }
    input.a = rows;
    input.a_row = 1;
    input.a_step = kPanelRows;
  }
  const bool add = input.add;
  input.add = false;
  if (c.cols > TileLanes()) {
    MultiplyTileOf<kPrecision, kPanelVecs>(c.rows, input, result, PanelColumns());
  } else {
    MultiplyTileOf<kPrecision, 1>(c.rows, input, result, PanelColumns());
  }
  for (int64_t r = 0; r < c.rows; ++r) {
    const float* from = result + r * PanelColumns();
    float* to = c.row(r);
    for (int64_t n = 0; n < c.cols; ++n) to[n] = add ? to[n] + from[n] : from[n];
  }
}

// The same; input.fetch is taken from `upcoming`.
template <Precision kPrecision>
inline void MultiplyPanel(TileInput input, Upcoming& upcoming, Matrix c) {
  const float* lines[Upcoming::kMaxLines];
  upcoming.Next(input.depth / Upcoming::kElements, input.a, lines);
  input.fetch = lines;
  if (HWY_UNLIKELY(c.rows % kRowStep != 0 || c.cols != PanelColumns())) {
    return MultiplyEdge<kPrecision>(input, c);
  }
  MultiplyTileOf<kPrecision, kPanelVecs>(c.rows, input, c.data, c.stride);
}

// c = a b, or c + a b, for panels [panel_begin, panel_end) of b, with which c begins; `a` is along
// the depth.
template <Precision kPrecision>
inline void MultiplyAlong(ConstMatrix a, const PackedColumns& b, int64_t panel_begin,
                          int64_t panel_end, bool add, Upcoming& upcoming, Matrix c) {
  const DepthBlocks blocks(b.depth);
  for (int64_t block = 0; block < blocks.Count(); ++block) {
    const int64_t begin = blocks.Begin(block);
    for (int64_t r = 0; r < a.rows; r += kPanelRows) {
      const Matrix rows = c.Rows(r, std::min(kPanelRows, a.rows - r));
      for (int64_t panel = panel_begin; panel < panel_end; ++panel) {
        const int64_t first = (panel - panel_begin) * PanelColumns();
        MultiplyPanel<kPrecision>({.depth = blocks.Size(block),
                                   .a = a.row(r) + begin,
                                   .a_row = a.stride,
                                   .a_step = 1,
                                   .b = b.Panel(panel) + begin * PanelColumns(),
                                   .b_step = PanelColumns(),
                                   .fetch = nullptr,
                                   .add = add || block > 0},
                                  upcoming,
                                  rows.Cols(first, std::min(PanelColumns(), c.cols - first)));
      }
    }
  }
}

// For all of b.
template <Precision kPrecision>
inline void MultiplyAlong(ConstMatrix a, const PackedColumns& b, bool add, Upcoming& upcoming,
                          Matrix c) {
  for (int64_t panel = 0; panel < b.Panels(); panel += kChunkPanels) {
    const int64_t first = panel * PanelColumns();
    MultiplyAlong<kPrecision>(
        a, b, panel, std::min(panel + kChunkPanels, b.Panels()), add, upcoming,
        c.Cols(first, std::min(kChunkPanels * PanelColumns(), c.cols - first)));
  }
}

// The strip of `a` that the tiles of the rows from `row` on read. Its first line ends the strip
// before, so the one its last column is in is all that is new.
HWY_INLINE Upcoming NextStrip(ConstMatrix a, int64_t row) {
  const int64_t last = std::min(row + kPanelRows, a.cols) - 1;
  return {GatheredRows{a.data, a.stride}, row < a.cols ? a.rows : 0, last, last + 1};
}

// c += a^T b for panels [panel_begin, panel_end) of the columns of `a`; both are across the depth,
// and c is that of all columns of `a`. Columns of b behind the last are read as far as its panel.
template <Precision kPrecision>
inline void MultiplyAcross(ConstMatrix a, int64_t panel_begin, int64_t panel_end, ConstMatrix b,
                           Matrix c) {
  const DepthBlocks blocks(a.rows);
  const int64_t row_end = std::min(panel_end * kPanelRows, a.cols);
  for (int64_t block = 0; block < blocks.Count(); ++block) {
    const ConstMatrix left = a.Rows(blocks.Begin(block), blocks.Size(block));
    const ConstMatrix right = b.Rows(blocks.Begin(block), blocks.Size(block));
    for (int64_t chunk = 0; chunk < b.cols; chunk += kAcrossPanels * PanelColumns()) {
      const int64_t end = std::min(chunk + kAcrossPanels * PanelColumns(), b.cols);
      for (int64_t row = panel_begin * kPanelRows; row < row_end; row += kPanelRows) {
        const Matrix rows = c.Rows(row, std::min(kPanelRows, a.cols - row));
        Upcoming strip = NextStrip(left, row + kPanelRows);
        for (int64_t first = chunk; first < end; first += PanelColumns()) {
          MultiplyPanel<kPrecision>({.depth = left.rows,
                                     .a = left.data + row,
                                     .a_row = 1,
                                     .a_step = left.stride,
                                     .b = right.data + first,
                                     .b_step = right.stride,
                                     .fetch = nullptr,
                                     .add = true},
                                    strip,
                                    rows.Cols(first, std::min(PanelColumns(), b.cols - first)));
        }
      }
    }
  }
}

// `units` cut into tasks of at most `most`, as many for each thread.
struct Shares {
  int64_t units;
  int64_t tasks;

  Shares(int64_t units_, int64_t most, int threads) : units(units_) {
    tasks = std::min(units, CeilDiv(CeilDiv(units, most), threads) * threads);
  }
  int64_t Begin(int64_t task) const { return units * task / tasks; }
};

}  // namespace fulmen::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // FULMEN_KERNELS_CPU_PRODUCTS_INL_H_
