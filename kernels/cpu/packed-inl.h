// Operands of the products of training, for products-inl.h. Included once per instruction set.
//
// They hold units of 32 bits: one float32 element, or two consecutive elements of the depth rounded
// to BF16 (to nearest, ties to even), the first in the lower half. Depths of operands count units.
//
// Weights, the right operand on the way forward and back, are packed in panels of columns. All
// others are row-major matrices: along the depth [rows, depth], or across it [depth, columns]. A
// float32 matrix is both, and read where it lies unless its rows crowd a few sets of the caches.
#if defined(FULMEN_KERNELS_CPU_PACKED_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FULMEN_KERNELS_CPU_PACKED_INL_H_
#undef FULMEN_KERNELS_CPU_PACKED_INL_H_
#else
#define FULMEN_KERNELS_CPU_PACKED_INL_H_
#endif

#include <algorithm>
#include <type_traits>

#include "base/matrix.h"
#include "kernels/context.h"
#include "kernels/cpu/bf16_tile.h"
#include "kernels/cpu/math-inl.h"
#include "kernels/cpu/tile-inl.h"
#include "kernels/cpu/weights-inl.h"
#include "kernels/training_kernels.h"

HWY_BEFORE_NAMESPACE();
namespace fulmen::cpu::HWY_NAMESPACE {

// 12 x 2 sums, 2 vectors of b and broadcast elements fit 32 registers; 6 x 2 fit 16.
constexpr int64_t kPanelRows = HWY_CAP_GE512 ? 12 : 6;
constexpr int64_t kPanelVecs = 2;
// Tiles at the edge of a matrix have a whole number of these; so many are within reach of one
// pointer.
constexpr int64_t kRowStep = 3;
// Floats behind panels and rows, so that those of a power of two do not crowd one set of the cache.
constexpr int64_t kGap = 16;
// Panels of columns that stay in the L2 cache while rows pass by.
constexpr int64_t kChunkPanels = 6;
// The same of products across the depth, which have no other operand in that cache.
constexpr int64_t kAcrossPanels = 12;
// Panels of rows in one task at most.
constexpr int64_t kTaskPanels = 8;
// The same of products across the depth: each task brings all of the right operand into its cache.
constexpr int64_t kAcrossTaskPanels = 24;
constexpr int64_t kTaskRows = kTaskPanels * kPanelRows;

HWY_INLINE int64_t PanelColumns() { return kPanelVecs * TileLanes(); }
HWY_INLINE int64_t CeilDiv(int64_t value, int64_t unit) { return (value + unit - 1) / unit; }

// Elements of the depth in a unit.
template <Precision kPrecision>
constexpr int64_t kUnit = kPrecision == Precision::kBFloat16 ? 2 : 1;
template <Precision kPrecision>
HWY_INLINE int64_t Units(int64_t elements) {
  return CeilDiv(elements, kUnit<kPrecision>);
}

// Blocks of the depth, equal but for the last; whole panels of rows and of columns.
struct DepthBlocks {
  int64_t depth;
  int64_t size;

