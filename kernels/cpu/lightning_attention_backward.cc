#include <algorithm>

#include "kernels/cpu/longest_first.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/register_training.h"
#include "kernels/lightning_attention.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/lightning_attention_backward.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h:
#include "hwy/highway.h"
#include "kernels/cpu/elementwise-inl.h"
#include "kernels/cpu/lightning-inl.h"

// One task is one head of one document, whatever the number of threads. With p_tj = exp(-s (t -
// j)), the forward pass o_t = sum_{j<=t} p_tj (q_t . k_j) v_j has the gradients
//   dq_t = sum_{j<=t} p_tj (do_t . v_j) k_j
//   dk_j = sum_{t>=j} p_tj (v_j . do_t) q_t
//   dv_j = sum_{t>=j} p_tj (k_j . q_t) do_t
// The first is a forward pass of other operands; so is the last, from the end of the document to
// its start; and the state of dk is that of dv transposed. Kept from one sweep to the other are the
// products do_t . v_j within blocks, 32 floats per token and thread: 8 MB for 65,536 tokens. q, k
// and v are activated block by block as they are read, and gradients multiplied by the slope of
// SiLU as they are written: neither takes a pass through memory.
HWY_BEFORE_NAMESPACE();
namespace fulmen::cpu::HWY_NAMESPACE {
namespace {

// One set per thread.
struct Scratch {
  LightningScratch lightning;
  Qkv<float> active;  // of a block
  Matrix scores;      // [longest document, kLightningBlock]
  Matrix q;           // [kLightningBlock, padded dim]
  Matrix state_t;     // [dim, padded dim]: the state of dv, transposed
  Matrix out;         // [kProductRows, padded dim]
};

Scratch AllocateScratch(Workspace& workspace, int64_t dim, int64_t tokens) {
  return {.lightning = AllocateLightningScratch(workspace, dim),
          .active = {workspace.AllocateMatrix(kLightningBlock, 3 * dim)},
          .scores = workspace.AllocateMatrix(tokens, kLightningBlock),
          .q = workspace.AllocateMatrix(kLightningBlock, PadColumns(dim)),
          .state_t = workspace.AllocateMatrix(dim, PadColumns(dim)),
          .out = workspace.AllocateMatrix(kProductRows, PadColumns(dim))};
}

// dy <- dy * silu'(x)
void ActivateBackward(ConstMatrix x, Matrix dy) {
  for (int64_t r = 0; r < x.rows; ++r) {
    Map(x.row(r), dy.row(r), x.cols, dy.row(r), [](FloatsV v, FloatsV gradient) HWY_ATTR {
      return hn::Mul(gradient, SiluSlope(Floats(), v));
    });
  }
}

// One head of one document.
struct BackwardTask {
  Qkv<const float> inputs;
  ConstMatrix dout;
  Qkv<float> gradients;
};

// From the first token to the last; keeps the scores.
void QueryGradients(const BackwardTask& task, const DecayTable& decay, const Scratch& scratch) {
  const int64_t tokens = task.dout.rows;
  const int64_t dim = task.dout.cols;
  const LightningTask sequence = {
      .q = task.dout, .k = task.inputs.v(), .v = task.inputs.k(), .out = task.gradients.q()};
  for (int64_t first = 0; first < tokens; first += kLightningBlock) {
    const int64_t count = std::min(kLightningBlock, tokens - first);
    const Qkv<float> active = scratch.active.Rows(0, count);
    Activate(task.inputs.all.Rows(first, count).Cols(dim, 2 * dim), active.all.Cols(dim, 2 * dim));
    FetchRows(task.inputs.q(), first, count);
    LightningTask block = sequence.Rows(first, count);
    block.k = active.v();
    block.v = active.k();
    block.scores = scratch.scores.Rows(first, count);
    LightningBlock(block, 0, decay, {.read = first > 0, .write = first + count < tokens},
                   {sequence, first + count}, scratch.lightning);
    ActivateBackward(task.inputs.q().Rows(first, count), block.out);
  }
}

// dk of a block before its activation: exp(-decay * (count - j)) times the product of v_j with the
// state of what comes after, and what the block itself adds. `active` are its tokens, from `first`
// on.
void KeyGradients(const BackwardTask& task, const Qkv<float>& active, const DecayTable& decay,
                  int64_t first, const Scratch& scratch) {
  const int64_t count = active.all.rows;
  const bool read_state = first + count < task.dout.rows;
  const Matrix dk = task.gradients.k();
  CopyPadded(active.q(), scratch.q);
  for (int64_t j = 0; j < count; j += kProductRows) {
    const int64_t rows = std::min(kProductRows, count - j);
    if (first > 0) {
      FetchRows(task.inputs.v(), first - kLightningBlock + j, rows);
      FetchRows<true>(dk, first - kLightningBlock + j, rows);
    }
    const bool whole = dk.cols == scratch.q.cols;
    const Matrix out = whole ? dk.Rows(first + j, rows) : scratch.out.Rows(0, rows);
    float keep[kProductRows];
    for (int64_t r = 0; r < rows; ++r) keep[r] = decay.powers[count - j - r];
    if (read_state) Product(dk.cols, active.v().Rows(j, rows), scratch.state_t, nullptr, out);
    const ConstMatrix scores = scratch.scores.Rows(first + j, count - j).Cols(j, rows);
    Product<true>(count - j, scores, scratch.q.Rows(j, count - j), read_state ? keep : nullptr,
                  out);
    if (whole) continue;
    for (int64_t r = 0; r < rows; ++r) CopyRow(dk.cols, out.row(r), dk.row(first + j + r));
  }
}

// The same rows from the last to the first.
template <class T>
MatrixView<T> Reversed(const MatrixView<T>& matrix) {
  return {matrix.row(matrix.rows - 1), matrix.rows, matrix.cols, -matrix.stride};
}

// Keys and values, from the last token to the first.
void KeyValueGradients(const BackwardTask& task, const DecayTable& decay, const Scratch& scratch) {
  const int64_t tokens = task.dout.rows;
  const int64_t dim = task.dout.cols;
  const LightningTask sequence = {.q = Reversed(task.inputs.k()),
                                  .k = Reversed(task.inputs.q()),
                                  .v = Reversed(task.dout),
                                  .out = Reversed(task.gradients.v())};
  for (int64_t end = tokens; end > 0;) {
    const int64_t first = (end - 1) / kLightningBlock * kLightningBlock;
    const int64_t count = end - first;
    const Qkv<float> active = scratch.active.Rows(0, count);
    const Qkv<const float> inputs = task.inputs.Rows(first, count);
    Activate(inputs.all, active.all);
    KeyGradients(task, active, decay, first, scratch);
    LightningTask block = sequence.Rows(tokens - end, count);
    block.q = Reversed(active.k());
    block.k = Reversed(active.q());
    const StateUse use = {.read = end<tokens, .write = first> 0};
    LightningBlock(block, 0, decay, use, {sequence, tokens - first}, scratch.lightning);
    ActivateBackward(inputs.all.Cols(dim, 2 * dim),
                     task.gradients.all.Rows(first, count).Cols(dim, 2 * dim));
    for (int64_t e = 0; use.write && e < dim; e += kStatePanel) {
      const int64_t columns = std::min(kStatePanel, dim - e);
      Transpose(scratch.lightning.panels.State(e).Cols(0, columns),
                scratch.state_t.Rows(e, columns));
    }
    end = first;
  }
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
  const Slices slices = {.starts = starts, .positions = {}};
  CheckSlices(slices, qkv.rows);
  Workspace::Frame frame(context.scratch);
  const std::span<const Slice> documents = LongestFirst(context.scratch, slices);
  const DecayTable* tables = DecayTables(context.scratch, decay);
  const int64_t longest = documents.empty() ? 0 : documents.front().rows;
  const Scratch* scratch =
      AllocatePerThread(context, [&] { return AllocateScratch(context.scratch, dim, longest); });
  const int64_t tasks = static_cast<int64_t>(documents.size()) * heads;
  const int64_t work = 2 * qkv.rows * heads * dim * dim / TileLanes();
  ForTasks(context.pool, tasks, work, [&](int64_t index, int worker) {
    const Slice& document = documents[static_cast<size_t>(index / heads)];
    const int64_t head = index % heads;
    const auto part = [&](auto matrix, int64_t columns) {
      return matrix.Rows(document.first, document.rows).Cols(head * columns, columns);
    };
    const BackwardTask task = {{part(qkv, 3 * dim)}, part(dout, dim), {part(dqkv, 3 * dim)}};
    QueryGradients(task, tables[head], scratch[worker]);
    KeyValueGradients(task, tables[head], scratch[worker]);
  });
}

void Fill(TrainingKernels& kernels) {
  kernels.lightning_attention_backward = LightningAttentionBackward;
}

}  // namespace
}  // namespace fulmen::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fulmen::cpu {

HWY_EXPORT(Fill);

void RegisterLightningAttentionBackward(TrainingKernels& kernels) {
  HWY_DYNAMIC_DISPATCH(Fill)(kernels);
}

}  // namespace fulmen::cpu
#endif
