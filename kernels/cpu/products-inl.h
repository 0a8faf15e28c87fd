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

// c = a b, or c + a b, for `vectors` vectors of columns and `rows` rounded up to a multiple of
// kRowStep, at most kPanelVecs and kPanelRows. Compiled once (products.cc): it takes the compiler
// long.
template <Precision kPrecision>
void MultiplyTile(int64_t rows, int vectors, const TileInput& input, float* c, int64_t c_stride);

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
  const int vectors = c.cols > TileLanes() ? kPanelVecs : 1;
  MultiplyTile<kPrecision>(c.rows, vectors, input, result, PanelColumns());
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
  MultiplyTile<kPrecision>(c.rows, kPanelVecs, input, c.data, c.stride);
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