  explicit DepthBlocks(int64_t depth_) : depth(depth_) {
    constexpr int64_t kMultiple = 96;
    const int64_t count = std::max<int64_t>(1, CeilDiv(depth, kMaxDepth));
    size = std::max<int64_t>(1, CeilDiv(CeilDiv(depth, count), kMultiple)) * kMultiple;
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

// The right operand [depth, columns] in panels of PanelColumns() columns: [panel][depth][column].
// What lies behind the last column is never part of a result.
struct PackedColumns {
  float* data;
  int64_t columns;
  int64_t depth;

  int64_t Panels() const { return CeilDiv(columns, PanelColumns()); }
  int64_t PanelSize() const { return depth * PanelColumns() + kGap; }
  float* Panel(int64_t panel) const { return data + panel * PanelSize(); }
};

// Here and below `depth` counts elements.
template <Precision kPrecision>
HWY_INLINE PackedColumns AllocateColumns(Workspace& workspace, int64_t columns, int64_t depth) {
  PackedColumns packed = {nullptr, columns, Units<kPrecision>(depth)};
  packed.data = workspace.Allocate<float>(packed.Panels() * packed.PanelSize());
  return packed;
}

// Rows of so many columns, readable to the end of the last panel.
HWY_INLINE Matrix AllocateRows(Workspace& workspace, int64_t rows, int64_t columns) {
  const int64_t stride = CeilDiv(columns, PanelColumns()) * PanelColumns() + kGap;
  return {workspace.Allocate<float>(rows * stride), rows, columns, stride};
}

// [rows, depth] and [depth, columns].
template <Precision kPrecision>
HWY_INLINE Matrix AllocateAlong(Workspace& workspace, int64_t rows, int64_t depth) {
  return AllocateRows(workspace, rows, Units<kPrecision>(depth));
}
template <Precision kPrecision>
HWY_INLINE Matrix AllocateAcross(Workspace& workspace, int64_t depth, int64_t columns) {
  return AllocateRows(workspace, Units<kPrecision>(depth), columns);
}

// Whether rows that lie so far apart are spread over the sets of a cache. Those of widths like 4096
// are not: a dozen of them would fill one set of an L1 cache.
HWY_INLINE bool AreSpread(int64_t stride) { return stride % 512 != 0; }

// Whether a matrix is an operand as it is.
template <Precision kPrecision>
HWY_INLINE bool IsAlong(ConstMatrix m) {
  return kPrecision == Precision::kFloat32 && AreSpread(m.stride);
}
template <Precision kPrecision>
HWY_INLINE bool IsAcross(ConstMatrix m) {
  return IsAlong<kPrecision>(m) && m.cols % PanelColumns() == 0;
}

// Two vectors rounded to BF16, as units.
HWY_INLINE FloatsV RoundToUnits(FloatsV low, FloatsV high) {
  const Floats d;
  const hn::RebindToUnsigned<Floats> du;
  const auto round = [&](FloatsV v) HWY_ATTR {
    const auto bits = hn::BitCast(du, v);
    const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 1));
    const auto rounded = hn::Add(hn::Add(bits, hn::Set(du, 0x7fff)), odd);
    // The carry would turn some NaNs into zero or infinity.
    const auto quiet = hn::Or(bits, hn::Set(du, 0x400000));
    return hn::IfThenElse(hn::RebindMask(du, hn::IsNaN(v)), quiet, rounded);
  };
  return hn::BitCast(
      d, hn::Or(hn::ShiftRight<16>(round(low)), hn::And(round(high), hn::Set(du, 0xffff0000U))));
}

// Units of up to a vector of columns of the rows that are one unit of the depth; `next` is the
// second of two, or null behind the last.
template <Precision kPrecision, class T>
HWY_INLINE FloatsV LoadUnits(const T* row, const T* next, int64_t count) {
  const Floats d;
  const auto load = [&](const T* from) HWY_ATTR {
    if (HWY_LIKELY(count >= TileLanes())) return Widen(d, from);
    return WidenFirst(d, from, static_cast<size_t>(count));
  };
  if constexpr (kPrecision == Precision::kFloat32) {
    return load(row);
  } else {
    return RoundToUnits(load(row), next == nullptr ? hn::Zero(d) : load(next));
  }
}

// Packs `count` consecutive elements of the depth. In BF16 the last vector is written whole.
template <Precision kPrecision, class T>
HWY_INLINE void PackRow(int64_t count, const T* HWY_RESTRICT from, float* HWY_RESTRICT to) {
  const Floats d;
  const int64_t lanes = TileLanes();
  if constexpr (kPrecision == Precision::kFloat32) {
    int64_t i = 0;
    for (; i + lanes <= count; i += lanes) hn::StoreU(Widen(d, from + i), d, to + i);
    if (i < count) {
      const auto rest = static_cast<size_t>(count - i);
      StoreFirst(d, WidenFirst(d, from + i, rest), to + i, rest);
    }
  } else {
    for (int64_t i = 0; i < count; i += 2 * lanes, to += lanes) {
      FloatsV first;
      FloatsV second;
      if (i + 2 * lanes <= count) {
        first = Widen(d, from + i);
        second = Widen(d, from + i + lanes);
      } else {
        first = LoadUnits<Precision::kFloat32>(from + i, from, count - i);
        second = hn::Zero(d);
        if (i + lanes < count) {
          second = LoadUnits<Precision::kFloat32>(from + i + lanes, from, count - i - lanes);
        }
      }
      hn::StoreU(RoundToUnits(hn::ConcatEven(d, second, first), hn::ConcatOdd(d, second, first)), d,
                 to);
    }
  }
}

// The rows that are unit `unit` of the depth, of `count` rows.
template <Precision kPrecision>
struct UnitRows {
  const float* row;
  const float* next = nullptr;

