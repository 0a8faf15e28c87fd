// Products of training, where both operands change from call to call and there are many rows:
// c (+)= a b with packed operands, in outer-product form. Included once per instruction set.
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
#include <cstring>

#include "base/tensor.h"
#include "kernels/context.h"
#include "kernels/cpu/math-inl.h"
#include "kernels/cpu/tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fulmen::cpu::HWY_NAMESPACE {

// 12 x 2 sums, 2 vectors of b and broadcast elements fit 32 registers; 6 x 2 fit 16.
constexpr int64_t kPanelRows = HWY_CAP_GE512 ? 12 : 6;
constexpr int64_t kPanelVecs = 2;
// Tiles at the edge of a matrix have a whole number of these.
constexpr int64_t kRowStep = kPanelRows / 3;
// The longest block of the depth: a panel of rows stays in the L1 cache while columns stream past
// it from the L2 cache.
constexpr int64_t kMaxDepth = 384;
// From one row to the next of rows packed along the depth; a constant, so that all rows of a tile
// are within reach of one pointer, and no multiple of a page, so that they do not crowd one set.
constexpr int64_t kRowStride = kMaxDepth + 16;
// Floats between panels, so that those of a depth of 1024 do not crowd one set of the cache.
constexpr int64_t kPanelGap = 16;
// Panels of columns that stay in the L2 cache while rows pass by.
constexpr int64_t kChunkPanels = 6;
// Panels of rows in one task at most.
constexpr int64_t kTaskPanels = 8;
constexpr int64_t kTaskRows = kTaskPanels * kPanelRows;

HWY_INLINE int64_t PanelColumns() { return kPanelVecs * TileLanes(); }
HWY_INLINE int64_t CeilDiv(int64_t value, int64_t unit) { return (value + unit - 1) / unit; }

// Blocks of the depth, equal but for the last; whole panels of rows and of columns.
struct DepthBlocks {
  int64_t depth;
  int64_t size;

  explicit DepthBlocks(int64_t depth_) : depth(depth_) {
    constexpr int64_t kUnit = 96;
    const int64_t count = std::max<int64_t>(1, CeilDiv(depth, kMaxDepth));
    size = std::max<int64_t>(1, CeilDiv(CeilDiv(depth, count), kUnit)) * kUnit;
  }
  int64_t Count() const { return CeilDiv(depth, size); }
  int64_t Begin(int64_t block) const { return block * size; }
  int64_t Size(int64_t block) const { return std::min(size, depth - block * size); }
};

// Row i of a matrix is row index[i] of `data`, or row i where there is no index.
struct GatheredRows {
  const float* data;
  int64_t stride;
  const int32_t* index = nullptr;

  HWY_INLINE const float* row(int64_t i) const {
    return data + (index == nullptr ? i : int64_t{index[i]}) * stride;
  }
};

// Lines of memory that later work will read, fetched into the L2 cache a few at a time while
// products run. Without it gathered rows would be waited for: processors foresee only long runs.
class Upcoming {
 public:
  // Of each tile, one line for so many elements of the depth.
  static constexpr int64_t kElements = 8;
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

// The right operand [depth, columns] in panels of PanelColumns() columns: [panel][depth][column].
// What lies behind the last column is never part of a result.
struct PackedColumns {
  float* data;
  int64_t columns;
  int64_t depth;

  int64_t Panels() const { return CeilDiv(columns, PanelColumns()); }
  int64_t PanelSize() const { return depth * PanelColumns() + kPanelGap; }
  float* Panel(int64_t panel) const { return data + panel * PanelSize(); }
};

HWY_INLINE PackedColumns AllocateColumns(Workspace& workspace, int64_t columns, int64_t depth) {
  PackedColumns packed = {nullptr, columns, depth};
  packed.data = workspace.Allocate<float>(packed.Panels() * packed.PanelSize());
  return packed;
}

// The left operand [rows, depth] packed along the depth: [block of the depth][row][kRowStride], for
// at most kTaskRows rows: those of one task.
struct PackedAlong {
  float* data;
  int64_t rows;
  DepthBlocks blocks;

  float* Block(int64_t block) const { return data + block * kTaskRows * kRowStride; }
};

HWY_INLINE PackedAlong AllocateAlong(Workspace& workspace, int64_t depth) {
  const DepthBlocks blocks(depth);
  return {workspace.Allocate<float>(blocks.Count() * kTaskRows * kRowStride), kTaskRows, blocks};
}

// The left operand [rows, depth] packed across: [panel][depth][row of the panel].
struct PackedAcross {
  float* data;
  int64_t rows;
  int64_t depth;

