#include <algorithm>

#include "kernels/cpu/register_training.h"
#include "kernels/moe.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/moe_training.cc"
#include <hwy/foreach_target.h>
// After foreach_target.h.
#include <hwy/highway.h>

#include "kernels/cpu/moe_training-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fulmen::cpu::HWY_NAMESPACE {
namespace {

HWY_INLINE void StoreUpTo(FloatsV v, int64_t count, float* to) {
  const Floats d;
  if (HWY_LIKELY(count == TileLanes())) return hn::StoreU(v, d, to);
  StoreFirst(d, v, to, static_cast<size_t>(count));
}

// What one thread works in.
struct ForwardScratch {
  Matrix x, hidden;  // operands along [rows, C] and [rows, ffn]
  Matrix gate, up;   // [rows, kHiddenPanels panels]
  Matrix out;        // [rows, C]
};

template <Precision kPrecision>
ForwardScratch AllocateForwardScratch(Workspace& workspace, int64_t width, int64_t ffn) {
  const int64_t columns = kHiddenPanels * PanelColumns();
  return {AllocateAlong<kPrecision>(workspace, kTaskRows, width),
          AllocateAlong<kPrecision>(workspace, kTaskRows, ffn),
          workspace.AllocateMatrix(kTaskRows, columns),
          workspace.AllocateMatrix(kTaskRows, columns), workspace.AllocateMatrix(kTaskRows, width)};
}

// Columns [begin, begin + columns) of kept, and of hidden into `to`, from those of gate and up.
void Activate(const Slots& slots, int64_t begin, int64_t columns, const ForwardScratch& scratch,
              const MoeActivations& kept, Matrix to) {
  const Floats d;
  const int64_t lanes = TileLanes();
  for (int64_t r = 0; r < slots.count; ++r) {
    const float* gate = scratch.gate.row(r);
    const float* up = scratch.up.row(r);
    float* hidden = to.row(r);
    const bool keep = kept.gate.data != nullptr;
    float* kept_gate = keep ? kept.gate.row(slots.slots[r]) + begin : nullptr;
    float* kept_up = keep ? kept.up.row(slots.slots[r]) + begin : nullptr;
    for (int64_t c = 0; c < columns; c += lanes) {
      const FloatsV g = hn::LoadU(d, gate + c);
      const FloatsV u = hn::LoadU(d, up + c);
      if (keep) {
        StoreUpTo(g, std::min(lanes, columns - c), kept_gate + c);
        StoreUpTo(u, std::min(lanes, columns - c), kept_up + c);
      }
      hn::StoreU(hn::Mul(Silu(d, g), u), d, hidden + c);
    }
  }
}

// out += the weighted answers of one expert to some of its slots, where out is not empty.
template <Precision kPrecision>
void ForwardSlots(const Slots& slots, ConstMatrix x, const PackedExpert& expert,
                  ConstMatrix weights, const MoeActivations& kept, const Slots& next,
                  const ForwardScratch& scratch, Matrix out) {
  const Matrix packed_x = scratch.x.Rows(0, slots.count);
  const Matrix hidden = scratch.hidden.Rows(0, slots.count);
  PackAlong<kPrecision>({x.data, x.stride, slots.tokens}, x.cols, packed_x);
  Upcoming upcoming({x.data, x.stride, next.tokens}, next.count, 0, x.cols);
  for (int64_t panel = 0; panel < expert.gate.Panels(); panel += kHiddenPanels) {
    const int64_t panel_end = std::min(panel + kHiddenPanels, expert.gate.Panels());
    const int64_t begin = panel * PanelColumns();
    const int64_t columns = std::min(panel_end * PanelColumns(), expert.gate.columns) - begin;
    const int64_t packed_columns = (panel_end - panel) * PanelColumns();
    Upcoming gate_and_up = KeptLines(kept, slots, begin, begin + columns);
    MultiplyAlong<kPrecision>(packed_x, expert.gate, panel, panel_end, false, gate_and_up,
                              scratch.gate.Cols(0, packed_columns));
    MultiplyAlong<kPrecision>(packed_x, expert.up, panel, panel_end, false, upcoming,
                              scratch.up.Cols(0, packed_columns));
    const Matrix part = hidden.Cols(begin / kUnit<kPrecision>, Units<kPrecision>(columns));
    if constexpr (kPrecision == Precision::kFloat32) {
      Activate(slots, begin, columns, scratch, kept, part);
    } else {
      Activate(slots, begin, columns, scratch, kept, scratch.gate);
      PackAlong<kPrecision>({scratch.gate.data, scratch.gate.stride}, columns, part);
    }
  }
  if (out.data == nullptr) return;
  Upcoming outputs({out.data, out.stride, slots.tokens}, slots.count, 0, out.cols);
  MultiplyAlong<kPrecision>(hidden, expert.down, false, outputs, scratch.out);
  for (int64_t r = 0; r < slots.count; ++r) {
    const int64_t token = slots.tokens[r];
    AddScaled(out.cols, weights.row(token)[slots.slots[r] - token * weights.cols],
              scratch.out.row(r), out.row(token));
  }
}

template <Precision kPrecision>
void Moe(KernelContext& context, ConstMatrix x, std::span<const ExpertWeights> expert_weights,
         MatrixView<const int32_t> experts, ConstMatrix weights, const MoeActivations& kept,
         Matrix out) {
  CheckShapes(x, expert_weights, experts, weights, kept);
  FULMEN_CHECK(out.data == nullptr || (out.rows == x.rows && out.cols == x.cols),
               "out is [{}, {}] for x [{}, {}]", out.rows, out.cols, x.rows, x.cols);
  const Workspace::Frame frame(context.scratch);
  Workspace& workspace = context.scratch;
  const auto expert_count = static_cast<int64_t>(expert_weights.size());
  const int64_t ffn = expert_weights[0].gate.rows;
  const SlotsByExpert grouping = SortSlotsByExpert(workspace, experts, expert_count);
  const PackedExpert packed = {
      AllocateColumns<kPrecision>(workspace, ffn, x.cols),
      AllocateColumns<kPrecision>(workspace, ffn, x.cols),
      out.data != nullptr ? AllocateColumns<kPrecision>(workspace, x.cols, ffn) : PackedColumns()};
  auto* scratch = workspace.Allocate<ForwardScratch>(context.pool.size());
  for (int worker = 0; worker < context.pool.size(); ++worker) {
    scratch[worker] = AllocateForwardScratch<kPrecision>(workspace, x.cols, ffn);
  }
  Zero(context, out);  // has no rows where it is empty
  for (int64_t e = 0; e < expert_count; ++e) {
    const Slots slots = SlotsOf(grouping, e);
    if (slots.count == 0) continue;
    PackExpert<kPrecision, true>(context, expert_weights[static_cast<size_t>(e)], packed);
    const int threads = context.pool.size();
    const SlotTasks tasks(slots, threads);
    context.pool.ParallelFor(tasks.count(), [&](int64_t task, int worker) HWY_ATTR {
      // The thread's next task is most likely the one so many behind.
      ForwardSlots<kPrecision>(tasks[task], x, packed, weights, kept, tasks[task + threads],
                               scratch[worker], out);
    });
  }
}

void Fill(TrainingKernels& kernels, Precision precision) {
  kernels.forward.moe =
      precision == Precision::kFloat32 ? Moe<Precision::kFloat32> : Moe<Precision::kBFloat16>;
}

}  // namespace
}  // namespace fulmen::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fulmen::cpu {

HWY_EXPORT(Fill);

void RegisterMoeTraining(TrainingKernels& kernels, Precision precision) {
  HWY_DYNAMIC_DISPATCH(Fill)(kernels, precision);
}

}  // namespace fulmen::cpu
#endif  // HWY_ONCE
