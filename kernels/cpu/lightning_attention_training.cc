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
// The first is a forward pass of other operands; so is the last, from the end of the document to
// its start; and the state of dk is that of dv transposed. Kept from one sweep to the other are the
// products do_t . v_j within blocks, 32 floats per token and thread: 8 MB for 65,536 tokens.
HWY_BEFORE_NAMESPACE();
namespace fulmen::cpu::HWY_NAMESPACE {
namespace {

// One head of one document.
struct BackwardTask {
  ConstMatrix q, k, v, dout;
  Matrix dq, dk, dv;
};

// One set per thread.
struct BackwardScratch {
  LightningScratch lightning;
  Matrix scores;   // [longest document, kLightningBlock]
  Matrix q;        // [kLightningBlock, padded dim]
  Matrix state_t;  // [dim, padded dim]: the state of dv, transposed
};

BackwardScratch AllocateBackwardScratch(Workspace& workspace, int64_t dim, int64_t tokens) {
  return {.lightning = AllocateLightningScratch(workspace, dim, dim),
          .scores = workspace.AllocateMatrix(tokens, kLightningBlock),
          .q = workspace.AllocateMatrix(kLightningBlock, PadColumns(dim)),
          .state_t = workspace.AllocateMatrix(dim, PadColumns(dim))};
}

void Forward(const LightningTask& task, const DecayTable& decay, const LightningScratch& scratch) {
  const int64_t tokens = task.q.rows;
  for (int64_t first = 0; first < tokens; first += kLightningBlock) {
    const int64_t count = std::min(kLightningBlock, tokens - first);
    LightningBlock(task, decay, first, count, {.read = first > 0, .write = first + count < tokens},
                   scratch);
  }
}

// dk of the tokens [first, first + count): exp(-decay * (count - j)) times the product of v_j with
// the state of what comes after, and what the block itself adds.
void KeyGradients(const BackwardTask& task, const DecayTable& decay, int64_t first, int64_t count,
                  const BackwardScratch& scratch) {
  const bool read_state = first + count < task.q.rows;
  CopyPadded(task.q.Rows(first, count), scratch.q);
  for (int64_t j = 0; j < count; j += kProductRows) {
    const int64_t rows = std::min(kProductRows, count - j);
    if (first > 0) {
      FetchRows(task.v, first - kLightningBlock + j, rows);
      FetchRows<true>(task.dk, first - kLightningBlock + j, rows);
    }
    const bool whole = task.dk.cols == scratch.q.cols;
    const Matrix out = whole ? task.dk.Rows(first + j, rows) : scratch.lightning.out.Rows(0, rows);
    float keep[kProductRows];
    for (int64_t r = 0; r < rows; ++r) keep[r] = decay.powers[count - j - r];
    if (read_state) {
      Product(task.v.cols, task.v.Rows(first + j, rows), scratch.state_t, nullptr, out);
    }
    const ConstMatrix scores = scratch.scores.Rows(first + j, count - j).Cols(j, rows);
    Product<true>(count - j, scores, scratch.q.Rows(j, count - j), read_state ? keep : nullptr,
                  out);
    if (whole) continue;
    for (int64_t r = 0; r < rows; ++r) {
      CopyRow(task.dk.cols, out.row(r), task.dk.row(first + j + r));
    }
  }
}

// The same rows from the last to the first.
template <class T>
MatrixView<T> Reversed(const MatrixView<T>& matrix) {
  return {matrix.row(matrix.rows - 1), matrix.rows, matrix.cols, -matrix.stride};
}

void Backward(const BackwardTask& task, const DecayTable& decay, const BackwardScratch& scratch) {
  Forward({.q = task.dout, .k = task.v, .v = task.k, .out = task.dq, .scores = scratch.scores},
          decay, scratch.lightning);
  const LightningTask values = {.q = Reversed(task.k),
                                .k = Reversed(task.q),
                                .v = Reversed(task.dout),
                                .out = Reversed(task.dv)};
  const int64_t tokens = task.q.rows;
  for (int64_t end = tokens; end > 0;) {
    const int64_t first = (end - 1) / kLightningBlock * kLightningBlock;
    const int64_t count = end - first;
    KeyGradients(task, decay, first, count, scratch);
    const StateUse use = {.read = end<tokens, .write = first> 0};
    LightningBlock(values, decay, tokens - end, count, use, scratch.lightning);
    if (use.write) Transpose(scratch.lightning.state.Cols(0, task.q.cols), scratch.state_t);
    end = first;
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
  const LightningScratch* scratch = AllocatePerThread(
      context, [&] { return AllocateLightningScratch(context.scratch, dim, dim); });
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
  const int64_t longest = documents.empty() ? 0 : documents.front().tokens;
  const BackwardScratch* scratch = AllocatePerThread(
      context, [&] { return AllocateBackwardScratch(context.scratch, dim, longest); });
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
