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
// logits become probabilities and then gradients, from which dx follows; those of the whole block
// are kept for dhead. Scratch memory is the head once for either product and one block of
// gradients; in BF16 also kTaskRows rows of logits per thread.
HWY_BEFORE_NAMESPACE();
namespace fulmen::cpu::HWY_NAMESPACE {
namespace {

// Gradients of logits that are held at once, 8 MB of them; at least a longest block of the depth.
constexpr int64_t kBlockLogits = int64_t{2} << 20;

float Largest(int64_t count, const float* logits) {
  const Floats d;
  const int64_t lanes = TileLanes();
  float largest = -std::numeric_limits<float>::infinity();
  FloatsV maxima = hn::Set(d, largest);
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) maxima = hn::Max(maxima, hn::LoadU(d, logits + i));
  for (; i < count; ++i) largest = std::max(largest, logits[i]);
  return std::max(largest, hn::GetLane(hn::MaxOfLanes(d, maxima)));
}

// Logits whose exponentials are summed in float32; these sums are added in double.
constexpr int64_t kSummed = 384;

// The loss of one position; its `count` logits become their gradients times `scale` where these are
// wanted, else anything. Whole vectors are written.
double Token(int64_t count, float* logits, int64_t target, float scale, bool gradients) {
  const Floats d;
  const int64_t lanes = TileLanes();
  const float largest = Largest(count, logits);
  const FloatsV shift = hn::Set(d, largest);
  const double target_logit = logits[target];
  double total = 0;
  int64_t i = 0;
  while (i + lanes <= count) {
    FloatsV sum = hn::Zero(d);
    for (const int64_t end = std::min(i + kSummed, count); i + lanes <= end; i += lanes) {
      const FloatsV e = Exp(d, hn::Sub(hn::LoadU(d, logits + i), shift));
      sum = hn::Add(sum, e);
      hn::StoreU(e, d, logits + i);
    }
    total += double{hn::GetLane(hn::SumOfLanes(d, sum))};
  }
  if (i < count) {
    const FloatsV e = Exp(d, hn::Sub(hn::LoadU(d, logits + i), shift));
    hn::StoreU(e, d, logits + i);
    for (; i < count; ++i) total += double{logits[i]};
  }
  const double log_sum = double{largest} + std::log(total);
  if (!gradients) return log_sum - target_logit;
  const FloatsV factor = hn::Set(d, static_cast<float>(double{scale} / total));
  for (i = 0; i < count; i += lanes) {
    hn::StoreU(hn::Mul(factor, hn::LoadU(d, logits + i)), d, logits + i);
  }
  logits[target] = static_cast<float>(double{scale} * std::expm1(target_logit - log_sum));
  return log_sum - target_logit;
}

// What one thread works in.
struct Scratch {
  Matrix logits;  // [rows, V] in BF16, then their gradients; in float32 they lie in the operands
  Matrix dx;      // [rows, C]
};

template <Precision kPrecision>
Scratch AllocateScratch(Workspace& workspace, int64_t width, int64_t vocabulary) {
  Scratch scratch;
  if constexpr (kPrecision != Precision::kFloat32) {
    scratch.logits = AllocateRows(workspace, kTaskRows, vocabulary);
  }
  scratch.dx = workspace.AllocateMatrix(kTaskRows, width);
  return scratch;
}

// The head as right operand of either product, and those of a block.
template <Precision kPrecision>
struct Operands {
  PackedColumns logits_head, dx_head;
  BothWays<kPrecision> dlogits;  // [rows of the block, V]
  BothWays<kPrecision> x;        // [rows of the block, C]
};

// One call's operands.
struct Call {
  ConstMatrix x;
  std::span<const int32_t> targets;
  float scale;
  Matrix dx;  // empty where no gradient is wanted

  bool backward() const { return dx.data != nullptr; }
};

// Positions tokens[0 .. count), which are `row` and the following of the block: their dx, their
// part of the operands of dhead, and their losses.
template <Precision kPrecision>
void Positions(const Call& call, const int32_t* tokens, int64_t count, int64_t row,
               const Operands<kPrecision>& operands, const Scratch& scratch, double* losses) {
  constexpr bool kInPlace = kPrecision == Precision::kFloat32;
  const Matrix logits =
      kInPlace ? operands.dlogits.along.Rows(row, count) : scratch.logits.Rows(0, count);
  Upcoming nothing;
  operands.x.Pack({call.x.data, call.x.stride, tokens}, row, count, 0, call.x.cols);
  MultiplyAlong<kPrecision>(operands.x.along.Rows(row, count), operands.logits_head, false, nothing,
                            logits);
  for (int64_t r = 0; r < count; ++r) {
    losses[r] = Token(logits.cols, logits.row(r), call.targets[static_cast<size_t>(tokens[r])],
                      call.scale, call.backward());
  }
  if (!call.backward()) return;
  if constexpr (!kInPlace) {
    operands.dlogits.Pack({logits.data, logits.stride}, row, count, 0, logits.cols);
  }
  MultiplyAlong<kPrecision>(operands.dlogits.along.Rows(row, count), operands.dx_head, false,
                            nothing, scratch.dx);
  for (int64_t r = 0; r < count; ++r) {
    CopyRow(call.dx.cols, scratch.dx.row(r), call.dx.row(tokens[r]));
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
    } else if (call.backward()) {
      std::fill_n(call.dx.row(t), call.dx.cols, 0.0F);
    }
  }
  return count;
}

