#include <algorithm>

#include "kernels/cpu/register_training.h"
#include "kernels/linear.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/linear_backward.cc"
#include <hwy/foreach_target.h>
// After foreach_target.h.
#include <hwy/highway.h>

#include "kernels/cpu/products-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fulmen::cpu::HWY_NAMESPACE {
namespace {

// Floats of a weight that are packed at a time: bounds the scratch memory of large weights.
constexpr int64_t kPackedFloats = int64_t{4} << 20;
// Rows of x and dy that are multiplied at a time: they stay in the L3 cache, packed or not.
constexpr int64_t kPackedRows = 2 * kMaxDepth;

// Some columns of y = x op(weight), and op(weight) of them, packed.
struct Part {
  WeightMatrix weight;
  PackedColumns b;
  Matrix y;
  int64_t first_panel;  // of all parts
};

// y = x b, or y + x b, of every part.
template <Precision kPrecision>
void MultiplyRows(KernelContext& context, ConstMatrix x, std::span<const Part> parts, bool add) {
  const Workspace::Frame frame(context.scratch);
  const int threads = context.pool.size();
  const bool in_place = IsAlong<kPrecision>(x);
  auto* packed = context.scratch.Allocate<Matrix>(threads);
  for (int worker = 0; worker < threads && !in_place; ++worker) {
    packed[worker] = AllocateAlong<kPrecision>(context.scratch, kTaskRows, x.cols);
  }
  const Shares shares(CeilDiv(x.rows, kPanelRows), kTaskPanels, threads);
  // Rows of a task; none behind the last.
  const auto rows_of = [&](const auto& matrix, int64_t task) {
    const int64_t first = task < shares.tasks ? shares.Begin(task) * kPanelRows : x.rows;
    const int64_t end = task < shares.tasks ? shares.Begin(task + 1) * kPanelRows : x.rows;
    return matrix.Rows(first, std::min(end, x.rows) - first);
  };
  context.pool.ParallelFor(shares.tasks, [&](int64_t task, int worker) HWY_ATTR {
    ConstMatrix a = rows_of(x, task);
    if (!in_place) {
      const Matrix to = packed[worker].Rows(0, a.rows);
      PackAlong<kPrecision>({a.data, a.stride}, x.cols, to);
      a = to;
    }
    // This thread's next task, most likely.
    const ConstMatrix next = rows_of(x, task + threads);
    Upcoming upcoming({next.data, next.stride}, next.rows, 0, x.cols);
    for (const Part& part : parts) {
      MultiplyAlong<kPrecision>(a, part.b, add, upcoming, rows_of(part.y, task));
    }
  });
}

// The columns of several products in turn, as many at a time as kPackedFloats allows.
template <Precision kPrecision, bool kTransposed>
class PartsInTurn {
 public:
  PartsInTurn(std::initializer_list<Projection> projections, int64_t depth)
      : projections_(projections), projection_(projections.begin()), depth_(depth) {}

  // Those that come next; none behind the last.
  std::span<const Part> Next(Workspace& workspace) {
    auto* parts = workspace.Allocate<Part>(static_cast<int64_t>(projections_.size()));
    const int64_t most = std::max(int64_t{1}, kPackedFloats / depth_ / PanelColumns());
    int64_t panels = 0;
    size_t count = 0;
    for (; projection_ != projections_.end() && panels < most; ++projection_, first_ = 0) {
      const auto& [weight, y] = *projection_;
      const int64_t columns = std::min((most - panels) * PanelColumns(), y.cols - first_);
      if (columns == 0) continue;
      parts[count++] = {kTransposed ? weight.Rows(first_, columns) : weight.Cols(first_, columns),
                        AllocateColumns<kPrecision>(workspace, columns, depth_),
                        y.Cols(first_, columns), panels};
      panels += CeilDiv(columns, PanelColumns());
      first_ += columns;
      if (first_ < y.cols) break;
    }
    return {parts, count};
  }

