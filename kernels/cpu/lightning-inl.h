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

// State and values of one head by panels of columns, as lightning_attention.h lays them out. A
// panel stays in the L1 cache while it is read and brought up to date.
class StatePanels {
 public:
  StatePanels() = default;
  // `columns` is dim, or more for products that take whole vectors.
  StatePanels(float* data, int64_t dim, int64_t columns)
      : data_(data), dim_(dim), columns_(columns) {}

  int64_t columns() const { return columns_; }
  // State and values of the panel that begins at column `first`.
  Matrix Panel(int64_t first) const {
    return {data_ + first * (dim_ + kLightningBlock), dim_ + kLightningBlock,
            std::min(kStatePanel, columns_ - first)};
  }
  Matrix State(int64_t first) const { return Panel(first).Rows(0, dim_); }
  Matrix Values(int64_t first) const { return Panel(first).Rows(dim_, kLightningBlock); }

 private:
  float* data_ = nullptr;
  int64_t dim_ = 0;
  int64_t columns_ = 0;
};

// Packed operands of one block; one set per thread.
struct LightningScratch {
  int64_t dim;
  Matrix kt;  // [dim, kLightningBlock]
  StatePanels panels;
  Matrix weights;  // [kLightningBlock, dim + kLightningBlock]: of the rows of state and values
  Matrix out;      // [kProductRows, kStatePanel]
  float* keep;     // [dim]: exp(-decay * tokens of the block), for every row of the state
};

inline LightningScratch AllocateLightningScratch(Workspace& workspace, int64_t dim) {
  const int64_t padded = PadColumns(dim);
  return {.dim = dim,
          .kt = workspace.AllocateMatrix(dim, kLightningBlock),
          .panels = {workspace.AllocateMatrix(dim + kLightningBlock, padded).data, dim, padded},
          .weights = workspace.AllocateMatrix(kLightningBlock, dim + kLightningBlock),
          .out = workspace.AllocateMatrix(kProductRows, kStatePanel),
          .keep = workspace.Allocate<float>(dim)};
}

// What a block does with the state before and after it.
struct StateUse {
  bool read;   // false: nothing came before, and the state holds anything
  bool write;  // false: nothing comes after
};

// What comes after a block: rows from `first` on.
struct NextBlock {
  const LightningTask& task;
  int64_t first;
};

// Rows of a block to come, brought into the L2 cache a line at a time, one at every kEvery elements
// of the depths of products: rows of heads lie so far apart that the processor does not guess the
// next, and many lines at once would be waited for.
template <bool kToWrite>
class FetchBlock {
 public:
  // Rows [first, first + kLightningBlock) of a matrix, as far as it has them.
  template <class T>
  void Add(const MatrixView<T>& matrix, int64_t first) {
    cols_ = matrix.cols;
    const int64_t end = std::min(matrix.rows, first + kLightningBlock);
    for (int64_t r = first; r < end; ++r) rows_[count_++] = matrix.row(r);
  }

  // One of those that products take.
  struct Lines {
    static constexpr int64_t kEvery = 2;
    static constexpr int64_t kLineFloats = 16;
    const float* const* row = nullptr;
    const float* const* last_row = nullptr;
    int64_t cols = 0;
    int64_t at = 0;
    int64_t wait = kEvery;

    HWY_INLINE void Next() {
      if (--wait != 0) return;
      wait = kEvery;
      if (row == last_row) return;
      __builtin_prefetch(*row + at, kToWrite ? 1 : 0, 2);
      at += kLineFloats;
      if (at < cols) return;
      at = 0;
      ++row;
    }
  };
  Lines lines() const { return {.row = rows_, .last_row = rows_ + count_, .cols = cols_}; }

 private:
  const float* rows_[3 * kLightningBlock];
  int64_t count_ = 0;
  int64_t cols_ = 0;
};
using ReadAhead = FetchBlock<false>::Lines;
using WriteAhead = FetchBlock<true>::Lines;

// Some tokens of one block, the first of them token `offset` of it.
struct BlockTokens {
  const LightningTask& task;
  int64_t offset;

  int64_t count() const { return task.q.rows; }
  int64_t TileRows(int64_t i) const { return std::min(kProductRows, count() - i); }
  // Tokens of the block that the last row of a tile of rows sees.
  int64_t Seen(int64_t i) const { return offset + i + TileRows(i); }
};

