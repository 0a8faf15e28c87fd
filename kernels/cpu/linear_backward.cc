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

// y = x b, or y + x b, b packed.
template <Precision kPrecision>
void MultiplyRows(KernelContext& context, ConstMatrix x, const PackedColumns& b, bool add,
                  Matrix y) {
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
    MultiplyAlong<kPrecision>(a, b, add, upcoming, rows_of(y, task));
  });
}

// y = x op(weight), or y + x op(weight): its transpose, or itself.
template <Precision kPrecision, bool kTransposed>
void MultiplyWeight(KernelContext& context, ConstMatrix x, const TensorView& weight, bool add,
                    Matrix y) {
  if (x.cols == 0 && !add) {
    for (int64_t t = 0; t < y.rows; ++t) std::fill_n(y.row(t), y.cols, 0.0F);
  }
  if (x.cols == 0 || y.cols == 0 || x.rows == 0) return;
  const int64_t most =
      std::max(int64_t{1}, kPackedFloats / x.cols / PanelColumns()) * PanelColumns();
  for (int64_t first = 0; first < y.cols; first += most) {
    const Workspace::Frame frame(context.scratch);
    const PackedColumns b =
        AllocateColumns<kPrecision>(context.scratch, std::min(most, y.cols - first), x.cols);
    context.pool.ParallelFor(b.Panels(), [&](int64_t panel, int) HWY_ATTR {
      PackWeightPanel<kPrecision, kTransposed>(weight, first, panel, b);
    });
    MultiplyRows<kPrecision>(context, x, b, add, y.Cols(first, b.columns));
  }
}

template <Precision kPrecision>
void LinearForward(KernelContext& context, ConstMatrix x, const TensorView& weight, Matrix y) {
  FULMEN_CHECK(weight.cols() == x.cols && y.cols == weight.rows() && y.rows == x.rows,
               "x is [{}, {}], weight {}, y [{}, {}]", x.rows, x.cols, ShapeString(weight.shape),
               y.rows, y.cols);
  MultiplyWeight<kPrecision, true>(context, x, weight, false, y);
}

template <Precision kPrecision>
void LinearBackwardInput(KernelContext& context, ConstMatrix dy, const TensorView& weight, bool add,
                         Matrix dx) {
  FULMEN_CHECK(dx.cols == weight.cols() && dy.cols == weight.rows() && dy.rows == dx.rows,
               "dx is [{}, {}], dy [{}, {}], weight {}", dx.rows, dx.cols, dy.rows, dy.cols,
               ShapeString(weight.shape));
  MultiplyWeight<kPrecision, false>(context, dy, weight, add, dx);
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
  kernels.linear = LinearForward<kPrecision>;
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

void RegisterProductsBackward(TrainingKernels& kernels, Precision precision) {
  HWY_DYNAMIC_DISPATCH(Fill)(kernels, precision);
}

}  // namespace fulmen::cpu
#endif  // HWY_ONCE
