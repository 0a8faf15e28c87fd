#include "kernels/elementwise.h"

#include <algorithm>
#include <atomic>
#include <cmath>

#include "kernels/cpu/register.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/elementwise.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h:
#include "hwy/highway.h"
#include "kernels/cpu/elementwise-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fulmen::cpu::HWY_NAMESPACE {
namespace {

void Embedding(KernelContext& context, std::span<const int32_t> tokens, const TensorView& table,
               Matrix out) {
  const int64_t width = table.cols();
  FULMEN_CHECK(out.rows == static_cast<int64_t>(tokens.size()) && out.cols == width,
               "out is [{}, {}] for {} tokens of width {}", out.rows, out.cols, tokens.size(),
               width);
  for (const int32_t token : tokens) {
    FULMEN_CHECK(token >= 0 && token < table.rows(), "token {} of a table of {} rows", token,
                 table.rows());
  }
  ForParts(context, out.rows, width, 1, [&](int64_t row, int64_t column, int64_t count) {
    const int64_t first = tokens[static_cast<size_t>(row)] * width + column;
    WidenElements(table, first, count, out.row(row) + column);
  });
}

float SumOfSquares(const float* HWY_RESTRICT x, int64_t count) {
  const Floats d;
  const int64_t lanes = LaneCount();
  // Four sums, for one would wait for its own last addition.
  FloatsV sums[4] = {hn::Zero(d), hn::Zero(d), hn::Zero(d), hn::Zero(d)};
  int64_t c = 0;
  for (; c + 4 * lanes <= count; c += 4 * lanes) {
    for (int i = 0; i < 4; ++i) {
      const FloatsV value = hn::LoadU(d, x + c + i * lanes);
      sums[i] = hn::MulAdd(value, value, sums[i]);
    }
  }
  for (; c < count; c += lanes) {
    const int64_t rest = std::min(lanes, count - c);
    const FloatsV value =
        rest == lanes ? hn::LoadU(d, x + c) : WidenFirst(d, x + c, static_cast<size_t>(rest));
    sums[0] = hn::MulAdd(value, value, sums[0]);
  }
  const FloatsV sum = hn::Add(hn::Add(sums[0], sums[1]), hn::Add(sums[2], sums[3]));
  return hn::GetLane(hn::SumOfLanes(d, sum));
}

// to = from * scale * weight
void ScaleRow(const float* from, float scale, const float* HWY_RESTRICT weight, int64_t count,
              float* to) {
  const Floats d;
  const FloatsV scales = hn::Set(d, scale);
  const int64_t lanes = LaneCount();
  int64_t c = 0;
  for (; c + lanes <= count; c += lanes) {
    const FloatsV product =
        hn::Mul(hn::Mul(hn::LoadU(d, from + c), scales), hn::LoadU(d, weight + c));
    hn::StoreU(product, d, to + c);
  }
  const size_t rest = static_cast<size_t>(count - c);
  if (rest > 0) {
    const FloatsV product =
        hn::Mul(hn::Mul(WidenFirst(d, from + c, rest), scales), WidenFirst(d, weight + c, rest));
    StoreFirst(d, product, to + c, rest);
  }
}

void RmsNorm(KernelContext& context, ConstMatrix x, const TensorView& weight, float epsilon,
             Matrix out) {
  FULMEN_CHECK(weight.elements() == x.cols && out.cols == x.cols && out.rows == x.rows,
               "x is [{}, {}], out [{}, {}], weight {}", x.rows, x.cols, out.rows, out.cols,
               ShapeString(weight.shape));
  Workspace::Frame frame(context.scratch);
  float* widened = context.scratch.Allocate<float>(x.cols);
  WidenElements(weight, 0, x.cols, widened);
  const int64_t work = 2 * x.rows * x.cols / LaneCount();
  const int64_t grouped = std::max<int64_t>(1, kTaskElements / std::max<int64_t>(1, x.cols));
  ForTasks(context.pool, (x.rows + grouped - 1) / grouped, work, [&](int64_t task, int) {
    const int64_t end = std::min(x.rows, (task + 1) * grouped);
    for (int64_t t = task * grouped; t < end; ++t) {
      const float mean = SumOfSquares(x.row(t), x.cols) / static_cast<float>(x.cols);
      ScaleRow(x.row(t), 1.0F / std::sqrt(mean + epsilon), widened, x.cols, out.row(t));
    }
  });
}

struct SiluOf {
  HWY_INLINE FloatsV operator()(FloatsV x, FloatsV) const { return Silu(Floats(), x); }
};

struct Gated {
  HWY_INLINE FloatsV operator()(FloatsV gate, FloatsV x) const {
    return hn::Mul(x, Sigmoid(Floats(), gate));
  }
};

struct WeightedSum {
  float alpha, beta;
  HWY_INLINE FloatsV operator()(FloatsV a, FloatsV b) const {
    const Floats d;
    return hn::MulAdd(hn::Set(d, alpha), a, hn::Mul(hn::Set(d, beta), b));
  }
};

void SiluInto(KernelContext& context, ConstMatrix x, Matrix out) {
  ForParts(context, x.rows, x.cols, 16, [&](int64_t row, int64_t column, int64_t count) {
    const float* part = x.row(row) + column;
    Map(part, part, count, out.row(row) + column, SiluOf());
  });
}

void SigmoidGate(KernelContext& context, ConstMatrix gate, ConstMatrix x, Matrix out) {
  ForParts(context, x.rows, x.cols, 16, [&](int64_t row, int64_t column, int64_t count) {
    Map(gate.row(row) + column, x.row(row) + column, count, out.row(row) + column, Gated());
  });
}

void Residual(KernelContext& context, float alpha, ConstMatrix residual, float beta,
              ConstMatrix branch, Matrix out) {
  ForParts(context, out.rows, out.cols, 2, [&](int64_t row, int64_t column, int64_t count) {
    Map(residual.row(row) + column, branch.row(row) + column, count, out.row(row) + column,
        WeightedSum{alpha, beta});
  });
}

// 0 * x is 0 for finite x and NaN otherwise, and NaN stays in a sum.
bool RowFinite(const float* HWY_RESTRICT x, int64_t count) {
  const Floats d;
  const int64_t lanes = LaneCount();
  FloatsV sum = hn::Zero(d);
  int64_t c = 0;
  for (; c + lanes <= count; c += lanes) {
    sum = hn::MulAdd(hn::Zero(d), hn::LoadU(d, x + c), sum);
  }
  const size_t rest = static_cast<size_t>(count - c);
  if (rest > 0) sum = hn::MulAdd(hn::Zero(d), WidenFirst(d, x + c, rest), sum);
  return hn::AllTrue(d, hn::Eq(sum, hn::Zero(d)));
}

bool AllFinite(KernelContext& context, ConstMatrix x) {
  std::atomic<bool> finite = true;
  ForParts(context, x.rows, x.cols, 1, [&](int64_t row, int64_t column, int64_t count) {
    if (!RowFinite(x.row(row) + column, count)) finite.store(false, std::memory_order_relaxed);
  });
  return finite.load();
}

void Fill(Kernels& kernels) {
  kernels.embedding = Embedding;
  kernels.rms_norm = RmsNorm;
  kernels.silu = SiluInto;
  kernels.sigmoid_gate = SigmoidGate;
  kernels.residual = Residual;
  kernels.all_finite = AllFinite;
}

}  // namespace
}  // namespace fulmen::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fulmen::cpu {

HWY_EXPORT(Fill);

void RegisterElementwise(Kernels& kernels) { HWY_DYNAMIC_DISPATCH(Fill)(kernels); }

}  // namespace fulmen::cpu
#endif
