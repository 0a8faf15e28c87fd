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
#include <span>

#include "base/workspace.h"
#include "hwy/highway.h"
#include "kernels/cpu/elementwise-inl.h"
#include "kernels/cpu/tile-inl.h"
#include "kernels/lightning_attention.h"

HWY_BEFORE_NAMESPACE();
namespace fulmen::cpu::HWY_NAMESPACE {

// exp(-decay * n) of one head, laid out for the rows of one block's products.
struct DecayTable {
  float* powers;  // [kLightningBlock + 1]: powers[n] = exp(-decay * n)
  float* before;  // [2 * kLightningBlock]: powers falling to powers[0], then zeros

  // Element j is exp(-decay * (i - j)) up to token i, 0 beyond.
  const float* Before(int64_t i) const { return before + kLightningBlock - 1 - i; }
};

inline DecayTable AllocateDecayTable(Workspace& workspace) {
  return {.powers = workspace.Allocate<float>(kLightningBlock + 1),
          .before = workspace.Allocate<float>(2 * kLightningBlock)};
}

HWY_INLINE void FillDecayTable(float decay, const DecayTable& table) {
  const double keep = std::exp(-double{decay});
  double power = 1.0;
  for (int64_t n = 0; n <= kLightningBlock; ++n, power *= keep) {
    table.powers[n] = static_cast<float>(power);
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

// One head of one slice.
struct LightningTask {
  ConstMatrix q, k, v;  // [T, dim]
  Matrix out;           // [T, dim]
  // Keeps the decayed scores where it is not empty, of tasks that begin at a block's border: [T,
  // kLightningBlock], in row t those of token t and the tokens of its block up to it.
  Matrix scores = {};

  LightningTask Rows(int64_t first, int64_t count) const {
    return {q.Rows(first, count), k.Rows(first, count), v.Rows(first, count),
            out.Rows(first, count), scores.data == nullptr ? scores : scores.Rows(first, count)};
  }
};

// Packed operands of one block; one set per thread.
struct LightningScratch {
  Matrix kt;       // [dim, kLightningBlock]
  Matrix state;    // [dim, padded dim]
  Matrix v;        // [kLightningBlock, padded dim], right behind the state
  Matrix weights;  // [kProductRows, dim + kLightningBlock]: of the rows of both
  Matrix out;      // [kProductRows, padded dim]
  float* keep;     // [dim]: exp(-decay * tokens of the block), for every row of the state
};

inline LightningScratch AllocateLightningScratch(Workspace& workspace, int64_t dim) {
  const int64_t padded = PadColumns(dim);
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

// Output of one tile of rows, from row i of the task on, whose first row is token `offset` of its
// block: one product of their decayed queries and their scores with the state and the values below
// it.
HWY_INLINE void LightningRows(const LightningTask& block, int64_t offset, const DecayTable& decay,
                              int64_t i, bool read_state, const NextBlock& next,
                              const LightningScratch& scratch) {
  const int64_t dim = scratch.state.rows;
  const int64_t rows = std::min(kProductRows, block.q.rows - i);
  const int64_t token = offset + i;
  const int64_t seen = token + rows;  // tokens of the block that the last row sees
  const ConstMatrix q = block.q.Rows(i, rows);
  const Matrix scores = scratch.weights.Rows(0, rows).Cols(dim, PadColumns(seen));
  FetchRows(next.task.k, next.first + i, rows);
  Product(dim, q, scratch.kt, nullptr, scores);
  FetchRows(next.task.v, next.first + i, rows);
  for (int64_t r = 0; r < rows; ++r) {
    MultiplyRow(scores.cols, decay.Before(token + r), scores.row(r));
    if (block.scores.data != nullptr) CopyRow(seen, scores.row(r), block.scores.row(i + r));
  }
  FetchRows(next.task.q, next.first + i, rows);
  const bool whole = block.out.cols == scratch.state.cols;
  const Matrix out = whole ? block.out.Rows(i, rows) : scratch.out.Rows(0, rows);
  if (read_state) {
    for (int64_t r = 0; r < rows; ++r) {
      ScaleRow(dim, decay.powers[1 + token + r], q.row(r), scratch.weights.row(r));
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

// The state after `tokens` tokens of a block; `begun`: it was not empty. Scales the values.
HWY_INLINE void EndBlock(int64_t tokens, bool begun, const DecayTable& decay,
                         const LightningScratch& scratch) {
  for (int64_t j = 0; j < tokens; ++j) {
    float* row = scratch.v.row(j);
    ScaleRow(scratch.v.cols, decay.powers[tokens - 1 - j], row, row);
  }
  std::fill_n(scratch.keep, scratch.state.rows, decay.powers[tokens]);
  Product(tokens, scratch.kt, scratch.v, begun ? scratch.keep : nullptr, scratch.state);
}

// The tokens of one block from `offset` on: report eq. 4-9. Those before it lie in `scratch`.
// Columns of packed matrices past the last token hold anything and are never summed over.
HWY_INLINE void LightningBlock(const LightningTask& block, int64_t offset, const DecayTable& decay,
                               StateUse use, const NextBlock& next,
                               const LightningScratch& scratch) {
  const int64_t count = block.q.rows;
  const int64_t end = offset + count;
  Transpose(block.k, scratch.kt.Cols(offset, count));
  CopyPadded(block.v, scratch.v.Rows(offset, count));
  for (int64_t i = 0; i < count; i += kProductRows) {
    LightningRows(block, offset, decay, i, use.read, next, scratch);
  }
  if (use.write) EndBlock(end, use.read, decay, scratch);
}

// to = silu(x)
HWY_INLINE void Activate(ConstMatrix x, Matrix to) {
  for (int64_t r = 0; r < x.rows; ++r) {
    Map(x.row(r), x.row(r), x.cols, to.row(r),
        [](FloatsV v, FloatsV) HWY_ATTR { return Silu(Floats(), v); });
  }
}

// q | k | v of one head, side by side.
template <class T>
struct Qkv {
  MatrixView<T> all;  // [T, 3 * dim]

  MatrixView<T> Part(int64_t part) const { return all.Cols(part * dim(), dim()); }
  MatrixView<T> q() const { return Part(0); }
  MatrixView<T> k() const { return Part(1); }
  MatrixView<T> v() const { return Part(2); }
  Qkv Rows(int64_t first, int64_t count) const { return {all.Rows(first, count)}; }
  int64_t dim() const { return all.cols / 3; }
};

// One table per head.
inline DecayTable* DecayTables(Workspace& workspace, std::span<const float> decay) {
  DecayTable* tables = workspace.Allocate<DecayTable>(static_cast<int64_t>(decay.size()));
  for (size_t head = 0; head < decay.size(); ++head) {
    tables[head] = AllocateDecayTable(workspace);
    FillDecayTable(decay[head], tables[head]);
  }
  return tables;
}

}  // namespace fulmen::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // FULMEN_KERNELS_CPU_LIGHTNING_INL_H_