  int64_t Panels() const { return CeilDiv(rows, kPanelRows); }
  int64_t PanelSize() const { return depth * kPanelRows + kPanelGap; }
  float* Panel(int64_t panel) const { return data + panel * PanelSize(); }
};

HWY_INLINE PackedAcross AllocateAcross(Workspace& workspace, int64_t rows, int64_t depth) {
  PackedAcross packed = {nullptr, rows, depth};
  packed.data = workspace.Allocate<float>(packed.Panels() * packed.PanelSize());
  return packed;
}

// Copies `count` elements, widened.
template <class T>
HWY_INLINE void WidenRow(int64_t count, const T* from, float* HWY_RESTRICT to) {
  const Floats d;
  const int64_t lanes = TileLanes();
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) hn::StoreU(Widen(d, from + i), d, to + i);
  if (i < count) {
    const auto rest = static_cast<size_t>(count - i);
    StoreFirst(d, WidenFirst(d, from + i, rest), to + i, rest);
  }
}

// Elements [begin, begin + count) of the depth of b[k][n] = row(k - begin)[n], one panel.
inline void PackColumns(const GatheredRows& rows, int64_t panel, int64_t begin, int64_t count,
                        const PackedColumns& to) {
  const Floats d;
  const int64_t lanes = TileLanes();
  const int64_t first = panel * PanelColumns();
  const int64_t columns = std::min(PanelColumns(), to.columns - first);
  float* out = to.Panel(panel) + begin * PanelColumns();
  if (columns == PanelColumns()) {
    for (int64_t k = 0; k < count; ++k, out += PanelColumns()) {
      const float* from = rows.row(k) + first;
      hn::Store(hn::LoadU(d, from), d, out);
      hn::Store(hn::LoadU(d, from + lanes), d, out + lanes);
    }
    return;
  }
  for (int64_t k = 0; k < count; ++k, out += PanelColumns()) {
    WidenRow(columns, rows.row(k) + first, out);
  }
}

// Panel `panel` of `to`, element (k, n) being that of a weight at [k][first_column + n], or at
// [first_column + n][k] when transposed.
template <bool kTransposed, class T>
inline void PackWeightPanel(const T* weight, int64_t stride, int64_t panel,
                            const PackedColumns& to) {
  const int64_t first = panel * PanelColumns();
  const int64_t columns = std::min(PanelColumns(), to.columns - first);
  float* out = to.Panel(panel);
  if constexpr (!kTransposed) {
    for (int64_t k = 0; k < to.depth; ++k) {
      WidenRow(columns, weight + k * stride + first, out + k * PanelColumns());
    }
  } else if constexpr (std::is_same_v<T, float>) {
    Transpose({weight + first * stride, columns, to.depth, stride},
              {out, to.depth, columns, PanelColumns()});
  } else {
    // A few columns of the weight at a time, widened on the stack.
    constexpr int64_t kDepth = 64;
    constexpr int64_t kMaxColumns = kPanelVecs * hn::MaxLanes(Floats());
    HWY_ALIGN float widened[kMaxColumns * kDepth];
    for (int64_t k = 0; k < to.depth; k += kDepth) {
      const int64_t count = std::min(kDepth, to.depth - k);
      for (int64_t n = 0; n < columns; ++n) {
        WidenRow(count, weight + (first + n) * stride + k, widened + n * kDepth);
      }
      Transpose({widened, columns, count, kDepth},
                {out + k * PanelColumns(), count, columns, PanelColumns()});
    }
  }
}

// As PackWeightPanel for a weight of any type whose columns (rows when transposed) from
// `first_column` on are meant.
template <bool kTransposed>
inline void PackWeightPanel(const TensorView& weight, int64_t first_column, int64_t panel,
                            const PackedColumns& to) {
  const int64_t stride = weight.cols();
  const int64_t first = kTransposed ? first_column * stride : first_column;
  const std::byte* data = weight.data + static_cast<size_t>(first) * DTypeSize(weight.dtype);
  switch (weight.dtype) {
    case DType::kF32:
      return PackWeightPanel<kTransposed>(reinterpret_cast<const float*>(data), stride, panel, to);
    case DType::kF16:
      return PackWeightPanel<kTransposed>(reinterpret_cast<const hwy::float16_t*>(data), stride,
                                          panel, to);
    case DType::kBF16:
      return PackWeightPanel<kTransposed>(reinterpret_cast<const hwy::bfloat16_t*>(data), stride,
                                          panel, to);
    default:
      FULMEN_CHECK(false, "weights of type {}", DTypeName(weight.dtype));
  }
}

