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
// j)), the forward pass o_t = sum_{j<=t} p_tj (q_t . k_j) v_j has the gradients
//   dq_t = sum_{j<=t} p_tj (do_t . v_j) k_j
//   dk_j = sum_{t>=j} p_tj (v_j . do_t) q_t
//   dv_j = sum_{t>=j} p_tj (k_j . q_t) do_t
// each a forward pass of other operands, the last two from the end of the document to its start,
// where the state of one is the other's transposed. The masked products do_t . v_j are computed in
// both directions, 4 % of the work at heads of 64. In return nothing is stored from one to the
// other: memory is two states per thread, however long the document.
HWY_BEFORE_NAMESPACE();
namespace fulmen::cpu::HWY_NAMESPACE {
namespace {

// One set per thread. The first sweep needs but one of them.
struct BackwardScratch {
  LightningScratch values;
  LightningScratch keys;
};

// Calls block(first, count, use) for the blocks of a document.
template <class Block>
void ForBlocks(int64_t tokens, const Block& block) {
  for (int64_t first = 0; first < tokens; first += kLightningBlock) {
    const int64_t count = std::min(kLightningBlock, tokens - first);
    block(first, count, StateUse{.read = first > 0, .write = first + count < tokens});
  }
}

void Forward(const LightningTask& task, const DecayTable& decay, const LightningScratch& scratch) {
  ForBlocks(task.q.rows, [&](int64_t first, int64_t count, StateUse use) {
    LightningBlock(task, decay, first, count, use, scratch);
  });
}

// The same rows from the last to the first.
template <class T>
MatrixView<T> Reversed(const MatrixView<T>& matrix) {
  return {matrix.row(matrix.rows - 1), matrix.rows, matrix.cols, -matrix.stride};
}

// One head of one document.
struct BackwardTask {
  ConstMatrix q, k, v, dout;
  Matrix dq, dk, dv;
};

void Backward(const BackwardTask& task, const DecayTable& decay, const BackwardScratch& scratch) {
  Forward({.q = task.dout, .k = task.v, .v = task.k, .out = task.dq}, decay, scratch.values);
  const ConstMatrix q = Reversed(task.q);
  const ConstMatrix dout = Reversed(task.dout);
  const LightningTask keys = {.q = Reversed(task.v), .k = dout, .v = q, .out = Reversed(task.dk)};
  const LightningTask values = {.q = Reversed(task.k), .k = q, .v = dout, .out = Reversed(task.dv)};
  ForBlocks(q.rows, [&](int64_t first, int64_t count, StateUse use) {
    LightningBlock(keys, decay, first, count, {.read = use.read, .write = false}, scratch.keys);
    LightningBlock(values, decay, first, count, use, scratch.values);
    if (use.write) Transpose(scratch.values.state.Cols(0, q.cols), scratch.keys.state);
  });
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
    scratch[worker] = {.values = AllocateLightningScratch(context.scratch, dim, dim),
                       .keys = AllocateLightningScratch(context.scratch, dim, dim)};
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