// Weights of the tile of rows from row i on: of the state's rows their decayed queries, of the
// values their decayed scores.
HWY_INLINE void BlockWeights(const BlockTokens& block, int64_t i, const DecayTable& decay,
                             bool read_state, ReadAhead& ahead, const LightningScratch& scratch) {
  const int64_t dim = scratch.dim;
  const int64_t rows = block.TileRows(i);
  const int64_t token = block.offset + i;
  const ConstMatrix q = block.task.q.Rows(i, rows);
  const Matrix weights = scratch.weights.Rows(i, rows);
  const Matrix scores = weights.Cols(dim, PadColumns(block.Seen(i)));
  Product(dim, q, scratch.kt, nullptr, scores, ahead);
  for (int64_t r = 0; r < rows; ++r) {
    MultiplyRow(scores.cols, decay.Before(token + r), scores.row(r));
    if (block.task.scores.data != nullptr) {
      CopyRow(block.Seen(i), scores.row(r), block.task.scores.row(i + r));
    }
    if (read_state) ScaleRow(dim, decay.powers[1 + token + r], q.row(r), weights.row(r));
  }
}

// Output of the columns of one panel, from column `first` on: one product of the weights with the
// state and the values below it.
HWY_INLINE void BlockOutput(const BlockTokens& block, int64_t first, bool read_state,
                            WriteAhead& ahead, const LightningScratch& scratch) {
  const int64_t dim = scratch.dim;
  const Matrix panel = scratch.panels.Panel(first);
  const int64_t columns = std::min(panel.cols, block.task.out.cols - first);
  const int64_t skipped = read_state ? 0 : dim;
  for (int64_t i = 0; i < block.count(); i += kProductRows) {
    const int64_t rows = block.TileRows(i);
    const Matrix to = block.task.out.Rows(i, rows).Cols(first, columns);
    const Matrix out = columns == panel.cols ? to : scratch.out.Rows(0, rows).Cols(0, panel.cols);
    const Matrix weights = scratch.weights.Rows(i, rows).Cols(skipped, dim - skipped);
    Product(dim - skipped + block.Seen(i), weights, panel.Rows(skipped, panel.rows - skipped),
            nullptr, out, ahead);
    if (columns == panel.cols) continue;
    for (int64_t r = 0; r < rows; ++r) CopyRow(columns, out.row(r), to.row(r));
  }
}

// The state after `tokens` tokens of a block; `begun`: it was not empty. Scales the values. `keep`
// was filled.
template <class Fetch>
HWY_INLINE void EndPanel(int64_t tokens, bool begun, int64_t first, const DecayTable& decay,
                         Fetch& ahead, const LightningScratch& scratch) {
  const Matrix values = scratch.panels.Values(first);
  for (int64_t j = 0; j < tokens; ++j) {
    ScaleRow(values.cols, decay.powers[tokens - 1 - j], values.row(j), values.row(j));
  }
  Product(tokens, scratch.kt, values, begun ? scratch.keep : nullptr, scratch.panels.State(first),
          ahead);
}

HWY_INLINE void FillKeep(int64_t tokens, const DecayTable& decay, const LightningScratch& scratch) {
  std::fill_n(scratch.keep, scratch.dim, decay.powers[tokens]);
}

// The tokens of one block from `offset` on: report eq. 4-9. Those before it lie in `scratch`.
// Columns of packed matrices past the last token hold anything and are never summed over.
HWY_INLINE void LightningBlock(const LightningTask& task, int64_t offset, const DecayTable& decay,
                               StateUse use, const NextBlock& next,
                               const LightningScratch& scratch) {
  const BlockTokens block = {task, offset};
  const int64_t count = block.count();
  const int64_t columns = scratch.panels.columns();
  FetchBlock<false> inputs;
  for (const ConstMatrix& matrix : {next.task.k, next.task.v, next.task.q}) {
    inputs.Add(matrix, next.first);
  }
  ReadAhead read_ahead = inputs.lines();
  Transpose(task.k, scratch.kt.Cols(offset, count));
  for (int64_t i = 0; i < count; i += kProductRows) {
    BlockWeights(block, i, decay, use.read, read_ahead, scratch);
  }
  if (use.write) FillKeep(offset + count, decay, scratch);
  for (int64_t first = 0; first < columns; first += kStatePanel) {
    const int64_t width = std::min(kStatePanel, task.v.cols - first);
    CopyPadded(task.v.Cols(first, width), scratch.panels.Values(first).Rows(offset, count));
    FetchBlock<true> outputs;
    outputs.Add(next.task.out.Cols(first, width), next.first);
    WriteAhead write_ahead = outputs.lines();
    BlockOutput(block, first, use.read, write_ahead, scratch);
    if (use.write) EndPanel(offset + count, use.read, first, decay, read_ahead, scratch);
  }
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