// The first to.rows rows.
inline void PackAlong(const GatheredRows& rows, const PackedAlong& to) {
  for (int64_t r = 0; r < to.rows; ++r) {
    for (int64_t block = 0; block < to.blocks.Count(); ++block) {
      CopyRow(to.blocks.Size(block), rows.row(r) + to.blocks.Begin(block),
              to.Block(block) + r * kRowStride);
    }
  }
}

// Elements [begin, begin + count) of the depth of a[r][k] = row(k - begin)[r], all panels.
inline void PackAcross(const GatheredRows& rows, int64_t begin, int64_t count,
                       const PackedAcross& to) {
  constexpr int64_t kAhead = 4 * kPanelRows;  // too many panels for the processor to foresee
  const Floats d;
  const int64_t lanes = TileLanes();
  for (int64_t k = 0; k < count; ++k) {
    const float* from = rows.row(k);
    float* out = to.data + (begin + k) * kPanelRows;
    int64_t first = 0;
    // Whole vectors reach into what the next element overwrites; the last one has no such place.
    const int64_t whole = k + 1 < count ? to.rows - CeilDiv(kPanelRows, lanes) * lanes : -1;
    for (; first <= whole; first += kPanelRows, out += to.PanelSize()) {
      __builtin_prefetch(out + kAhead, 1);
      for (int64_t r = 0; r < kPanelRows; r += lanes) {
        hn::StoreU(hn::LoadU(d, from + first + r), d, out + r);
      }
    }
    for (; first < to.rows; first += kPanelRows, out += to.PanelSize()) {
      for (int64_t r = 0; r < std::min(kPanelRows, to.rows - first); ++r) out[r] = from[first + r];
    }
  }
}

// One block of the depth of one tile.
struct TileInput {
  int64_t depth;
  const float* a;
  const float* b;
  const float* const* fetch;  // [depth / Upcoming::kElements]
  bool add;                   // to what is there
};

// c = a b, or c + a b, for kRows rows and kVecs vectors of columns. Row r of `a` is packed along
// the depth, or across it.
template <int kRows, int kVecs, bool kAcross>
HWY_NOINLINE void MultiplyTile(const TileInput& input, float* HWY_RESTRICT c, int64_t c_stride) {
  constexpr int64_t kRowDistance = kAcross ? 1 : kRowStride;
  constexpr int64_t kDepthDistance = kAcross ? kPanelRows : 1;
  const Floats d;
  const int64_t lanes = TileLanes();
  const float* HWY_RESTRICT a = input.a;
  const float* HWY_RESTRICT b = input.b;
  FloatsV sums[kRows][kVecs];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
    __builtin_prefetch(c + r * c_stride, 1);
    if (kVecs > 1) __builtin_prefetch(c + r * c_stride + lanes, 1);
#pragma GCC unroll 2
    for (int v = 0; v < kVecs; ++v) sums[r][v] = hn::Zero(d);
  }
  const auto add_products = [&]() HWY_ATTR {
    FloatsV columns[kVecs];
#pragma GCC unroll 2
    for (int v = 0; v < kVecs; ++v) columns[v] = hn::Load(d, b + v * lanes);
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const FloatsV row = hn::Set(d, a[r * kRowDistance]);
#pragma GCC unroll 2
      for (int v = 0; v < kVecs; ++v) sums[r][v] = hn::MulAdd(row, columns[v], sums[r][v]);
    }
    a += kDepthDistance;
    b += kPanelVecs * lanes;
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

template <int kVecs, bool kAcross>
HWY_INLINE void MultiplyTileOf(int64_t rows, const TileInput& input, float* c, int64_t c_stride) {
  if (rows > 2 * kRowStep) {
    MultiplyTile<3 * kRowStep, kVecs, kAcross>(input, c, c_stride);
  } else if (rows > kRowStep) {
    MultiplyTile<2 * kRowStep, kVecs, kAcross>(input, c, c_stride);
  } else {
    MultiplyTile<kRowStep, kVecs, kAcross>(input, c, c_stride);
  }
}