 private:
  std::initializer_list<Projection> projections_;
  const Projection* projection_;
  int64_t first_ = 0;  // column of projection_
  int64_t depth_;
};

// y = x op(weight), or y + x op(weight), of every product.
template <Precision kPrecision, bool kTransposed>
void MultiplyWeights(KernelContext& context, ConstMatrix x,
                     std::initializer_list<Projection> projections, bool add) {
  if (x.cols == 0 && !add) {
    for (const auto& [weight, y] : projections) {
      for (int64_t t = 0; t < x.rows; ++t) std::fill_n(y.row(t), y.cols, 0.0F);
    }
  }
  if (x.cols == 0 || x.rows == 0) return;
  PartsInTurn<kPrecision, kTransposed> turns(projections, x.cols);
  while (true) {
    const Workspace::Frame frame(context.scratch);
    const std::span<const Part> parts = turns.Next(context.scratch);
    if (parts.empty()) return;
    const int64_t panels = parts.back().first_panel + parts.back().b.Panels();
    context.pool.ParallelFor(panels, [&](int64_t panel, int) HWY_ATTR {
      size_t p = parts.size() - 1;
      while (parts[p].first_panel > panel) --p;
      PackWeightPanel<kPrecision, kTransposed>(parts[p].weight, panel - parts[p].first_panel,
                                               parts[p].b);
    });
    MultiplyRows<kPrecision>(context, x, parts, add);
  }
}

template <Precision kPrecision>
void LinearForward(KernelContext& context, ConstMatrix x,
                   std::initializer_list<Projection> projections) {
  for (const auto& [weight, y] : projections) {
    FULMEN_CHECK(weight.cols == x.cols && y.cols == weight.rows && y.rows == x.rows,
                 "x is [{}, {}], weight {}, y [{}, {}]", x.rows, x.cols, Describe(weight), y.rows,
                 y.cols);
  }
  MultiplyWeights<kPrecision, true>(context, x, projections, false);
}

template <Precision kPrecision>
void LinearBackwardInput(KernelContext& context, ConstMatrix dy, const WeightMatrix& weight,
                         bool add, Matrix dx) {
  FULMEN_CHECK(dx.cols == weight.cols && dy.cols == weight.rows && dy.rows == dx.rows,
               "dx is [{}, {}], dy [{}, {}], weight {}", dx.rows, dx.cols, dy.rows, dy.cols,
               Describe(weight));
  MultiplyWeights<kPrecision, false>(context, dy, {{weight, dx}}, add);
}

// As operand across the depth: the matrix itself, or a packed copy.
template <Precision kPrecision>
ConstMatrix Across(KernelContext& context, ConstMatrix m) {
  if (IsAcross<kPrecision>(m)) return m;
  constexpr int64_t kRows = 32;  // of one task
  const Matrix packed = AllocateAcross<kPrecision>(context.scratch, m.rows, m.cols);
  context.pool.ParallelFor(CeilDiv(m.rows, kRows), [&](int64_t task, int) HWY_ATTR {
    const int64_t row = task * kRows;
    const int64_t count = std::min(kRows, m.rows - row);
    PackAcross<kPrecision>({m.row(row), m.stride}, count,
                           PartAcross<kPrecision>(packed, row, count));
  });
  return packed;
}

template <Precision kPrecision>
void LinearBackwardWeight(KernelContext& context, ConstMatrix x, ConstMatrix dy, Matrix dweight) {
  FULMEN_CHECK(dweight.rows == dy.cols && dweight.cols == x.cols && dy.rows == x.rows,
               "x is [{}, {}], dy [{}, {}], dweight [{}, {}]", x.rows, x.cols, dy.rows, dy.cols,
               dweight.rows, dweight.cols);
  if (x.cols == 0 || dy.cols == 0) return;
  const int threads = context.pool.size();
  for (int64_t first = 0; first < x.rows; first += kPackedRows) {
    const Workspace::Frame frame(context.scratch);
    const int64_t count = std::min(kPackedRows, x.rows - first);
    const ConstMatrix a = Across<kPrecision>(context, dy.Rows(first, count));
    const ConstMatrix b = Across<kPrecision>(context, x.Rows(first, count));
    const Shares shares(CeilDiv(a.cols, kPanelRows), kAcrossTaskPanels, threads);
    context.pool.ParallelFor(shares.tasks, [&](int64_t task, int) HWY_ATTR {
      MultiplyAcross<kPrecision>(a, shares.Begin(task), shares.Begin(task + 1), b, dweight);
    });
  }
}

template <Precision kPrecision>
void FillPrecision(TrainingKernels& kernels) {
  kernels.forward.linear = LinearForward<kPrecision>;
  kernels.linear_backward_input = LinearBackwardInput<kPrecision>;
  kernels.linear_backward_weight = LinearBackwardWeight<kPrecision>;
}

void Fill(TrainingKernels& kernels, Precision precision) {
  if (precision == Precision::kFloat32) {
    FillPrecision<Precision::kFloat32>(kernels);
  } else {
    FillPrecision<Precision::kBFloat16>(kernels);
  }
  kernels.router_backward_input = LinearBackwardInput<Precision::kFloat32>;
  kernels.router_backward_weight = LinearBackwardWeight<Precision::kFloat32>;
}

}  // namespace
}  // namespace fulmen::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fulmen::cpu {

HWY_EXPORT(Fill);

void RegisterLinearBackward(TrainingKernels& kernels, Precision precision) {
  HWY_DYNAMIC_DISPATCH(Fill)(kernels, precision);
}

}  // namespace fulmen::cpu
#endif  // HWY_ONCE
