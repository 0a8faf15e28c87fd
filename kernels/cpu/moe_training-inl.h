// What the forward and backward pass of the experts share in training. Included once per
// instruction set.
//
// One expert after the other, its weights packed for all of its tokens. A task is some tokens of
// the expert: their rows are gathered as they are packed, go through all products in the task's
// own memory, and what they give is added to the rows of their tokens. Scratch memory is one
// expert's weights and, in the backward pass, the operands of the weight gradients of some slots:
// it does not grow with the number of tokens.
#if defined(FULMEN_KERNELS_CPU_MOE_TRAINING_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FULMEN_KERNELS_CPU_MOE_TRAINING_INL_H_
#undef FULMEN_KERNELS_CPU_MOE_TRAINING_INL_H_
#else
#define FULMEN_KERNELS_CPU_MOE_TRAINING_INL_H_
#endif

#include <algorithm>
#include <span>

#include "kernels/cpu/products-inl.h"
#include "kernels/moe.h"

HWY_BEFORE_NAMESPACE();
namespace fulmen::cpu::HWY_NAMESPACE {

// Panels of hidden values that are computed between one pass over them and the next; their columns
// are a whole number of kPanelRows for vectors of 4 lanes and more.
constexpr int64_t kHiddenPanels = 3;

// The slots t * k + s grouped by expert, those of an expert in rising order.
struct SlotsByExpert {
  int32_t* slots;
  int32_t* tokens;  // slot / k
  int64_t* first;   // [experts + 1]: where each expert's begin
};

inline SlotsByExpert SortSlotsByExpert(Workspace& workspace, MatrixView<const int32_t> experts,
                                       int64_t expert_count) {
  const int64_t k = experts.cols;
  SlotsByExpert grouping = {workspace.Allocate<int32_t>(experts.rows * k),
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

inline Slots SlotsOf(const SlotsByExpert& grouping, int64_t expert) {
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
inline void PackExpert(KernelContext& context, const ExpertWeights& expert,
                       const PackedExpert& to) {
  const int64_t panels = to.gate.Panels();
  context.pool.ParallelFor(2 * panels + to.down.Panels(), [&](int64_t task, int) HWY_ATTR {
    if (task < panels) {
      PackWeightPanel<kPrecision, kTransposed>(expert.gate, task, to.gate);
    } else if (task < 2 * panels) {
      PackWeightPanel<kPrecision, kTransposed>(expert.up, task - panels, to.up);
    } else {
      PackWeightPanel<kPrecision, kTransposed>(expert.down, task - 2 * panels, to.down);
    }
  });
}

inline void Zero(KernelContext& context, Matrix matrix) {
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

// Columns [begin, end) of what is kept of some slots, soon to be written or read.
inline Upcoming KeptLines(const MoeActivations& kept, const Slots& slots, int64_t begin,
                          int64_t end) {
  if (kept.gate.data == nullptr) return Upcoming();
  Upcoming lines({kept.gate.data, kept.gate.stride, slots.slots}, slots.count, begin, end);
  lines.Add({kept.up.data, kept.up.stride, slots.slots});
  return lines;
}

inline void CheckShapes(ConstMatrix x, std::span<const ExpertWeights> expert_weights,
                        MatrixView<const int32_t> experts, ConstMatrix weights,
                        const MoeActivations& kept) {
  FULMEN_CHECK(!expert_weights.empty() && expert_weights[0].gate.cols == x.cols &&
                   experts.cols == weights.cols && experts.rows == x.rows && weights.rows == x.rows,
               "x is [{}, {}], experts [{}, {}], weights [{}, {}], {} expert weights", x.rows,
               x.cols, experts.rows, experts.cols, weights.rows, weights.cols,
               expert_weights.size());
  const int64_t ffn = expert_weights[0].gate.rows;
  FULMEN_CHECK(kept.gate.data == nullptr ||
                   (kept.gate.rows == x.rows * experts.cols && kept.up.rows == kept.gate.rows &&
                    kept.gate.cols == ffn && kept.up.cols == ffn),
               "gate is [{}, {}], up [{}, {}] for {} slots of {}", kept.gate.rows, kept.gate.cols,
               kept.up.rows, kept.up.cols, x.rows * experts.cols, ffn);
}

}  // namespace fulmen::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // FULMEN_KERNELS_CPU_MOE_TRAINING_INL_H_
