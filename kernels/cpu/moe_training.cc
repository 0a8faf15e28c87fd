#include "kernels/moe.h"

#include <algorithm>

#include "kernels/cpu/register_training.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/moe_training.cc"
#include <hwy/foreach_target.h>
// After foreach_target.h.
#include <hwy/highway.h>

#include "kernels/cpu/products-inl.h"

// One expert after the other, its weights packed for all of its tokens. A task is some tokens of
// the expert: their rows are gathered as they are packed, go through all products in the task's
// own memory, and what they give is added to the rows of their tokens. Scratch memory is one
// expert's weights and, on the way back, the operands of the weight gradients of kBackwardRows
// slots: it does not grow with the number of tokens.
HWY_BEFORE_NAMESPACE();
namespace fulmen::cpu::HWY_NAMESPACE {
namespace {

// Slots whose gradients are held at once, for the products along them; they stay in the L3 cache.
constexpr int64_t kBackwardRows = 2 * kMaxDepth;
// Panels of hidden values that are computed between one pass over them and the next; their columns
// are a whole number of kPanelRows for vectors of 4 lanes and more.
constexpr int64_t kHiddenPanels = 3;

// The slots t * k + s grouped by expert, those of an expert in rising order.
struct Grouping {
  int32_t* slots;
  int32_t* tokens;  // slot / k
  int64_t* first;   // [experts + 1]: where each expert's begin
};

Grouping GroupByExpert(Workspace& workspace, MatrixView<const int32_t> experts,
                       int64_t expert_count) {
  const int64_t k = experts.cols;
  Grouping grouping = {workspace.Allocate<int32_t>(experts.rows * k),
                       workspace.Allocate<int32_t>(experts.rows * k),
                       workspace.Allocate<int64_t>(expert_count + 1)};
  auto* next = workspace.Allocate<int64_t>(expert_count + 1);
  std::fill_n(next, expert_count + 1, 0);
  for (int64_t t = 0; t < experts.rows; ++t) {
    const int32_t* chosen = experts.row(t);
    for (int64_t s = 0; s < k; ++s) {
      FULMEN_CHECK(chosen[s] >= -1 && chosen[s] < expert_count, "expert {} of {}", chosen[s],
                   expert_count);
      FULMEN_CHECK(chosen[s] < 0 || std::find(chosen, chosen + s, chosen[s]) == chosen + s,
                   "token {} chose expert {} twice", t, chosen[s]);
      ++next[chosen[s] + 1];
    }
  }
  next[0] = 0;  // dropped
  for (int64_t expert = 0; expert < expert_count; ++expert) next[expert + 1] += next[expert];
  std::copy_n(next, expert_count + 1, grouping.first);
  for (int64_t t = 0; t < experts.rows; ++t) {
    for (int64_t s = 0; s < k; ++s) {
      if (experts.row(t)[s] < 0) continue;
      const int64_t position = next[experts.row(t)[s]]++;
      grouping.slots[position] = static_cast<int32_t>(t * k + s);
      grouping.tokens[position] = static_cast<int32_t>(t);
    }
  }
  return grouping;
}

// Some slots of one expert.
struct Slots {
  const int32_t* slots;
  const int32_t* tokens;
  int64_t count;

  Slots Range(int64_t first, int64_t range) const { return {slots + first, tokens + first, range}; }
};

Slots SlotsOf(const Grouping& grouping, int64_t expert) {
  const int64_t first = grouping.first[expert];
  return {grouping.slots + first, grouping.tokens + first, grouping.first[expert + 1] - first};
}

// Some slots of one expert in tasks.
class SlotTasks {
 public:
  SlotTasks(const Slots& slots, int threads)
      : slots_(slots), shares_(CeilDiv(slots.count, kPanelRows), kTaskPanels, threads) {}

  int64_t count() const { return shares_.tasks; }
  // None at and behind count().
  Slots operator[](int64_t task) const {
    return slots_.Range(Row(task), Row(task + 1) - Row(task));
  }
  int64_t Row(int64_t task) const {
    return task >= shares_.tasks ? slots_.count
                                 : std::min(shares_.Begin(task) * kPanelRows, slots_.count);
  }