// As MultiplyTile for any rows <= kPanelRows and columns <= PanelColumns() of c; input.fetch is
// taken from `upcoming`.
template <bool kAcross>
inline void MultiplyPanel(TileInput input, Upcoming& upcoming, Matrix c) {
  const float* lines[Upcoming::kMaxLines];
  upcoming.Next(input.depth / Upcoming::kElements, input.a, lines);
  input.fetch = lines;
  if (HWY_LIKELY(c.rows % kRowStep == 0 && c.cols == PanelColumns())) {
    return MultiplyTileOf<kPanelVecs, kAcross>(c.rows, input, c.data, c.stride);
  }
  HWY_ALIGN float buffer[kPanelRows * kPanelVecs * hn::MaxLanes(Floats())];
  const bool add = input.add;
  input.add = false;
  if (c.cols > TileLanes()) {
    MultiplyTileOf<kPanelVecs, kAcross>(c.rows, input, buffer, PanelColumns());
  } else {
    MultiplyTileOf<1, kAcross>(c.rows, input, buffer, PanelColumns());
  }
  for (int64_t r = 0; r < c.rows; ++r) {
    const float* from = buffer + r * PanelColumns();
    float* to = c.row(r);
    for (int64_t n = 0; n < c.cols; ++n) to[n] = add ? to[n] + from[n] : from[n];
  }
}

// c = a b, or c + a b, for panels [panel_begin, panel_end) of b; c begins at the first of them.
inline void MultiplyAlong(const PackedAlong& a, const PackedColumns& b, int64_t panel_begin,
                          int64_t panel_end, bool add, Upcoming& upcoming, Matrix c) {
  for (int64_t block = 0; block < a.blocks.Count(); ++block) {
    const int64_t begin = a.blocks.Begin(block) * PanelColumns();
    for (int64_t r = 0; r < a.rows; r += kPanelRows) {
      const Matrix rows = c.Rows(r, std::min(kPanelRows, a.rows - r));
      for (int64_t panel = panel_begin; panel < panel_end; ++panel) {
        const int64_t first = (panel - panel_begin) * PanelColumns();
        MultiplyPanel<false>({.depth = a.blocks.Size(block),
                              .a = a.Block(block) + r * kRowStride,
                              .b = b.Panel(panel) + begin,
                              .fetch = nullptr,
                              .add = add || block > 0},
                             upcoming, rows.Cols(first, std::min(PanelColumns(), c.cols - first)));
      }
    }
  }
}

// The same for all of b.
inline void MultiplyAlong(const PackedAlong& a, const PackedColumns& b, bool add,
                          Upcoming& upcoming, Matrix c) {
  for (int64_t panel = 0; panel < b.Panels(); panel += kChunkPanels) {
    const int64_t first = panel * PanelColumns();
    MultiplyAlong(a, b, panel, std::min(panel + kChunkPanels, b.Panels()), add, upcoming,
                  c.Cols(first, std::min(kChunkPanels * PanelColumns(), c.cols - first)));
  }
}

// c += a b for panels [panel_begin, panel_end) of a; c is that of all rows of a.
inline void MultiplyAcross(const PackedAcross& a, int64_t panel_begin, int64_t panel_end,
                           const PackedColumns& b, Matrix c) {
  Upcoming nothing;
  const DepthBlocks blocks(a.depth);
  for (int64_t block = 0; block < blocks.Count(); ++block) {
    const int64_t begin = blocks.Begin(block);
    for (int64_t chunk = 0; chunk < b.Panels(); chunk += kChunkPanels) {
      const int64_t end = std::min(chunk + kChunkPanels, b.Panels());
      for (int64_t row_panel = panel_begin; row_panel < panel_end; ++row_panel) {
        const int64_t row = row_panel * kPanelRows;
        const Matrix rows = c.Rows(row, std::min(kPanelRows, c.rows - row));
        for (int64_t panel = chunk; panel < end; ++panel) {
          const int64_t first = panel * PanelColumns();
          MultiplyPanel<true>({.depth = blocks.Size(block),
                               .a = a.Panel(row_panel) + begin * kPanelRows,
                               .b = b.Panel(panel) + begin * PanelColumns(),
                               .fetch = nullptr,
                               .add = true},
                              nothing, rows.Cols(first, std::min(PanelColumns(), c.cols - first)));
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
