// Operands of the products of training, packed for products-inl.h. Included once per instruction
// set.
//
// They are packed in units of 32 bits: one float32 element, or two consecutive elements of the
// depth rounded to BF16 (to nearest, ties to even), the first in the lower half. Depths of packed
// operands count units.
#if defined(FULMEN_KERNELS_CPU_PACKED_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FULMEN_KERNELS_CPU_PACKED_INL_H_
#undef FULMEN_KERNELS_CPU_PACKED_INL_H_
#else
#define FULMEN_KERNELS_CPU_PACKED_INL_H_
#endif

#include <algorithm>
#include <type_traits>

#include "base/tensor.h"
#include "kernels/context.h"
#include "kernels/cpu/bf16_tile.h"
#include "kernels/cpu/math-inl.h"
#include "kernels/cpu/tile-inl.h"
#include "kernels/training.h"

HWY_BEFORE_NAMESPACE();
namespace fulmen::cpu::HWY_NAMESPACE {

// 12 x 2 sums, 2 vectors of b and broadcast elements fit 32 registers; 6 x 2 fit 16.
constexpr int64_t kPanelRows = HWY_CAP_GE512 ? 12 : 6;
constexpr int64_t kPanelVecs = 2;
// Tiles at the edge of a matrix have a whole number of these.
constexpr int64_t kRowStep = kPanelRows / 3;
// Floats between panels, so that those of a depth of 1024 do not crowd one set of the cache.
constexpr int64_t kPanelGap = 16;
// Panels of columns that stay in the L2 cache while rows pass by.
constexpr int64_t kChunkPanels = 6;
// Panels of rows in one task at most.
constexpr int64_t kTaskPanels = 8;
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
  int64_t PanelSize() const { return depth * PanelColumns() + kPanelGap; }
  float* Panel(int64_t panel) const { return data + panel * PanelSize(); }
};

