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
  float* after;   // [2 * kLightningBlock]: zeros, then powers rising from powers[0]

  // Element j is exp(-decay * (i - j)) up to token i, 0 beyond.
  const float* Before(int64_t i) const { return before + kLightningBlock - 1 - i; }
  // Element j is exp(-decay * (j - i)) from token i on, 0 before it.
  const float* After(int64_t i) const { return after + kLightningBlock - i; }
};

HWY_INLINE DecayTable AllocateDecayTable(Workspace& workspace) {
  return {.powers = workspace.Allocate<float>(kLightningBlock + 1),
          .before = workspace.Allocate<float>(2 * kLightningBlock),
          .after = workspace.Allocate<float>(2 * kLightningBlock)};
}

HWY_INLINE void FillDecayTable(float decay, const DecayTable& table) {
  for (int64_t n = 0; n <= kLightningBlock; ++n) {
    table.powers[n] = static_cast<float>(std::exp(-double{decay} * static_cast<double>(n)));
  }
  for (int64_t n = 0; n < kLightningBlock; ++n) {
    table.before[kLightningBlock - 1 - n] = table.powers[n];
    table.before[kLightningBlock + n] = 0.0F;
    table.after[kLightningBlock + n] = table.powers[n];
    table.after[n] = 0.0F;
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
};

// Packed operands of one block; one set per thread.
struct LightningScratch {
  Matrix q;       // [kLightningBlock, dim]
  Matrix kt;      // [dim, kLightningBlock]
  Matrix v;       // [kLightningBlock, padded columns], like state and out
  Matrix state;   // [dim, padded columns]
  Matrix out;     // [kProductRows, padded columns]
  Matrix scores;  // [kProductRows, kLightningBlock]
  float* keep;    // [dim]: exp(-decay * tokens of the block), for every row of the state
};

HWY_INLINE LightningScratch AllocateLightningScratch(Workspace& workspace, int64_t dim,
                                                     int64_t columns) {
  const int64_t padded = PadColumns(columns);
  return {.q = workspace.AllocateMatrix(kLightningBlock, dim),
          .kt = workspace.AllocateMatrix(dim, kLightningBlock),
          .v = workspace.AllocateMatrix(kLightningBlock, padded),
          .state = workspace.AllocateMatrix(dim, padded),
          .out = workspace.AllocateMatrix(kProductRows, padded),
          .scores = workspace.AllocateMatrix(kProductRows, kLightningBlock),
          .keep = workspace.Allocate<float>(dim)};
}

// What a block does with the state before and after it.
struct StateUse {
  bool read;   // false: nothing came before, and the state holds anything
  bool write;  // false: nothing comes after
};

// Tokens [first, first + count) of the task, count <= kLightningBlock: report eq. 4-9. Columns of
// packed matrices past the last token hold anything and are never summed over.
HWY_INLINE void LightningBlock(const LightningTask& task, const DecayTable& decay, int64_t first,
                               int64_t count, StateUse use, const LightningScratch& scratch) {
  const int64_t dim = scratch.state.rows;
  CopyPadded(task.q.Rows(first, count), scratch.q);
  Transpose(task.k.Rows(first, count), scratch.kt);
  CopyPadded(task.v.Rows(first, count), scratch.v);

  for (int64_t i = 0; i < count; i += kProductRows) {
    const int64_t rows = std::min(kProductRows, count - i);
    const int64_t seen = i + rows;  // tokens that the last row sees
    const Matrix scores = scratch.scores.Rows(0, rows).Cols(0, PadColumns(seen));
    const ConstMatrix q = scratch.q.Rows(i, rows);
    Product(dim, q, scratch.kt, nullptr, scores);
    for (int64_t r = 0; r < rows; ++r) {
      MultiplyRow(scores.cols, decay.Before(i + r), scores.row(r));
    }
    const Matrix out = scratch.out.Rows(0, rows);
    if (use.read) Product(dim, q, scratch.state, nullptr, out);
    Product(seen, scores, scratch.v, use.read ? decay.powers + 1 + i : nullptr, out);
    for (int64_t r = 0; r < rows; ++r) {
      CopyRow(task.out.cols, out.row(r), task.out.row(first + i + r));
    }
  }

  if (!use.write) return;
  for (int64_t c = 0; c < dim; ++c) {
    MultiplyRow(PadColumns(count), decay.Before(count - 1), scratch.kt.row(c));
  }
  std::fill_n(scratch.keep, dim, decay.powers[count]);
  Product(count, scratch.kt, scratch.v, use.read ? scratch.keep : nullptr, scratch.state);
}

}  // namespace fulmen::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // FULMEN_KERNELS_CPU_LIGHTNING_INL_H_
