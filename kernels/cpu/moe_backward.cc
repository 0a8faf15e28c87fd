#include <algorithm>

#include "kernels/cpu/register_training.h"
#include "kernels/moe.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/moe_backward.cc"
#include <hwy/foreach_target.h>
// After foreach_target.h.
#include <hwy/highway.h>

#include "kernels/cpu/moe_training-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fulmen::cpu::HWY_NAMESPACE {
namespace {

// Slots whose gradients are held at once, for the products along them; they stay in the L3 cache.
constexpr int64_t kBackwardRows = 2 * kMaxDepth;

HWY_INLINE FloatsV LoadUpTo(int64_t count, const float* from) {
  const Floats d;
  if (HWY_LIKELY(count == TileLanes())) return hn::LoadU(d, from);
  return WidenFirst(d, from, static_cast<size_t>(count));
}

// Operands of some slots of one expert.
template <Precision kPrecision>
struct BackwardOperands {
  BothWays<kPrecision> dgate, dup, dout;  // [slots, ffn or C]
  Matrix x, hidden;                       // across [slots, C or ffn]; hidden is weighted

  BackwardOperands(Workspace& workspace, int64_t width, int64_t ffn, int64_t slots)
      : dgate(workspace, slots, ffn),
        dup(workspace, slots, ffn),
        dout(workspace, slots, width),
        x(AllocateAcross<kPrecision>(workspace, slots, width)),
        hidden(AllocateAcross<kPrecision>(workspace, slots, ffn)) {}
};

// What one thread works in.
struct BackwardScratch {
  // [rows, kHiddenPanels panels]; first is dhidden before the slot's weight. In BF16 the gradients
  // that follow from it come here before they are packed, dgate in its place.
  Matrix first, dup, hidden;
  Matrix dx;        // [rows, C]
  float* dweights;  // [rows][lanes]: partial sums
};

BackwardScratch AllocateBackwardScratch(Workspace& workspace, int64_t width) {
  const auto columns = [&] {
    return workspace.AllocateMatrix(kTaskRows, kHiddenPanels * PanelColumns());
  };
  return {columns(), columns(), columns(), workspace.AllocateMatrix(kTaskRows, width),
          workspace.Allocate<float>(kTaskRows * TileLanes())};
}

// One call's operands.
struct BackwardCall {
  ConstMatrix x, weights, dout;
  MoeActivations kept;
  Matrix dx, dweights;
};

// The same columns of some slots' gradients, row by row.
struct HiddenGradients {
  Matrix dgate, dup, hidden;
};

// Columns [begin, begin + columns) of dgate, dup and the weighted hidden from those of dhidden.
// With sigma the sigmoid of gate g: d silu(g) / dg = sigma (1 + g (1 - sigma)).
void ActivateBackward(const BackwardCall& call, const Slots& slots, int64_t begin, int64_t columns,
                      const BackwardScratch& scratch, const HiddenGradients& to) {
  const Floats d;
  const int64_t lanes = TileLanes();
  const FloatsV one = hn::Set(d, 1.0F);
  for (int64_t r = 0; r < slots.count; ++r) {
    const int64_t token = slots.tokens[r];
    const int64_t slot = slots.slots[r];
    const FloatsV weight = hn::Set(d, call.weights.row(token)[slot - token * call.weights.cols]);
    const float* gate = call.kept.gate.row(slot) + begin;
    const float* up = call.kept.up.row(slot) + begin;
    const float* first = scratch.first.row(r);
    float* dgate = to.dgate.row(r);
    float* dup = to.dup.row(r);
    float* weighted_hidden = to.hidden.row(r);
    FloatsV dweight = hn::Load(d, scratch.dweights + r * lanes);
    for (int64_t c = 0; c < columns; c += lanes) {
      const int64_t rest = std::min(lanes, columns - c);
      const FloatsV g = LoadUpTo(rest, gate + c);
      const FloatsV u = LoadUpTo(rest, up + c);
      const FloatsV dh = LoadUpTo(rest, first + c);
      const FloatsV sigma = Sigmoid(d, g);
      const FloatsV silu = hn::Mul(g, sigma);
      const FloatsV hidden = hn::Mul(silu, u);
      dweight = hn::MulAdd(dh, hidden, dweight);
      const FloatsV weighted = hn::Mul(weight, dh);
      const FloatsV slope = hn::MulAdd(silu, hn::Sub(one, sigma), sigma);
      hn::StoreU(hn::Mul(hn::Mul(weighted, u), slope), d, dgate + c);
      hn::StoreU(hn::Mul(weighted, silu), d, dup + c);
      hn::StoreU(hn::Mul(weight, hidden), d, weighted_hidden + c);
    }
    hn::Store(dweight, d, scratch.dweights + r * lanes);
  }
}

// The operands that follow from dout, for some slots which are `row` and the following of those.
template <Precision kPrecision>
void BackwardHidden(const BackwardCall& call, const Slots& slots, int64_t row,
                    const PackedExpert& expert, const BackwardScratch& scratch,
                    const BackwardOperands<kPrecision>& operands) {
  const int64_t count = slots.count;
  operands.dout.Pack({call.dout.data, call.dout.stride, slots.tokens}, row, count, 0,
                     call.dout.cols);
  std::fill_n(scratch.dweights, slots.count * TileLanes(), 0.0F);
  for (int64_t panel = 0; panel < expert.down.Panels(); panel += kHiddenPanels) {
    const int64_t panel_end = std::min(panel + kHiddenPanels, expert.down.Panels());
    const int64_t begin = panel * PanelColumns();
    const int64_t columns = std::min(panel_end * PanelColumns(), expert.down.columns) - begin;
    Upcoming gate_and_up = KeptLines(call.kept, slots, begin, begin + columns);
    MultiplyAlong<kPrecision>(operands.dout.along.Rows(row, count), expert.down, panel, panel_end,
                              false, gate_and_up,
                              scratch.first.Cols(0, (panel_end - panel) * PanelColumns()));
    if constexpr (kPrecision == Precision::kFloat32) {
      const auto part = [&](const Matrix& m) { return m.Rows(row, count).Cols(begin, columns); };
      ActivateBackward(
          call, slots, begin, columns, scratch,
          {part(operands.dgate.along), part(operands.dup.along), part(operands.hidden)});
    } else {
      ActivateBackward(call, slots, begin, columns, scratch,
                       {scratch.first, scratch.dup, scratch.hidden});
      const GatheredRows dgate = {scratch.first.data, scratch.first.stride};
      operands.dgate.Pack(dgate, row, count, begin, columns);
      operands.dup.Pack({scratch.dup.data, scratch.dup.stride}, row, count, begin, columns);
      PackAcross<kPrecision>(
          {scratch.hidden.data, scratch.hidden.stride}, count,
          PartAcross<kPrecision>(operands.hidden, row, count).Cols(begin, columns));
    }
  }
}

// dx, dweights and the operands of the weight gradients for some slots, which are `row` and the
// following of the operands.
template <Precision kPrecision>
void BackwardSlots(const BackwardCall& call, const Slots& slots, int64_t row,
                   const PackedExpert& expert, const Slots& next, const BackwardScratch& scratch,
                   const BackwardOperands<kPrecision>& operands) {
  const Floats d;
  BackwardHidden<kPrecision>(call, slots, row, expert, scratch, operands);
  Upcoming inputs({call.x.data, call.x.stride, slots.tokens}, slots.count, 0, call.x.cols);
  inputs.Add({call.dx.data, call.dx.stride, slots.tokens});
  MultiplyAlong<kPrecision>(operands.dgate.along.Rows(row, slots.count), expert.gate, false, inputs,
                            scratch.dx);
  Upcoming upcoming({call.dout.data, call.dout.stride, next.tokens}, next.count, 0, call.dout.cols);
  MultiplyAlong<kPrecision>(operands.dup.along.Rows(row, slots.count), expert.up, true, upcoming,
                            scratch.dx);
  for (int64_t r = 0; r < slots.count; ++r) {
    const int64_t token = slots.tokens[r];
    AddScaled(call.dx.cols, 1.0F, scratch.dx.row(r), call.dx.row(token));
    call.dweights.row(token)[slots.slots[r] - token * call.weights.cols] =
        hn::GetLane(hn::SumOfLanes(d, hn::Load(d, scratch.dweights + r * TileLanes())));
  }
  PackAcross<kPrecision>({call.x.data, call.x.stride, slots.tokens}, slots.count,
                         PartAcross<kPrecision>(operands.x, row, slots.count));
}

// Adds to the gradients of one expert's weights.
template <Precision kPrecision>
void AddWeightGradients(KernelContext& context, const BackwardOperands<kPrecision>& operands,
                        const ExpertGradients& gradients) {
  struct Product {
    ConstMatrix a, b;
    Matrix c;
    Shares shares;
  };
  const int threads = context.pool.size();
  const auto product = [&](ConstMatrix a, ConstMatrix b, Matrix c) {
    return Product{a, b, c, Shares(CeilDiv(a.cols, kPanelRows), kAcrossTaskPanels, threads)};
  };
  const Product products[] = {product(operands.dgate.across, operands.x, gradients.gate),
                              product(operands.dup.across, operands.x, gradients.up),
                              product(operands.dout.across, operands.hidden, gradients.down)};
  int64_t tasks = 0;
  for (const Product& p : products) tasks += p.shares.tasks;
  context.pool.ParallelFor(tasks, [&](int64_t task, int) HWY_ATTR {
    const Product* p = products;
    while (task >= p->shares.tasks) task -= p++->shares.tasks;
    MultiplyAcross<kPrecision>(p->a, p->shares.Begin(task), p->shares.Begin(task + 1), p->b, p->c);
  });
}

template <Precision kPrecision>
void MoeBackward(KernelContext& context, ConstMatrix x,
                 std::span<const ExpertWeights> expert_weights, MatrixView<const int32_t> experts,
                 ConstMatrix weights, const MoeActivations& kept, ConstMatrix dout, Matrix dx,
                 Matrix dweights, std::span<const ExpertGradients> gradients) {
  CheckShapes(x, expert_weights, experts, weights, kept);
  const Workspace::Frame frame(context.scratch);
  Workspace& workspace = context.scratch;
  const auto expert_count = static_cast<int64_t>(expert_weights.size());
  const int64_t ffn = kept.gate.cols;
  const SlotsByExpert grouping = SortSlotsByExpert(workspace, experts, expert_count);
  const PackedExpert packed = {AllocateColumns<kPrecision>(workspace, x.cols, ffn),
                               AllocateColumns<kPrecision>(workspace, x.cols, ffn),
                               AllocateColumns<kPrecision>(workspace, ffn, x.cols)};
  auto* scratch = workspace.Allocate<BackwardScratch>(context.pool.size());
  for (int worker = 0; worker < context.pool.size(); ++worker) {
    scratch[worker] = AllocateBackwardScratch(workspace, x.cols);
  }
  Zero(context, dx);
  for (int64_t t = 0; t < dweights.rows; ++t) std::fill_n(dweights.row(t), dweights.cols, 0.0F);
  const int threads = context.pool.size();
  const BackwardCall call = {x, weights, dout, kept, dx, dweights};
  for (int64_t e = 0; e < expert_count; ++e) {
    const Slots slots = SlotsOf(grouping, e);
    if (slots.count == 0) continue;
    PackExpert<kPrecision, false>(context, expert_weights[static_cast<size_t>(e)], packed);
    for (int64_t first = 0; first < slots.count; first += kBackwardRows) {
      const Workspace::Frame block_frame(workspace);
      const Slots block = slots.Range(first, std::min(kBackwardRows, slots.count - first));
      const BackwardOperands<kPrecision> operands(workspace, x.cols, ffn, block.count);
      const SlotTasks tasks(block, threads);
      context.pool.ParallelFor(tasks.count(), [&](int64_t task, int worker) HWY_ATTR {
        BackwardSlots<kPrecision>(call, tasks[task], tasks.Row(task), packed, tasks[task + threads],
                                  scratch[worker], operands);
      });
      AddWeightGradients<kPrecision>(context, operands, gradients[static_cast<size_t>(e)]);
    }
  }
}

void Fill(TrainingKernels& kernels, Precision precision) {
  kernels.moe_backward = precision == Precision::kFloat32 ? MoeBackward<Precision::kFloat32>
                                                          : MoeBackward<Precision::kBFloat16>;
}

}  // namespace
}  // namespace fulmen::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fulmen::cpu {

HWY_EXPORT(Fill);

void RegisterMoeBackward(TrainingKernels& kernels, Precision precision) {
  HWY_DYNAMIC_DISPATCH(Fill)(kernels, precision);
}

}  // namespace fulmen::cpu
#endif  // HWY_ONCE