// Here and below `depth` counts elements.
template <Precision kPrecision>
HWY_INLINE PackedColumns AllocateColumns(Workspace& workspace, int64_t columns, int64_t depth) {
  PackedColumns packed = {nullptr, columns, Units<kPrecision>(depth)};
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

template <Precision kPrecision>
HWY_INLINE PackedAlong AllocateAlong(Workspace& workspace, int64_t depth) {
  const DepthBlocks blocks(Units<kPrecision>(depth));
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

template <Precision kPrecision>
HWY_INLINE PackedAcross AllocateAcross(Workspace& workspace, int64_t rows, int64_t depth) {
  PackedAcross packed = {nullptr, rows, Units<kPrecision>(depth)};
  packed.data = workspace.Allocate<float>(packed.Panels() * packed.PanelSize());
  return packed;
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

// Where `count` rows go in an operand packed across or in columns: from element `begin` of the
// depth on, which begins a unit; their first column begins panel `panel`, of which and of the
// following they fill `columns`.
struct Place {
  int64_t begin;
  int64_t count;
  int64_t panel;
  int64_t columns;
};

template <Precision kPrecision>
inline void PackColumns(const GatheredRows& rows, const Place& place, const PackedColumns& to) {
  const Floats d;
  for (int64_t first = 0; first < place.columns; first += PanelColumns()) {
    float* out = to.Panel(place.panel + first / PanelColumns()) +
                 place.begin / kUnit<kPrecision> * PanelColumns();
    for (int64_t unit = 0; unit < Units<kPrecision>(place.count); ++unit) {
      const UnitRows<kPrecision> from(rows, unit, place.count);
      const int64_t end = std::min(first + PanelColumns(), place.columns);
      for (int64_t n = first; n < end; n += TileLanes()) {
        const float* next = from.next == nullptr ? nullptr : from.next + n;
        hn::Store(LoadUnits<kPrecision>(from.row + n, next, end - n), d, out + n - first);
      }
      out += PanelColumns();
    }
  }
}

template <Precision kPrecision>
inline void PackAcross(const GatheredRows& rows, const Place& place, const PackedAcross& to) {
  constexpr int64_t kAhead = 4 * kPanelRows;  // too many panels for the processor to foresee
  const Floats d;
  const int64_t lanes = TileLanes();
  const int64_t units = Units<kPrecision>(place.count);
  const int64_t reach = CeilDiv(kPanelRows, lanes) * lanes;
  for (int64_t unit = 0; unit < units; ++unit) {
    const UnitRows<kPrecision> from(rows, unit, place.count);
    float* out = to.Panel(place.panel) + (place.begin / kUnit<kPrecision> + unit) * kPanelRows;
    for (int64_t first = 0; first < place.columns; first += kPanelRows, out += to.PanelSize()) {
      __builtin_prefetch(out + kAhead, 1);
      const int64_t end = std::min(first + kPanelRows, place.columns);
      // Whole vectors reach into what the next unit overwrites; the last one has no such place.
      const bool whole = unit + 1 < units && first + reach <= place.columns;
      for (int64_t r = first; r < end; r += lanes) {
        const float* next = from.next == nullptr ? nullptr : from.next + r;
        const int64_t count = whole ? lanes : end - r;
        const FloatsV v = LoadUnits<kPrecision>(from.row + r, next, count);
        if (HWY_LIKELY(count >= lanes)) {
          hn::StoreU(v, d, out + r - first);
        } else {
          StoreFirst(d, v, out + r - first, static_cast<size_t>(count));
        }
      }
    }
  }
}

// The first to.rows rows, `count` elements of each: from element `begin` of the depth on, which
// begins a unit. Later elements must be packed later.
template <Precision kPrecision>
inline void PackAlong(const GatheredRows& rows, int64_t begin, int64_t count,
                      const PackedAlong& to) {
  for (int64_t r = 0; r < to.rows; ++r) {
    const float* from = rows.row(r);
    for (int64_t at = begin; at < begin + count;) {
      const int64_t unit = at / kUnit<kPrecision>;
      const int64_t block = unit / to.blocks.size;
      const int64_t end = std::min(begin + count, to.blocks.Begin(block + 1) * kUnit<kPrecision>);
      PackRow<kPrecision>(end - at, from + at - begin,
                          to.Block(block) + r * kRowStride + unit - to.blocks.Begin(block));
      at = end;
    }
  }
}

// Panel `panel` of `to`, element (k, n) being that of a weight [depth][..] at [k][n], or at [n][k]
// when transposed.
template <Precision kPrecision, bool kTransposed, class T>
inline void PackWeightPanel(const T* weight, int64_t stride, int64_t depth, int64_t panel,
                            const PackedColumns& to) {
  const Floats d;
  const int64_t first = panel * PanelColumns();
  const int64_t columns = std::min(PanelColumns(), to.columns - first);
  float* out = to.Panel(panel);
  if constexpr (!kTransposed) {
    for (int64_t unit = 0; unit < to.depth; ++unit) {
      const int64_t k = unit * kUnit<kPrecision>;
      const T* row = weight + k * stride + first;
      for (int64_t n = 0; n < columns; n += TileLanes()) {
        const T* next = k + 1 < depth ? row + stride + n : nullptr;
        hn::Store(LoadUnits<kPrecision>(row + n, next, columns - n), d, out + n);
      }
      out += PanelColumns();
    }
  } else if constexpr (kPrecision == Precision::kFloat32 && std::is_same_v<T, float>) {
    Transpose({weight + first * stride, columns, depth, stride},
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
        PackRow<kPrecision>(count, weight + (first + n) * stride + k, units + n * kUnits);
      }
      const int64_t packed = Units<kPrecision>(count);
      Transpose({units, columns, packed, kUnits},
                {out + begin * PanelColumns(), packed, columns, PanelColumns()});
    }
  }
}

// As PackWeightPanel for a weight of any type whose columns (rows when transposed) from
// `first_column` on are meant.
template <Precision kPrecision, bool kTransposed>
inline void PackWeightPanel(const TensorView& weight, int64_t first_column, int64_t panel,
                            const PackedColumns& to) {
  const int64_t stride = weight.cols();
  const int64_t depth = kTransposed ? stride : weight.rows();
  const int64_t first = kTransposed ? first_column * stride : first_column;
  const std::byte* data = weight.data + static_cast<size_t>(first) * DTypeSize(weight.dtype);
  switch (weight.dtype) {
    case DType::kF32:
      return PackWeightPanel<kPrecision, kTransposed>(reinterpret_cast<const float*>(data), stride,
                                                      depth, panel, to);
    case DType::kF16:
      return PackWeightPanel<kPrecision, kTransposed>(reinterpret_cast<const hwy::float16_t*>(data),
                                                      stride, depth, panel, to);
    case DType::kBF16:
      return PackWeightPanel<kPrecision, kTransposed>(
          reinterpret_cast<const hwy::bfloat16_t*>(data), stride, depth, panel, to);
    default:
      FULMEN_CHECK(false, "weights of type {}", DTypeName(weight.dtype));
  }
}

}  // namespace fulmen::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // FULMEN_KERNELS_CPU_PACKED_INL_H_
