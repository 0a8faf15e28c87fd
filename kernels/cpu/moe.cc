#include "kernels/moe.h"

#include "kernels/cpu/parallel.h"
#include "kernels/cpu/register.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/moe.cc"
#include <hwy/foreach_target.h>
// After foreach_target.h.
#include <hwy/highway.h>

#include "kernels/cpu/elementwise-inl.h"
#include "kernels/cpu/multiply-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fulmen::cpu::HWY_NAMESPACE {
namespace {

// Tokens worked on at once, which bounds the scratch memory however long the prompt.
constexpr int64_t kTokens = 1024;

// The slots (a token's s-th expert) that chose one expert; positions count slots grouped by expert.
struct Group {
  int64_t expert;
  int64_t first;  // position of its first slot
  int64_t count;
  int64_t first_tile;  // of the loop at hand, like the next
  int64_t first_task;
  int64_t rows_per_task;
};

struct Grouping {
  Group* groups;
  int64_t group_count;
  int32_t* slots;      // [positions]: t * k + s
  int32_t* positions;  // [t * k + s]: -1 where it was dropped
  int64_t largest;     // slots of the largest group
};

// Counting sort: within a group, slots keep the order of their tokens.
Grouping GroupByExpert(Workspace& scratch, MatrixView<const int32_t> experts,
                       int64_t expert_count) {
  const int64_t k = experts.cols;
  const int64_t total = experts.rows * k;
  auto* next = scratch.Allocate<int64_t>(expert_count);
  Grouping grouping = {scratch.Allocate<Group>(expert_count), 0, scratch.Allocate<int32_t>(total),
                       scratch.Allocate<int32_t>(total), 0};
  std::fill_n(next, expert_count, 0);
  for (int64_t t = 0; t < experts.rows; ++t) {
    for (int64_t s = 0; s < k; ++s) {
      const int32_t expert = experts.row(t)[s];
      FULMEN_CHECK(expert >= -1 && expert < expert_count, "moe: expert {} of {}", expert,
                   expert_count);
      if (expert >= 0) ++next[expert];
    }
  }
  int64_t first = 0;
  for (int64_t expert = 0; expert < expert_count; ++expert) {
    const int64_t count = next[expert];
    next[expert] = first;
    if (count == 0) continue;
    grouping.groups[grouping.group_count++] = {expert, first, count, 0, 0, 0};
    grouping.largest = std::max(grouping.largest, count);
    first += count;
  }
  for (int64_t t = 0; t < experts.rows; ++t) {
    for (int64_t s = 0; s < k; ++s) {
      const int32_t expert = experts.row(t)[s];
      grouping.positions[t * k + s] = -1;
      if (expert < 0) continue;
      const int64_t position = next[expert]++;
      grouping.slots[position] = static_cast<int32_t>(t * k + s);
      grouping.positions[t * k + s] = static_cast<int32_t>(position);
    }
  }
  return grouping;
}

// The last group whose `begin` is at most `index`.
const Group& GroupOf(const Grouping& grouping, int64_t Group::*begin, int64_t index) {
  int64_t g = grouping.group_count - 1;
  while (grouping.groups[g].*begin > index) --g;
  return grouping.groups[g];
}

// Cuts the rows of one matrix per group into tasks of whole units; returns how many.
int64_t CutIntoTasks(const Grouping& grouping, std::span<const ExpertWeights> weights,
                     WeightMatrix ExpertWeights::*matrix, int64_t unit, int threads) {
  const auto share = static_cast<int>(CeilDiv(threads, grouping.group_count));
  int64_t tasks = 0;
  for (int64_t g = 0; g < grouping.group_count; ++g) {
    Group& group = grouping.groups[g];
    const WeightMatrix& weight = weights[static_cast<size_t>(group.expert)].*matrix;
    group.first_task = tasks;
    group.rows_per_task = RoundUp(RowsPerTask(group.count, weight, weight.rows, share), unit);
    tasks += CeilDiv(weight.rows, group.rows_per_task);
  }
  return tasks;
}

// A task of the loop that CutIntoTasks cut.
struct ExpertTask {
  const Group& group;
  int64_t row;  // of the matrix
  int64_t rows;
};

ExpertTask TaskOf(const Grouping& grouping, int64_t index, int64_t all_rows) {
  const Group& group = GroupOf(grouping, &Group::first_task, index);
  const int64_t row = (index - group.first_task) * group.rows_per_task;
  return {group, row, std::min(group.rows_per_task, all_rows - row)};
}

// Memory for the rows of all groups, end to end.
PackedRows AllocateRows(KernelContext& context, ByteProducts products, const WeightMatrix& weight,
                        int64_t rows) {
  const ActivationFormat format = FormatFor(weight, products);
  auto* data = context.scratch.Allocate<std::byte>(PackedBytes(format, rows, weight.cols));
  return {format, products, data, rows, weight.cols};
}

PackedRows GatherRows(KernelContext& context, ByteProducts products, ConstMatrix x,
                      const WeightMatrix& weight, int64_t k, const Grouping& grouping) {
  const int64_t total = x.rows * k;
  const PackedRows packed = AllocateRows(context, products, weight, total);
  int64_t tiles = 0;
  for (int64_t g = 0; g < grouping.group_count; ++g) {
    Group& group = grouping.groups[g];
    group.first_tile = tiles;
    tiles += packed.From(group.first, group.count).Tiles();
  }
  const auto pack = [&](int64_t index, int) HWY_ATTR {
    const Group& group = GroupOf(grouping, &Group::first_tile, index);
    const int64_t tile = index - group.first_tile;
    const PackedRows rows = packed.From(group.first, group.count);
    const int32_t* slots = grouping.slots + group.first + tile * rows.TileRows();
    const float* from[kMostTileRows];
    for (int64_t r = 0; r < rows.RowsOf(tile); ++r) from[r] = x.row(slots[r] / k);
    PackColumns(from, 0, x.cols, rows, tile);
  };
  ForTasks(context.pool, tiles, total * x.cols / LaneCount(), pack);
  return packed;
}

// Columns [column, column + gate.cols) of hidden = silu(gate) * up, by way of `gate`.
void Activate(Matrix gate, ConstMatrix up, int64_t column, const PackedRows& hidden) {
  const Floats d;
  for (int64_t r = 0; r < gate.rows; ++r) {
    for (int64_t c = 0; c < gate.cols; c += LaneCount()) {
      const int64_t left = gate.cols - c;
      const FloatsV g = LoadPart(gate.row(r) + c, left);
      StorePart(hn::Mul(Silu(d, g), LoadPart(up.row(r) + c, left)), gate.row(r) + c, left);
    }
  }
  for (int64_t tile = 0; tile < hidden.Tiles(); ++tile) {
    const float* from[kMostTileRows];
    for (int64_t r = 0; r < hidden.RowsOf(tile); ++r) {
      from[r] = gate.row(tile * hidden.TileRows() + r);
    }
    PackColumns(from, column, gate.cols, hidden, tile);
  }
}

// Rows of `results`, which are some columns of a group's products, to those of its slots.
void Keep(ConstMatrix results, const int32_t* slots, int64_t column, Matrix kept) {
  if (kept.data == nullptr) return;
  for (int64_t r = 0; r < results.rows; ++r) {
    std::copy_n(results.row(r), results.cols, kept.row(slots[r]) + column);
  }
}

// hidden = silu(gate x) * up x. `x` and `x_up` are the same rows, in the formats of both.
PackedRows GateAndUp(KernelContext& context, const PackedRows& x, const PackedRows& x_up,
                     std::span<const ExpertWeights> weights, const Grouping& grouping,
                     const MoeActivations& kept) {
  const int threads = context.pool.size();
  const int64_t ffn = weights[0].gate.rows;
  const PackedRows hidden = AllocateRows(context, x.products, weights[0].down, x.rows);
  const int64_t unit = hidden.format == ActivationFormat::kFloat32 ? LaneCount() : hidden.block();
  const int64_t tasks = CutIntoTasks(grouping, weights, &ExpertWeights::gate, unit, threads);
  int64_t products = 0;  // floats of one task's gates
  for (int64_t g = 0; g < grouping.group_count; ++g) {
    products = std::max(products, grouping.groups[g].count * grouping.groups[g].rows_per_task);
  }
  const Workspace::Frame frame(context.scratch);
  auto* results = context.scratch.Allocate<float>(threads * 2 * products);
  const int64_t work = 2 * x.rows * ffn * CeilDiv(x.cols, LaneCount());
  const auto node_of = [&](int64_t task) {
    return context.pool.NodeOf(TaskOf(grouping, task, ffn).row, ffn);
  };
  ForTasks(context.pool, tasks, work, node_of, [&](int64_t task, int worker) HWY_ATTR {
    const auto [group, row, count] = TaskOf(grouping, task, ffn);
    const ExpertWeights& expert = weights[static_cast<size_t>(group.expert)];
    const PackedRows rows = x.From(group.first, group.count);
    float* result = results + worker * 2 * products;
    const Matrix gate(result, group.count, count);
    const Matrix up(result + products, group.count, count);
    const PackedRows rows_up = x_up.From(group.first, group.count);
    Multiply(rows, {0, rows.Tiles()}, expert.gate.Rows(row, count), gate);
    Multiply(rows_up, {0, rows_up.Tiles()}, expert.up.Rows(row, count), up);
    Keep(gate, grouping.slots + group.first, row, kept.gate);
    Keep(up, grouping.slots + group.first, row, kept.up);
    Activate(gate, up, row, hidden.From(group.first, group.count));
  });
  return hidden;
}

Matrix Down(KernelContext& context, const PackedRows& hidden,
            std::span<const ExpertWeights> weights, const Grouping& grouping) {
  const int threads = context.pool.size();
  const int64_t out = weights[0].down.rows;
  const Matrix results = context.scratch.AllocateMatrix(hidden.rows, out);
  const int64_t tasks = CutIntoTasks(grouping, weights, &ExpertWeights::down, LaneCount(), threads);
  const int64_t work = hidden.rows * out * CeilDiv(hidden.cols, LaneCount());
  const auto node_of = [&](int64_t task) {
    return context.pool.NodeOf(TaskOf(grouping, task, out).row, out);
  };
  ForTasks(context.pool, tasks, work, node_of, [&](int64_t task, int) HWY_ATTR {
    const auto [group, row, count] = TaskOf(grouping, task, out);
    const PackedRows rows = hidden.From(group.first, group.count);
    const WeightMatrix& down = weights[static_cast<size_t>(group.expert)].down;
    Multiply(rows, {0, rows.Tiles()}, down.Rows(row, count),
             results.Rows(group.first, group.count).Cols(row, count));
  });
  return results;
}

void Combine(KernelContext& context, ConstMatrix results, const Grouping& grouping,
             ConstMatrix weights, Matrix out) {
  const Floats d;
  const int64_t lanes = LaneCount();
  const auto combine = [&](int64_t t, int) HWY_ATTR {
    const int32_t* positions = grouping.positions + t * weights.cols;
    for (int64_t c = 0; c < out.cols; c += lanes) {
      const auto rest = static_cast<size_t>(std::min(lanes, out.cols - c));
      const bool whole = rest == static_cast<size_t>(lanes);
      FloatsV sum = hn::Zero(d);
      for (int64_t s = 0; s < weights.cols; ++s) {
        if (positions[s] < 0) continue;
        const float* from = results.row(positions[s]) + c;
        const FloatsV value = whole ? hn::LoadU(d, from) : WidenFirst(d, from, rest);
        sum = hn::MulAdd(hn::Set(d, weights.row(t)[s]), value, sum);
      }
      if (whole) {
        hn::StoreU(sum, d, out.row(t) + c);
      } else {
        StoreFirst(d, sum, out.row(t) + c, rest);
      }
    }
  };
  ForTasks(context.pool, out.rows, out.rows * out.cols * weights.cols / LaneCount(), combine);
}

void MoeBlock(KernelContext& context, ByteProducts products, ConstMatrix x,
              std::span<const ExpertWeights> expert_weights, MatrixView<const int32_t> experts,
              ConstMatrix weights, const MoeActivations& kept, Matrix out) {
  const Workspace::Frame frame(context.scratch);
  const Grouping grouping =
      GroupByExpert(context.scratch, experts, static_cast<int64_t>(expert_weights.size()));
  Matrix results;
  if (grouping.group_count > 0) {
    const ExpertWeights& first = expert_weights[0];
    const PackedRows packed = GatherRows(context, products, x, first.gate, experts.cols, grouping);
    const PackedRows packed_up =
        FormatFor(first.up, products) == packed.format
            ? packed
            : GatherRows(context, products, x, first.up, experts.cols, grouping);
    const PackedRows hidden = GateAndUp(context, packed, packed_up, expert_weights, grouping, kept);
    if (out.data == nullptr) return;
    results = Down(context, hidden, expert_weights, grouping);
  }
  if (out.data != nullptr) Combine(context, results, grouping, weights, out);
}

template <ByteProducts kProducts>
void Moe(KernelContext& context, ConstMatrix x, std::span<const ExpertWeights> expert_weights,
         MatrixView<const int32_t> experts, ConstMatrix weights, const MoeActivations& kept,
         Matrix out) {
  const int64_t k = experts.cols;
  FULMEN_CHECK(!expert_weights.empty() && k > 0 && k == weights.cols,
               "moe: {} experts, {} chosen, {} weights", expert_weights.size(), k, weights.cols);
  FULMEN_CHECK(expert_weights[0].gate.cols == x.cols &&
                   (out.data == nullptr || (out.rows == x.rows && out.cols == x.cols)),
               "moe: x is [{}, {}], out [{}, {}], the experts have {} columns", x.rows, x.cols,
               out.rows, out.cols, expert_weights[0].gate.cols);
  const auto alike = [&](WeightMatrix ExpertWeights::*matrix, const ExpertWeights& expert) {
    return FormatFor(expert.*matrix, kProducts) == FormatFor(expert_weights[0].*matrix, kProducts);
  };
  for (const ExpertWeights& expert : expert_weights) {
    FULMEN_CHECK(alike(&ExpertWeights::gate, expert) && alike(&ExpertWeights::up, expert) &&
                     alike(&ExpertWeights::down, expert),
                 "moe: experts of one layer have blocks of different sizes");
  }
  for (int64_t first = 0; first < x.rows; first += kTokens) {
    const int64_t count = std::min(kTokens, x.rows - first);
    const auto part = [&](Matrix matrix, int64_t rows_per_token) {
      return matrix.data == nullptr ? matrix
                                    : matrix.Rows(first * rows_per_token, count * rows_per_token);
    };
    MoeBlock(context, kProducts, x.Rows(first, count), expert_weights, experts.Rows(first, count),
             weights.Rows(first, count), {part(kept.gate, k), part(kept.up, k)}, part(out, 1));
  }
}

void FillMoe(Kernels& kernels, ByteProducts products) {
  VisitProducts(products, [&]<ByteProducts kProducts>() { kernels.moe = Moe<kProducts>; });
}

}  // namespace
}  // namespace fulmen::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fulmen::cpu {

HWY_EXPORT(FillMoe);
void RegisterMoe(Kernels& kernels, ByteProducts products) {
  HWY_DYNAMIC_DISPATCH(FillMoe)(kernels, products);
}

}  // namespace fulmen::cpu
#endif  // HWY_ONCE