 private:
  Slots slots_;
  Shares shares_;
};

// One expert's weights as right operands.
struct PackedExpert {
  PackedColumns gate, up, down;
};

template <Precision kPrecision, bool kTransposed>
void PackExpert(KernelContext& context, const ExpertWeights& expert, const PackedExpert& to) {
  const int64_t panels = to.gate.Panels();
  context.pool.ParallelFor(2 * panels + to.down.Panels(), [&](int64_t task, int) HWY_ATTR {
    if (task < panels) {
      PackWeightPanel<kPrecision, kTransposed>(expert.gate, 0, task, to.gate);
    } else if (task < 2 * panels) {
      PackWeightPanel<kPrecision, kTransposed>(expert.up, 0, task - panels, to.up);
    } else {
      PackWeightPanel<kPrecision, kTransposed>(expert.down, 0, task - 2 * panels, to.down);
    }
  });
}

void Zero(KernelContext& context, Matrix matrix) {
  constexpr int64_t kRows = 64;
  context.pool.ParallelFor(CeilDiv(matrix.rows, kRows), [&](int64_t task, int) {
    for (int64_t t = task * kRows; t < std::min(matrix.rows, (task + 1) * kRows); ++t) {
      std::fill_n(matrix.row(t), matrix.cols, 0.0F);
    }
  });
}

// to += scale * from, `count` elements.
HWY_INLINE void AddScaled(int64_t count, float scale, const float* HWY_RESTRICT from,
                          float* HWY_RESTRICT to) {
  const Floats d;
  const int64_t lanes = TileLanes();
  const FloatsV factor = hn::Set(d, scale);
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    hn::StoreU(hn::MulAdd(factor, hn::LoadU(d, from + i), hn::LoadU(d, to + i)), d, to + i);
  }
  if (i == count) return;
  const auto rest = static_cast<size_t>(count - i);
  const FloatsV sum =
      hn::MulAdd(factor, WidenFirst(d, from + i, rest), WidenFirst(d, to + i, rest));
  StoreFirst(d, sum, to + i, rest);
}

HWY_INLINE void StoreUpTo(FloatsV v, int64_t count, float* to) {
  const Floats d;
  if (HWY_LIKELY(count == TileLanes())) return hn::StoreU(v, d, to);
  StoreFirst(d, v, to, static_cast<size_t>(count));
}

HWY_INLINE FloatsV LoadUpTo(int64_t count, const float* from) {
  const Floats d;
  if (HWY_LIKELY(count == TileLanes())) return hn::LoadU(d, from);
  return WidenFirst(d, from, static_cast<size_t>(count));
}

// Columns [begin, end) of what is kept of some slots, soon to be written or read.
Upcoming KeptLines(const MoeActivations& kept, const Slots& slots, int64_t begin, int64_t end) {
  Upcoming lines({kept.gate.data, kept.gate.stride, slots.slots}, slots.count, begin, end);
  lines.Add({kept.up.data, kept.up.stride, slots.slots});
  return lines;
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
    float* kept_gate = kept.gate.row(slots.slots[r]) + begin;
    float* kept_up = kept.up.row(slots.slots[r]) + begin;
    for (int64_t c = 0; c < columns; c += lanes) {
      const FloatsV g = hn::LoadU(d, gate + c);
      const FloatsV u = hn::LoadU(d, up + c);
      StoreUpTo(g, std::min(lanes, columns - c), kept_gate + c);
      StoreUpTo(u, std::min(lanes, columns - c), kept_up + c);
      hn::StoreU(hn::Mul(Silu(d, g), u), d, hidden + c);
    }
  }
}

// out += the weighted answers of one expert to some of its slots.
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
  Upcoming outputs({out.data, out.stride, slots.tokens}, slots.count, 0, out.cols);
  MultiplyAlong<kPrecision>(hidden, expert.down, false, outputs, scratch.out);
  for (int64_t r = 0; r < slots.count; ++r) {
    const int64_t token = slots.tokens[r];
    AddScaled(out.cols, weights.row(token)[slots.slots[r] - token * weights.cols],
              scratch.out.row(r), out.row(token));
  }
}

void CheckShapes(ConstMatrix x, std::span<const ExpertWeights> expert_weights,
                 MatrixView<const int32_t> experts, ConstMatrix weights,
                 const MoeActivations& kept) {
  FULMEN_CHECK(!expert_weights.empty() && expert_weights[0].gate.cols() == x.cols &&
                   experts.cols == weights.cols && experts.rows == x.rows && weights.rows == x.rows,
               "x is [{}, {}], experts [{}, {}], weights [{}, {}], {} expert weights", x.rows,
               x.cols, experts.rows, experts.cols, weights.rows, weights.cols,
               expert_weights.size());
  const int64_t ffn = expert_weights[0].gate.rows();
  FULMEN_CHECK(kept.gate.rows == x.rows * experts.cols && kept.up.rows == kept.gate.rows &&
                   kept.gate.cols == ffn && kept.up.cols == ffn,
               "gate is [{}, {}], up [{}, {}] for {} slots of {}", kept.gate.rows, kept.gate.cols,
               kept.up.rows, kept.up.cols, x.rows * experts.cols, ffn);
}

template <Precision kPrecision>
void MoeTrain(KernelContext& context, ConstMatrix x, std::span<const ExpertWeights> expert_weights,
              MatrixView<const int32_t> experts, ConstMatrix weights, const MoeActivations& kept,
              Matrix out) {
  CheckShapes(x, expert_weights, experts, weights, kept);
  const Workspace::Frame frame(context.scratch);
  Workspace& workspace = context.scratch;
  const auto expert_count = static_cast<int64_t>(expert_weights.size());
  const int64_t ffn = kept.gate.cols;
  const Grouping grouping = GroupByExpert(workspace, experts, expert_count);
  const PackedExpert packed = {AllocateColumns<kPrecision>(workspace, ffn, x.cols),
                               AllocateColumns<kPrecision>(workspace, ffn, x.cols),
                               AllocateColumns<kPrecision>(workspace, x.cols, ffn)};
  auto* scratch = workspace.Allocate<ForwardScratch>(context.pool.size());
  for (int worker = 0; worker < context.pool.size(); ++worker) {
    scratch[worker] = AllocateForwardScratch<kPrecision>(workspace, x.cols, ffn);
  }
  Zero(context, out);
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
  const Grouping grouping = GroupByExpert(workspace, experts, expert_count);
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

template <Precision kPrecision>
void FillPrecision(TrainingKernels& kernels) {
  kernels.moe_train = MoeTrain<kPrecision>;
  kernels.moe_backward = MoeBackward<kPrecision>;
}

void Fill(TrainingKernels& kernels, Precision precision) {
  if (precision == Precision::kFloat32) return FillPrecision<Precision::kFloat32>(kernels);
  FillPrecision<Precision::kBFloat16>(kernels);
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
