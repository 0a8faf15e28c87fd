#include <algorithm>

#include "kernels/cpu/packing.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/register_training.h"
#include "kernels/lightning_attention.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/lightning_attention_training.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h:
#include "hwy/highway.h"
#include "kernels/cpu/lightning-inl.h"

// One task is one head of one document, whatever the number of threads. With p_tj = exp(-s (t -
// j)), the gradients of o_t = sum_{j<=t} p_tj (q_t . k_j) v_j are
//   dq_t = S_t do_t    where S_t = sum_{j<=t} p_tj k_j v_j^T, block by block from the first on
//   dk_j = R_j v_j     where R_j = sum_{t>=j} p_tj q_t do_t^T, block by block from the last back
//   dv_j = R_j^T k_j
// The masked products dO V^T serve dq as well as dk and are computed in both sweeps, 4 % of the
// work at heads of 64. In return nothing is stored from one sweep to the other: memory is two
// states per thread, however long the document.
HWY_BEFORE_NAMESPACE();
namespace fulmen::cpu::HWY_NAMESPACE {
namespace {

constexpr int64_t kBlock = kLightningBlock;

// One head of one document.
struct BackwardTask {
  ConstMatrix q, k, v, dout;
  Matrix dq, dk, dv;

  int64_t tokens() const { return q.rows; }
};

// Packed operands of one block; one set per thread.
struct BackwardScratch {
  Matrix q, k, v, dout;      // [kBlock, padded dim]
  Matrix first_t, second_t;  // [dim, kBlock]: two of the above, transposed
  Matrix state;              // [dim, padded dim]: S^T going forward, R going back
  Matrix state_t;            // [dim, padded dim]: R^T
  Matrix scores;             // [kProductRows, kBlock]
  Matrix out;                // [kProductRows, padded dim]
  float* keep;               // [dim]: exp(-decay * tokens of the block), for every row of the state
};

BackwardScratch AllocateBackwardScratch(Workspace& workspace, int64_t dim) {
  const int64_t padded = PadColumns(dim);
  return {.q = workspace.AllocateMatrix(kBlock, padded),
          .k = workspace.AllocateMatrix(kBlock, padded),
          .v = workspace.AllocateMatrix(kBlock, padded),
          .dout = workspace.AllocateMatrix(kBlock, padded),
          .first_t = workspace.AllocateMatrix(dim, kBlock),
          .second_t = workspace.AllocateMatrix(dim, kBlock),
          .state = workspace.AllocateMatrix(dim, padded),
          .state_t = workspace.AllocateMatrix(dim, padded),
          .scores = workspace.AllocateMatrix(kProductRows, kBlock),
          .out = workspace.AllocateMatrix(kProductRows, padded),
          .keep = workspace.Allocate<float>(dim)};
}

void CopyRows(ConstMatrix from, Matrix to) {
  for (int64_t r = 0; r < to.rows; ++r) CopyRow(to.cols, from.row(r), to.row(r));
}

// state <- exp(-decay * count) state + at diag(factors) b over the `count` tokens of one block:
// `at` is [dim, count] and overwritten, `b` [count, padded dim].
void UpdateState(const DecayTable& decay, const float* factors, int64_t count, bool fresh,
                 Matrix at, ConstMatrix b, const BackwardScratch& scratch) {
  for (int64_t r = 0; r < at.rows; ++r) MultiplyRow(PadColumns(count), factors, at.row(r));
  std::fill_n(scratch.keep, at.rows, decay.powers[count]);
  Product(count, at, b, fresh ? nullptr : scratch.keep, scratch.state);
}

// dq of the tokens [first, first + count); the state is that before them and then after them.
void ForwardBlock(const BackwardTask& task, const DecayTable& decay, int64_t first, int64_t count,
                  const BackwardScratch& scratch) {
  const int64_t dim = task.q.cols;
  const bool fresh = first == 0;
  const Matrix vt = scratch.first_t;
  CopyPadded(task.k.Rows(first, count), scratch.k);
  CopyPadded(task.dout.Rows(first, count), scratch.dout);
  Transpose(task.v.Rows(first, count), vt);
  for (int64_t i = 0; i < count; i += kProductRows) {
    const int64_t rows = std::min(kProductRows, count - i);
    const int64_t seen = i + rows;  // tokens that the last row sees
    const ConstMatrix dout = scratch.dout.Rows(i, rows);
    const Matrix scores = scratch.scores.Rows(0, rows).Cols(0, PadColumns(seen));
    Product(dim, dout, vt, nullptr, scores);
    for (int64_t r = 0; r < rows; ++r) {
      MultiplyRow(scores.cols, decay.Before(i + r), scores.row(r));
    }
    const Matrix out = scratch.out.Rows(0, rows);
    if (!fresh) Product(dim, dout, scratch.state, nullptr, out);
    Product(seen, scores, scratch.k, fresh ? nullptr : decay.powers + 1 + i, out);
    CopyRows(out, task.dq.Rows(first + i, rows));
  }
  if (first + count == task.tokens()) return;
  UpdateState(decay, decay.Before(count - 1), count, fresh, vt, scratch.k, scratch);
}

// Rows [j, j + rows) of `to`: exp(-decay * (count - j)) a_j R, R being `mirrored`, plus what the
// tokens i of this block at or after j add, exp(-decay * (i - j)) (a_j . b_i) c_i with b
// transposed.
struct MirroredRows {
  ConstMatrix a, bt, c, mirrored;
  Matrix to;
};

void GradientRows(const MirroredRows& operands, const DecayTable& decay, int64_t j, int64_t rows,
                  int64_t count, bool fresh, const BackwardScratch& scratch) {
  const int64_t dim = operands.a.cols;
  const int64_t from = j / TileLanes() * TileLanes();
  const ConstMatrix a = operands.a.Rows(j, rows);
  const Matrix scores = scratch.scores.Rows(0, rows).Cols(0, PadColumns(count - from));
  const Matrix out = scratch.out.Rows(0, rows);
  Product(dim, a, operands.bt.Cols(from, scores.cols), nullptr, scores);
  float keep[kProductRows];
  for (int64_t r = 0; r < rows; ++r) {
    MultiplyRow(scores.cols, decay.After(j + r) + from, scores.row(r));
    keep[r] = decay.powers[count - j - r];
  }
  if (!fresh) Product(dim, a, operands.mirrored, nullptr, out);
  Product(count - j, scores.Cols(j - from, count - j), operands.c.Rows(j, count - j),
          fresh ? nullptr : keep, out);
  CopyRows(out, operands.to.Rows(j, rows));
}

// dk and dv of the tokens [first, first + count); the state is that after them and then with them.
void ReverseBlock(const BackwardTask& task, const DecayTable& decay, int64_t first, int64_t count,
                  const BackwardScratch& scratch) {
  const int64_t dim = task.q.cols;
  const bool fresh = first + count == task.tokens();
  const Matrix dout_t = scratch.first_t;
  const Matrix qt = scratch.second_t;
  CopyPadded(task.q.Rows(first, count), scratch.q);
  CopyPadded(task.k.Rows(first, count), scratch.k);
  CopyPadded(task.v.Rows(first, count), scratch.v);
  CopyPadded(task.dout.Rows(first, count), scratch.dout);
  Transpose(task.dout.Rows(first, count), dout_t);
  Transpose(task.q.Rows(first, count), qt);
  const MirroredRows keys = {.a = scratch.v.Cols(0, dim),
                             .bt = dout_t,
                             .c = scratch.q,
                             .mirrored = scratch.state_t,
                             .to = task.dk.Rows(first, count)};
  const MirroredRows values = {.a = scratch.k.Cols(0, dim),
                               .bt = qt,
                               .c = scratch.dout,
                               .mirrored = scratch.state,
                               .to = task.dv.Rows(first, count)};
  for (int64_t j = 0; j < count; j += kProductRows) {
    const int64_t rows = std::min(kProductRows, count - j);
    GradientRows(keys, decay, j, rows, count, fresh, scratch);
    GradientRows(values, decay, j, rows, count, fresh, scratch);
  }
  if (first == 0) return;
  UpdateState(decay, decay.After(0), count, fresh, qt, scratch.dout, scratch);
  Transpose(scratch.state.Cols(0, dim), scratch.state_t);
}

void Backward(const BackwardTask& task, const DecayTable& decay, const BackwardScratch& scratch) {
  const int64_t blocks = (task.tokens() + kBlock - 1) / kBlock;
  const auto count = [&](int64_t block) {
    return std::min(kBlock, task.tokens() - block * kBlock);
  };
  for (int64_t block = 0; block < blocks; ++block) {
    ForwardBlock(task, decay, block * kBlock, count(block), scratch);
  }
  for (int64_t block = blocks - 1; block >= 0; --block) {
    ReverseBlock(task, decay, block * kBlock, count(block), scratch);
  }
}

void Forward(const LightningTask& task, const DecayTable& decay, const LightningScratch& scratch) {
  for (int64_t first = 0; first < task.q.rows; first += kBlock) {
    const int64_t count = std::min(kBlock, task.q.rows - first);
    const StateUse use = {.read = first > 0, .write = first + count < task.q.rows};
    LightningBlock(task, decay, first, count, use, scratch);
  }
}

DecayTable* DecayTables(Workspace& workspace, std::span<const float> decay) {
  DecayTable* tables = workspace.Allocate<DecayTable>(static_cast<int64_t>(decay.size()));
  for (size_t head = 0; head < decay.size(); ++head) {
    tables[head] = AllocateDecayTable(workspace);
    FillDecayTable(decay[head], tables[head]);
  }
  return tables;
}

void LightningAttentionPacked(KernelContext& context, ConstMatrix qkv, std::span<const float> decay,
                              std::span<const int64_t> starts, Matrix out) {
  const int64_t heads = static_cast<int64_t>(decay.size());
  const int64_t dim = qkv.cols / (3 * heads);
  FULMEN_CHECK(qkv.cols == heads * 3 * dim && out.cols == heads * dim && out.rows == qkv.rows,
               "qkv is [{}, {}], out [{}, {}] for {} heads", qkv.rows, qkv.cols, out.rows, out.cols,
               heads);
  Workspace::Frame frame(context.scratch);
  const std::span<const Document> documents = LongestFirst(context.scratch, starts, qkv.rows);
  const DecayTable* tables = DecayTables(context.scratch, decay);
  LightningScratch* scratch = context.scratch.Allocate<LightningScratch>(context.pool.size());
  for (int worker = 0; worker < context.pool.size(); ++worker) {
    scratch[worker] = AllocateLightningScratch(context.scratch, dim, dim);
  }
  const int64_t tasks = static_cast<int64_t>(documents.size()) * heads;
  const int64_t work = qkv.rows * heads * dim * dim / TileLanes();
  ForTasks(context.pool, tasks, work, [&](int64_t index, int worker) {
    const Document document = documents[static_cast<size_t>(index / heads)];
    const int64_t head = index % heads;
    const ConstMatrix inputs =
        qkv.Rows(document.first, document.tokens).Cols(head * 3 * dim, 3 * dim);
    const LightningTask task = {
        .q = inputs.Cols(0, dim),
        .k = inputs.Cols(dim, dim),
        .v = inputs.Cols(2 * dim, dim),
        .out = out.Rows(document.first, document.tokens).Cols(head * dim, dim)};
    Forward(task, tables[head], scratch[worker]);
  });
}

void LightningAttentionBackward(KernelContext& context, ConstMatrix qkv,
                                std::span<const float> decay, std::span<const int64_t> starts,
                                ConstMatrix dout, Matrix dqkv) {
  const int64_t heads = static_cast<int64_t>(decay.size());
  const int64_t dim = qkv.cols / (3 * heads);
  FULMEN_CHECK(qkv.cols == heads * 3 * dim && dout.cols == heads * dim && dout.rows == qkv.rows &&
                   dqkv.cols == qkv.cols && dqkv.rows == qkv.rows,
               "qkv is [{}, {}], dout [{}, {}], dqkv [{}, {}] for {} heads", qkv.rows, qkv.cols,
               dout.rows, dout.cols, dqkv.rows, dqkv.cols, heads);
  Workspace::Frame frame(context.scratch);
  const std::span<const Document> documents = LongestFirst(context.scratch, starts, qkv.rows);
  const DecayTable* tables = DecayTables(context.scratch, decay);
  BackwardScratch* scratch = context.scratch.Allocate<BackwardScratch>(context.pool.size());
  for (int worker = 0; worker < context.pool.size(); ++worker) {
    scratch[worker] = AllocateBackwardScratch(context.scratch, dim);
  }
  const int64_t tasks = static_cast<int64_t>(documents.size()) * heads;
  const int64_t work = 2 * qkv.rows * heads * dim * dim / TileLanes();
  ForTasks(context.pool, tasks, work, [&](int64_t index, int worker) {
    const Document document = documents[static_cast<size_t>(index / heads)];
    const int64_t head = index % heads;
    const auto part = [&](auto matrix, int64_t column) {
      return matrix.Rows(document.first, document.tokens).Cols(column * dim, dim);
    };
    const BackwardTask task = {.q = part(qkv, 3 * head),
                               .k = part(qkv, 3 * head + 1),
                               .v = part(qkv, 3 * head + 2),
                               .dout = part(dout, head),
                               .dq = part(dqkv, 3 * head),
                               .dk = part(dqkv, 3 * head + 1),
                               .dv = part(dqkv, 3 * head + 2)};
    Backward(task, tables[head], scratch[worker]);
  });
}

void Fill(TrainingKernels& kernels) {
  kernels.lightning_attention_packed = LightningAttentionPacked;
  kernels.lightning_attention_backward = LightningAttentionBackward;
}

}  // namespace
}  // namespace fulmen::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fulmen::cpu {

HWY_EXPORT(Fill);

void RegisterAttentionBackward(TrainingKernels& kernels) {
  HWY_DYNAMIC_DISPATCH(Fill)(kernels);
  RegisterSoftmaxAttentionPacked(kernels);
  RegisterSoftmaxAttentionBackward(kernels);
}

}  // namespace fulmen::cpu
#endif
