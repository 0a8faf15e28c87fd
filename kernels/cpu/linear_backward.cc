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
// Rows of x and dy that are packed at a time, for the same reason; they stay in the L3 cache.
constexpr int64_t kPackedRows = 2 * kMaxDepth;

// y = x b, b packed.
template <Precision kPrecision>
void MultiplyRows(KernelContext& context, ConstMatrix x, const PackedColumns& b, Matrix y) {
  const Workspace::Frame frame(context.scratch);
  const int threads = context.pool.size();
  auto* packed = context.scratch.Allocate<PackedAlong>(threads);
  for (int worker = 0; worker < threads; ++worker) {
    packed[worker] = AllocateAlong<kPrecision>(context.scratch, x.cols);
  }
  const Shares shares(CeilDiv(x.rows, kPanelRows), kTaskPanels, threads);
  const auto first_row = [&](int64_t task) {
    return task < shares.tasks ? shares.Begin(task) * kPanelRows : x.rows;
  };
  const auto row_count = [&](int64_t task) {
    return std::min(first_row(task + 1), x.rows) - first_row(task);
  };
  context.pool.ParallelFor(shares.tasks, [&](int64_t task, int worker) HWY_ATTR {
    const int64_t first = first_row(task);
    PackedAlong a = packed[worker];
    a.rows = row_count(task);
    PackAlong<kPrecision>({x.row(first), x.stride}, 0, x.cols, a);
    // This thread's next task, most likely.
    const int64_t next = std::min(task + threads, shares.tasks);
    Upcoming upcoming({x.row(first_row(next)), x.stride}, row_count(next), 0, x.cols);
    MultiplyAlong<kPrecision>(a, b, false, upcoming, y.Rows(first, a.rows));
  });
}

// y = x op(weight): its transpose, or itself.
template <Precision kPrecision, bool kTransposed>
void MultiplyWeight(KernelContext& context, ConstMatrix x, const TensorView& weight, Matrix y) {
  if (x.cols == 0) {
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
    MultiplyRows<kPrecision>(context, x, b, y.Cols(first, b.columns));
  }
}

template <Precision kPrecision>
void LinearForward(KernelContext& context, ConstMatrix x, const TensorView& weight, Matrix y) {
  FULMEN_CHECK(weight.cols() == x.cols && y.cols == weight.rows() && y.rows == x.rows,
               "x is [{}, {}], weight {}, y [{}, {}]", x.rows, x.cols, ShapeString(weight.shape),
               y.rows, y.cols);
  MultiplyWeight<kPrecision, true>(context, x, weight, y);
}

template <Precision kPrecision>
void LinearBackwardInput(KernelContext& context, ConstMatrix dy, const TensorView& weight,
                         Matrix dx) {
  FULMEN_CHECK(dx.cols == weight.cols() && dy.cols == weight.rows() && dy.rows == dx.rows,
               "dx is [{}, {}], dy [{}, {}], weight {}", dx.rows, dx.cols, dy.rows, dy.cols,
               ShapeString(weight.shape));
  MultiplyWeight<kPrecision, false>(context, dy, weight, dx);
}

template <Precision kPrecision>
void LinearBackwardWeight(KernelContext& context, ConstMatrix x, ConstMatrix dy, Matrix dweight) {
  FULMEN_CHECK(dweight.rows == dy.cols && dweight.cols == x.cols && dy.rows == x.rows,
               "x is [{}, {}], dy [{}, {}], dweight [{}, {}]", x.rows, x.cols, dy.rows, dy.cols,
               dweight.rows, dweight.cols);
  if (x.cols == 0 || dy.cols == 0) return;
  constexpr int64_t kPackRows = 32;  // of one task
  const int threads = context.pool.size();
  for (int64_t first = 0; first < x.rows; first += kPackedRows) {
    const Workspace::Frame frame(context.scratch);
    const int64_t count = std::min(kPackedRows, x.rows - first);
    const PackedAcross a = AllocateAcross<kPrecision>(context.scratch, dy.cols, count);
    const PackedColumns b = AllocateColumns<kPrecision>(context.scratch, x.cols, count);
    context.pool.ParallelFor(CeilDiv(count, kPackRows), [&](int64_t task, int) HWY_ATTR {
      const int64_t row = task * kPackRows;
      const int64_t rows = std::min(kPackRows, count - row);
      PackAcross<kPrecision>({dy.row(first + row), dy.stride}, {row, rows, 0, dy.cols}, a);
      PackColumns<kPrecision>({x.row(first + row), x.stride}, {row, rows, 0, x.cols}, b);
    });
    const Shares shares(a.Panels(), kTaskPanels, threads);
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
