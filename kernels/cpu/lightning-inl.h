// The block form of lightning attention (report, eq. 4-9). Included once per instruction set.

// The toggle lets foreach_target.h include this file again for the next instruction set.
#if defined(FULMEN_KERNELS_CPU_LIGHTNING_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FULMEN_KERNELS_CPU_LIGHTNING_INL_H_
#undef FULMEN_KERNELS_CPU_LIGHTNING_INL_H_
#else
#define FULMEN_KERNELS_CPU_LIGHTNING_INL_H_
#endif

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "base/workspace.h"
#include "hwy/highway.h"
#include "kernels/cpu/tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fulmen::cpu::HWY_NAMESPACE {

// Tokens per block of the block form. Larger blocks touch the state less often, smaller ones do
// less work inside a block: for heads of 128, 32 measured 8 % faster than 64 and 20 % than 128.
constexpr int64_t kLightningBlock = 32;

// exp(-decay * n) of one head, laid out for the rows of one block's products.
struct DecayTable {
  float* powers;  // [kLightningBlock + 1]: powers[n] = exp(-decay * n)
  float* before;  // [2 * kLightningBlock]: powers falling to powers[0], then zeros

  // Element j is exp(-decay * (i - j)) up to token i, 0 beyond.
  const float* Before(int64_t i) const { return before + kLightningBlock - 1 - i; }
};

HWY_INLINE DecayTable AllocateDecayTable(Workspace& workspace) {
  return {.powers = workspace.Allocate<float>(kLightningBlock + 1),
          .before = workspace.Allocate<float>(2 * kLightningBlock)};
}

HWY_INLINE void FillDecayTable(float decay, const DecayTable& table) {
  for (int64_t n = 0; n <= kLightningBlock; ++n) {
    table.powers[n] = static_cast<float>(std::exp(-double{decay} * static_cast<double>(n)));
  }
  for (int64_t n = 0; n < kLightningBlock; ++n) {
    table.before[kLightningBlock - 1 - n] = table.powers[n];
    table.before[kLightningBlock + n] = 0.0F;
  }
}

// row[j] *= factors[j]
HWY_INLINE void MultiplyRow(int64_t count, const float* HWY_RESTRICT factors,
                            float* HWY_RESTRICT row) {
  const Floats d;
  for (int64_t j = 0; j < count; j += TileLanes()) {
    hn::StoreU(hn::Mul(hn::LoadU(d, row + j), hn::LoadU(d, factors + j)), d, row + j);
  }
}

// Some or all columns of one head's values, state and output: columns are independent of each
// other.
struct LightningTask {
  ConstMatrix q, k;  // [T, dim]
  ConstMatrix v;     // [T, columns]
  Matrix out;        // [T, columns]
  // Keeps the decayed scores where it is not empty: [T, kLightningBlock], in row t those of token t
  // and the tokens of its block up to it.
  Matrix scores = {};

  LightningTask Rows(int64_t first, int64_t count) const {
    return {q.Rows(first, count), k.Rows(first, count), v.Rows(first, count),
            out.Rows(first, count), scores.data == nullptr ? scores : scores.Rows(first, count)};
  }
};

// Packed operands of one block; one set per thread.
struct LightningScratch {
  Matrix kt;       // [dim, kLightningBlock]
  Matrix state;    // [dim, padded columns]
  Matrix v;        // [kLightningBlock, padded columns], right behind the state
  Matrix weights;  // [kProductRows, dim + kLightningBlock]: of the rows of both
  Matrix out;      // [kProductRows, padded columns]
  float* keep;     // [dim]: exp(-decay * tokens of the block), for every row of the state
};

HWY_INLINE LightningScratch AllocateLightningScratch(Workspace& workspace, int64_t dim,
                                                     int64_t columns) {
  const int64_t padded = PadColumns(columns);
  const Matrix both = workspace.AllocateMatrix(dim + kLightningBlock, padded);
  return {.kt = workspace.AllocateMatrix(dim, kLightningBlock),
          .state = both.Rows(0, dim),
          .v = both.Rows(dim, kLightningBlock),
          .weights = workspace.AllocateMatrix(kProductRows, dim + kLightningBlock),
          .out = workspace.AllocateMatrix(kProductRows, padded),
          .keep = workspace.Allocate<float>(dim)};
}

// What a block does with the state before and after it.
struct StateUse {
  bool read;   // false: nothing came before, and the state holds anything
  bool write;  // false: nothing comes after
};

// What comes after a block: rows from `first` on, fetched while the block is computed.
struct NextBlock {
  const LightningTask& task;
  int64_t first;
};

// Output of one tile of rows, from token i of a block on: one product of their decayed queries and
// their scores with the state and the values below it.
HWY_INLINE void LightningRows(const LightningTask& block, const DecayTable& decay, int64_t i,
                              bool read_state, const NextBlock& next,
                              const LightningScratch& scratch) {
  const int64_t dim = scratch.state.rows;
  const int64_t rows = std::min(kProductRows, block.q.rows - i);
  const int64_t seen = i + rows;  // tokens of the block that the last row sees
  const ConstMatrix q = block.q.Rows(i, rows);
  const Matrix scores = scratch.weights.Rows(0, rows).Cols(dim, PadColumns(seen));
  FetchRows(next.task.k, next.first + i, rows);
  Product(dim, q, scratch.kt, nullptr, scores);
  FetchRows(next.task.v, next.first + i, rows);
  for (int64_t r = 0; r < rows; ++r) {
    MultiplyRow(scores.cols, decay.Before(i + r), scores.row(r));
    if (block.scores.data != nullptr) CopyRow(seen, scores.row(r), block.scores.row(i + r));
  }
  FetchRows(next.task.q, next.first + i, rows);
  const bool whole = block.out.cols == scratch.state.cols;
  const Matrix out = whole ? block.out.Rows(i, rows) : scratch.out.Rows(0, rows);
  if (read_state) {
    for (int64_t r = 0; r < rows; ++r) {
      ScaleRow(dim, decay.powers[1 + i + r], q.row(r), scratch.weights.row(r));
    }
    Product(dim + seen, scratch.weights, scratch.state, nullptr, out);
  } else {
    Product(seen, scores, scratch.v, nullptr, out);
  }
  FetchRows<true>(next.task.out, next.first + i, rows);
  if (whole) return;
  for (int64_t r = 0; r < rows; ++r) {
    CopyRow(block.out.cols, out.row(r), block.out.row(i + r));
  }
}

// The tokens of one block, kLightningBlock at most: report eq. 4-9. Columns of packed matrices past
// the last token hold anything and are never summed over.
HWY_INLINE void LightningBlock(const LightningTask& block, const DecayTable& decay, StateUse use,
                               const NextBlock& next, const LightningScratch& scratch) {
  const int64_t count = block.q.rows;
  Transpose(block.k, scratch.kt);
  CopyPadded(block.v, scratch.v);
  for (int64_t i = 0; i < count; i += kProductRows) {
    LightningRows(block, decay, i, use.read, next, scratch);
  }
  if (!use.write) return;
  for (int64_t j = 0; j < count; ++j) {
    float* row = scratch.v.row(j);
    ScaleRow(scratch.v.cols, decay.powers[count - 1 - j], row, row);
  }
  std::fill_n(scratch.keep, scratch.state.rows, decay.powers[count]);
  Product(count, scratch.kt, scratch.v, use.read ? scratch.keep : nullptr, scratch.state);
}

}  // namespace fulmen::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // FULMEN_KERNELS_CPU_LIGHTNING_INL_H_
