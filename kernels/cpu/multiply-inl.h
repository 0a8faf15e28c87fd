// Products x W^T with weights of every type. Included once per instruction set.
#if defined(FULMEN_KERNELS_CPU_MULTIPLY_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FULMEN_KERNELS_CPU_MULTIPLY_INL_H_
#undef FULMEN_KERNELS_CPU_MULTIPLY_INL_H_
#else
#define FULMEN_KERNELS_CPU_MULTIPLY_INL_H_
#endif

#include "kernels/cpu/gemm-inl.h"
#include "kernels/cpu/unpack-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fulmen::cpu::HWY_NAMESPACE {

// y[:, 0 .. weight.rows) of `tiles` of x; y.data is that of row 0 of x. Compiled once for every
// operation that has products: they take the compiler long.
void Multiply(const PackedRows& x, const TileRange& tiles, const WeightMatrix& weight, Matrix y);

// The part of it that is in quantized.cc, and that of BF16 parts of x (bf16_parts.cc).
void MultiplyQuantized(const PackedRows& x, const TileRange& tiles, const WeightMatrix& weight,
                       Matrix y);
// Of at most kMostOneTileRows of the weight's traits, not for AMX (one_tile.cc).
void MultiplyOneTile(const PackedRows& x, const WeightMatrix& weight, Matrix y);
void MultiplyBf16Parts(const PackedRows& x, const TileRange& tiles, const WeightMatrix& weight,
                       Matrix y);

// Rows of W that are multiplied together.
inline int64_t RowsUnit(const WeightMatrix& weight) {
  const bool panels = IsQuantized(weight.type) || weight.layout == WeightLayout::kRepacked;
  return panels ? PanelRows() : kTileCols;
}

// Rows of W per task, whole units, where all weights of the loop have `out` rows. Two tiles of x
// and less: half a megabyte of weights, enough to hide the start of a task and few enough to share
// out evenly. More: kTaskRows, or less so that every thread has some.
inline int64_t RowsPerTask(int64_t x_rows, const WeightMatrix& weight, int64_t out, int threads) {
  constexpr int64_t kFewRowsBytes = 512 << 10;
  const int64_t unit = RowsUnit(weight);
  const auto row_bytes =
      std::max<int64_t>(1, static_cast<int64_t>(BytesOf(weight.type, weight.cols)));
  const int64_t share = RoundUp(CeilDiv(out, int64_t{4} * threads), unit);
  const int64_t most =
      x_rows <= 2 * kTileRows ? RoundUp(CeilDiv(kFewRowsBytes, row_bytes), unit) : kTaskRows;
  return std::max(unit, std::min(share, most));
}

}  // namespace fulmen::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // FULMEN_KERNELS_CPU_MULTIPLY_INL_H_