template <Precision kPrecision>
double CrossEntropy(KernelContext& context, ConstMatrix x, const WeightMatrix& head,
                    std::span<const int32_t> targets, float scale, Matrix dx, Matrix dhead) {
  const Call call = {x, targets, scale, dx};
  FULMEN_CHECK(x.rows == static_cast<int64_t>(targets.size()) && head.cols == x.cols &&
                   (!call.backward() || (dx.rows == x.rows && dx.cols == x.cols &&
                                         dhead.rows == head.rows && dhead.cols == x.cols)),
               "x is [{}, {}] for {} targets, head {}, dx [{}, {}], dhead [{}, {}]", x.rows, x.cols,
               targets.size(), Describe(head), dx.rows, dx.cols, dhead.rows, dhead.cols);
  const Workspace::Frame frame(context.scratch);
  Workspace& workspace = context.scratch;
  const int64_t vocabulary = head.rows;
  auto* tokens = workspace.Allocate<int32_t>(x.rows);
  const int64_t predicted = Predicted(call, vocabulary, tokens);
  const int threads = context.pool.size();
  Operands<kPrecision> operands = {
      AllocateColumns<kPrecision>(workspace, vocabulary, x.cols), {}, {}, {}};
  if (call.backward()) {
    operands.dx_head = AllocateColumns<kPrecision>(workspace, x.cols, vocabulary);
  }
  context.pool.ParallelFor(
      operands.logits_head.Panels() + operands.dx_head.Panels(), [&](int64_t task, int) HWY_ATTR {
        const int64_t panels = operands.logits_head.Panels();
        if (task < panels) {
          PackWeightPanel<kPrecision, true>(head, task, operands.logits_head);
        } else {
          PackWeightPanel<kPrecision, false>(head, task - panels, operands.dx_head);
        }
      });
  auto* scratch = workspace.Allocate<Scratch>(threads);
  for (int worker = 0; worker < threads; ++worker) {
    scratch[worker] = AllocateScratch<kPrecision>(workspace, x.cols, vocabulary);
  }
  auto* losses = workspace.Allocate<double>(predicted);
  const int64_t most = std::max(int64_t{1}, kBlockLogits / vocabulary / kMaxDepth) * kMaxDepth;
  for (int64_t first = 0; first < predicted; first += most) {
    const Workspace::Frame block_frame(workspace);
    const int64_t count = std::min(most, predicted - first);
    operands.dlogits = BothWays<kPrecision>(workspace, count, vocabulary);
    operands.x = BothWays<kPrecision>(workspace, count, x.cols);
    const Shares shares(CeilDiv(count, kPanelRows), kTaskPanels, threads);
    context.pool.ParallelFor(shares.tasks, [&](int64_t task, int worker) HWY_ATTR {
      const int64_t row = shares.Begin(task) * kPanelRows;
      const int64_t end = std::min(shares.Begin(task + 1) * kPanelRows, count);
      Positions<kPrecision>(call, tokens + first + row, end - row, row, operands, scratch[worker],
                            losses + first + row);
    });
    if (!call.backward()) continue;
    const Shares rows(CeilDiv(vocabulary, kPanelRows), kAcrossTaskPanels, threads);
    context.pool.ParallelFor(rows.tasks, [&](int64_t task, int) HWY_ATTR {
      MultiplyAcross<kPrecision>(operands.dlogits.across, rows.Begin(task), rows.Begin(task + 1),
                                 operands.x.across, dhead);
    });
  }
  double loss = 0;
  for (int64_t i = 0; i < predicted; ++i) loss += losses[i];
  return loss;
}

void Fill(TrainingKernels& kernels, Precision precision) {
  kernels.cross_entropy = precision == Precision::kFloat32 ? CrossEntropy<Precision::kFloat32>
                                                           : CrossEntropy<Precision::kBFloat16>;
}

}  // namespace
}  // namespace fulmen::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fulmen::cpu {

HWY_EXPORT(Fill);

void RegisterCrossEntropy(TrainingKernels& kernels, Precision precision) {
  HWY_DYNAMIC_DISPATCH(Fill)(kernels, precision);
}

}  // namespace fulmen::cpu
#endif  // HWY_ONCE