  UnitRows(const GatheredRows& rows, int64_t unit, int64_t count)
      : row(rows.row(unit * kUnit<kPrecision>)) {
    if constexpr (kPrecision == Precision::kBFloat16) {
      if (2 * unit + 1 < count) next = rows.row(2 * unit + 1);
    }
  }
};

// `rows`, `depth` elements of each, as rows of an operand along the depth.
template <Precision kPrecision>
inline void PackAlong(const GatheredRows& rows, int64_t depth, Matrix to) {
  for (int64_t r = 0; r < to.rows; ++r) PackRow<kPrecision>(depth, rows.row(r), to.row(r));
}

// `count` rows, of an operand across the depth the elements from the first of to.row(0) on.
template <Precision kPrecision>
inline void PackAcross(const GatheredRows& rows, int64_t count, Matrix to) {
  const Floats d;
  for (int64_t unit = 0; unit < Units<kPrecision>(count); ++unit) {
    const UnitRows<kPrecision> from(rows, unit, count);
    float* out = to.row(unit);
    for (int64_t n = 0; n < to.cols; n += TileLanes()) {
      const float* next = from.next == nullptr ? nullptr : from.next + n;
      hn::Store(LoadUnits<kPrecision>(from.row + n, next, to.cols - n), d, out + n);
    }
  }
}

// Rows [row, row + count) of the depth of an operand across it; row begins a unit.
template <Precision kPrecision>
HWY_INLINE Matrix PartAcross(Matrix m, int64_t row, int64_t count) {
  return m.Rows(row / kUnit<kPrecision>, Units<kPrecision>(count));
}

// A matrix that is the left operand along its rows of one product and across them of another.
template <Precision kPrecision>
struct BothWays {
  Matrix along;   // [rows, units of columns]
  Matrix across;  // [units of rows, columns]; in float32 the same memory

  BothWays() = default;
  BothWays(Workspace& workspace, int64_t rows, int64_t columns)
      : along(AllocateAlong<kPrecision>(workspace, rows, columns)),
        across(kPrecision == Precision::kFloat32
                   ? along
                   : AllocateAcross<kPrecision>(workspace, rows, columns)) {}

  // `count` rows as the operand's from `row` on, which begins a unit; `columns` of each from
  // `begin` on, which begins a unit, too.
  void Pack(const GatheredRows& rows, int64_t row, int64_t count, int64_t begin,
            int64_t columns) const {
    constexpr int64_t kStep = kUnit<kPrecision>;
    PackAlong<kPrecision>(rows, columns,
                          along.Rows(row, count).Cols(begin / kStep, Units<kPrecision>(columns)));
    if constexpr (kPrecision == Precision::kBFloat16) {
      PackAcross<kPrecision>(rows, count,
                             PartAcross<kPrecision>(across, row, count).Cols(begin, columns));
    }
  }
};

// Panel `panel` of `to`, element (k, n) being that of the weight's [depth][..] at [k][n], or at
// [n][k] when transposed.
template <Precision kPrecision, bool kTransposed, class T>
inline void PackPanelOf(const WeightElements<T>& weight, int64_t depth, int64_t panel,
                        const PackedColumns& to) {
  const Floats d;
  const int64_t first = panel * PanelColumns();
  const int64_t columns = std::min(PanelColumns(), to.columns - first);
  float* out = to.Panel(panel);
  if constexpr (!kTransposed) {
    for (int64_t unit = 0; unit < to.depth; ++unit) {
      const int64_t k = unit * kUnit<kPrecision>;
      const T* row = weight.row(k) + first;
      for (int64_t n = 0; n < columns; n += TileLanes()) {
        const T* next = k + 1 < depth ? row + weight.stride + n : nullptr;
        hn::Store(LoadUnits<kPrecision>(row + n, next, columns - n), d, out + n);
      }
      out += PanelColumns();
    }
  } else if constexpr (kPrecision == Precision::kFloat32 && std::is_same_v<T, float>) {
    Transpose({weight.row(first), columns, depth, weight.stride},
              {out, depth, columns, PanelColumns()});
  } else {
    // A few units of every column at a time, on the stack; the last vector may reach beyond.
    constexpr int64_t kUnits = 64;
    constexpr int64_t kMaxLanes = hn::MaxLanes(Floats());
    HWY_ALIGN float units[kPanelVecs * kMaxLanes * kUnits + kMaxLanes];
    for (int64_t begin = 0; begin < to.depth; begin += kUnits) {
      const int64_t k = begin * kUnit<kPrecision>;
      const int64_t count = std::min(kUnits * kUnit<kPrecision>, depth - k);
      for (int64_t n = 0; n < columns; ++n) {
        PackRow<kPrecision>(count, weight.row(first + n) + k, units + n * kUnits);
      }
      const int64_t packed = Units<kPrecision>(count);
      Transpose({units, columns, packed, kUnits},
                {out + begin * PanelColumns(), packed, columns, PanelColumns()});
    }
  }
}

// Panel `panel` of `to` = op(weight): its transpose, or itself.
template <Precision kPrecision, bool kTransposed>
inline void PackWeightPanel(const WeightMatrix& weight, int64_t panel, const PackedColumns& to) {
  const int64_t depth = kTransposed ? weight.cols : weight.rows;
  VisitElements(weight, [&]<class T>(const WeightElements<T>& elements) {
    PackPanelOf<kPrecision, kTransposed>(elements, depth, panel, to);
  });
}

}  // namespace fulmen::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // FULMEN_KERNELS_CPU_PACKED_INL_H_
