#include "kernels/cross_entropy.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/cpu/register_training.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/cross_entropy.cc"
#include <hwy/foreach_target.h>
// After foreach_target.h.
#include <hwy/highway.h>

#include "kernels/cpu/products-inl.h"

// Predicted positions are gathered and taken in blocks. A task is some positions of a block: their
// logits become probabilities and then gradients in the task's own memory, from which dx follows;
// the gradients of the whole block are kept, packed, for dhead. Scratch memory is the head twice
// (for either product), kTaskRows rows of logits per thread and one block of gradients.
HWY_BEFORE_NAMESPACE();
namespace fulmen::cpu::HWY_NAMESPACE {
namespace {

// Gradients of logits that are held at once, 8 MB of them; at least a longest block of the depth.
constexpr int64_t kBlockLogits = int64_t{2} << 20;

// Row `row` of the columns of one block of the vocabulary.
HWY_INLINE float* Segment(const PackedAlong& logits, int64_t block, int64_t row) {
  return logits.Block(block) + row * kRowStride;
}

float Largest(const PackedAlong& logits, int64_t row) {
  const Floats d;
  const int64_t lanes = TileLanes();
  float largest = -std::numeric_limits<float>::infinity();
  FloatsV maxima = hn::Set(d, largest);
  for (int64_t block = 0; block < logits.blocks.Count(); ++block) {
    const float* from = Segment(logits, block, row);
    const int64_t count = logits.blocks.Size(block);
    int64_t i = 0;
    for (; i + lanes <= count; i += lanes) maxima = hn::Max(maxima, hn::LoadU(d, from + i));
    for (; i < count; ++i) largest = std::max(largest, from[i]);
  }
  return std::max(largest, hn::GetLane(hn::MaxOfLanes(d, maxima)));
}

// The loss of row `row`; its logits become their gradients times `scale`.
double Token(const PackedAlong& logits, int64_t row, int64_t target, float scale) {
  const Floats d;
  const int64_t lanes = TileLanes();
  const float largest = Largest(logits, row);
  const FloatsV shift = hn::Set(d, largest);
  const int64_t block_size = logits.blocks.size;
  float* at_target = Segment(logits, target / block_size, row) + target % block_size;
  const double target_logit = *at_target;
  double total = 0;
  for (int64_t block = 0; block < logits.blocks.Count(); ++block) {
    float* segment = Segment(logits, block, row);
    const int64_t count = logits.blocks.Size(block);
    FloatsV sum = hn::Zero(d);
    int64_t i = 0;
    for (; i + lanes <= count; i += lanes) {
      const FloatsV e = Exp(d, hn::Sub(hn::LoadU(d, segment + i), shift));
      sum = hn::Add(sum, e);
      hn::StoreU(e, d, segment + i);
    }
    if (i < count) {
      const FloatsV e = Exp(d, hn::Sub(hn::LoadU(d, segment + i), shift));
      hn::StoreU(e, d, segment + i);
      for (int64_t j = i; j < count; ++j) total += double{segment[j]};
    }
    total += double{hn::GetLane(hn::SumOfLanes(d, sum))};
  }
  const FloatsV factor = hn::Set(d, static_cast<float>(double{scale} / total));
  for (int64_t block = 0; block < logits.blocks.Count(); ++block) {
    float* segment = Segment(logits, block, row);
    for (int64_t i = 0; i < logits.blocks.Size(block); i += lanes) {
      hn::StoreU(hn::Mul(factor, hn::LoadU(d, segment + i)), d, segment + i);
    }
  }
  const double log_sum = double{largest} + std::log(total);
  *at_target = static_cast<float>(double{scale} * std::expm1(target_logit - log_sum));
  return log_sum - target_logit;
}

struct Scratch {
  PackedAlong x;       // [rows, C]
  PackedAlong logits;  // [rows, V]
  Matrix dx;           // [rows, C]
};

// The head as right operand of either product, and what dhead is a product of.
struct Operands {
  PackedColumns logits_head, dx_head;
  PackedAcross dlogits;  // [V, rows of the block]
  PackedColumns x;       // [rows of the block, C]
};

// One call's operands.
struct Call {
  ConstMatrix x;
  std::span<const int32_t> targets;
  float scale;
  Matrix dx;
};

// Positions tokens[0 .. count), which are `row` and the following of the block: their dx, their
// part of the operands of dhead, and their losses.
void Positions(const Call& call, const int32_t* tokens, int64_t count, int64_t row,
               const Operands& operands, Scratch scratch, double* losses) {
  scratch.x.rows = count;
  scratch.logits.rows = count;
  const GatheredRows x = {call.x.data, call.x.stride, tokens};
  Upcoming nothing;
  PackAlong(x, scratch.x);
  for (int64_t panel = 0; panel < operands.x.Panels(); ++panel) {
    PackColumns(x, panel, row, count, operands.x);
  }
  const DepthBlocks& blocks = scratch.logits.blocks;
  for (int64_t block = 0; block < blocks.Count(); ++block) {
    const int64_t panel = blocks.Begin(block) / PanelColumns();
    const int64_t end = panel + CeilDiv(blocks.Size(block), PanelColumns());
    MultiplyAlong(scratch.x, operands.logits_head, panel, end, false, nothing,
                  {scratch.logits.Block(block), count, blocks.Size(block), kRowStride});
  }
  for (int64_t r = 0; r < count; ++r) {
    losses[r] = Token(scratch.logits, r, call.targets[static_cast<size_t>(tokens[r])], call.scale);
  }
  MultiplyAlong(scratch.logits, operands.dx_head, false, nothing, scratch.dx);
  for (int64_t r = 0; r < count; ++r) {
    CopyRow(call.dx.cols, scratch.dx.row(r), call.dx.row(tokens[r]));
  }
  for (int64_t block = 0; block < blocks.Count(); ++block) {
    const PackedAcross& to = operands.dlogits;
    PackAcross({scratch.logits.Block(block), kRowStride}, row, count,
               {to.Panel(blocks.Begin(block) / kPanelRows), blocks.Size(block), to.depth});
  }
}

// The positions that predict something; dx of the others becomes zero.
int64_t Predicted(const Call& call, int64_t vocabulary, int32_t* tokens) {
  int64_t count = 0;
  for (int64_t t = 0; t < call.x.rows; ++t) {
    const int32_t target = call.targets[static_cast<size_t>(t)];
    FULMEN_CHECK(target >= -1 && target < vocabulary, "target {} of a vocabulary of {}", target,
                 vocabulary);
    if (target >= 0) {
      tokens[count++] = static_cast<int32_t>(t);
    } else {
      std::fill_n(call.dx.row(t), call.dx.cols, 0.0F);
    }
  }
  return count;
}

double CrossEntropy(KernelContext& context, ConstMatrix x, const TensorView& head,
                    std::span<const int32_t> targets, float scale, Matrix dx, Matrix dhead) {
  FULMEN_CHECK(x.rows == static_cast<int64_t>(targets.size()) && head.cols() == x.cols &&
                   dx.rows == x.rows && dx.cols == x.cols && dhead.rows == head.rows() &&
                   dhead.cols == x.cols,
               "x is [{}, {}] for {} targets, head {}, dx [{}, {}], dhead [{}, {}]", x.rows, x.cols,
               targets.size(), ShapeString(head.shape), dx.rows, dx.cols, dhead.rows, dhead.cols);
  const Workspace::Frame frame(context.scratch);
  Workspace& workspace = context.scratch;
  const int64_t vocabulary = head.rows();
  const Call call = {x, targets, scale, dx};
  auto* tokens = workspace.Allocate<int32_t>(x.rows);
  const int64_t predicted = Predicted(call, vocabulary, tokens);
  const int threads = context.pool.size();
  Operands operands = {AllocateColumns(workspace, vocabulary, x.cols),
                       AllocateColumns(workspace, x.cols, vocabulary),
                       {},
                       {}};
  context.pool.ParallelFor(operands.logits_head.Panels() + operands.dx_head.Panels(),
                           [&](int64_t task, int) HWY_ATTR {
                             const int64_t panels = operands.logits_head.Panels();
                             if (task < panels) {
                               PackWeightPanel<true>(head, 0, task, operands.logits_head);
                             } else {
                               PackWeightPanel<false>(head, 0, task - panels, operands.dx_head);
                             }
                           });
  auto* scratch = workspace.Allocate<Scratch>(threads);
  for (int worker = 0; worker < threads; ++worker) {
    scratch[worker] = {AllocateAlong(workspace, x.cols), AllocateAlong(workspace, vocabulary),
                       workspace.AllocateMatrix(kTaskRows, x.cols)};
  }
  auto* losses = workspace.Allocate<double>(predicted);
  const int64_t most = std::max(int64_t{1}, kBlockLogits / vocabulary / kMaxDepth) * kMaxDepth;
  for (int64_t first = 0; first < predicted; first += most) {
    const Workspace::Frame block_frame(workspace);
    const int64_t count = std::min(most, predicted - first);
    operands.dlogits = AllocateAcross(workspace, vocabulary, count);
    operands.x = AllocateColumns(workspace, x.cols, count);
    const Shares shares(CeilDiv(count, kPanelRows), kTaskPanels, threads);
    context.pool.ParallelFor(shares.tasks, [&](int64_t task, int worker) HWY_ATTR {
      const int64_t row = shares.Begin(task) * kPanelRows;
      const int64_t end = std::min(shares.Begin(task + 1) * kPanelRows, count);
      Positions(call, tokens + first + row, end - row, row, operands, scratch[worker],
                losses + first + row);
    });
    const Shares rows(operands.dlogits.Panels(), kTaskPanels, threads);
    context.pool.ParallelFor(rows.tasks, [&](int64_t task, int) HWY_ATTR {
      MultiplyAcross(operands.dlogits, rows.Begin(task), rows.Begin(task + 1), operands.x, dhead);
    });
  }
  double loss = 0;
  for (int64_t i = 0; i < predicted; ++i) loss += losses[i];
  return loss;
}

void Fill(TrainingKernels& kernels) { kernels.cross_entropy = CrossEntropy; }

}  // namespace
}  // namespace fulmen::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fulmen::cpu {

HWY_EXPORT(Fill);

void RegisterCrossEntropy(TrainingKernels& kernels) { HWY_DYNAMIC_DISPATCH(Fill)(kernels); }

}  // namespace fulmen::cpu
#endif  // HWY_ONCE
