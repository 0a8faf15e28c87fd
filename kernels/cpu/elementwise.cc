#include "kernels/elementwise.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

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

void Embedding(KernelContext& context, std::span<const int32_t> tokens, const WeightMatrix& table,
               Matrix out) {
  const int64_t width = table.cols;
  FULMEN_CHECK(out.rows == static_cast<int64_t>(tokens.size()) && out.cols == width,
               "out is [{}, {}] for {} tokens of width {}", out.rows, out.cols, tokens.size(),
               width);
  for (const int32_t token : tokens) {
    FULMEN_CHECK(token >= 0 && token < table.rows, "token {} of a table of {} rows", token,
                 table.rows);
  }
  ForParts(context, out.rows, width, 1, [&](int64_t row, int64_t column, int64_t count) {
    WidenElements(table, tokens[static_cast<size_t>(row)], column, count, out.row(row) + column);
  });
}

// Calls visit(row) for all rows, on all threads; `cost` as in ForParts.
template <class Visit>
void ForRows(KernelContext& context, int64_t rows, int64_t cols, int64_t cost, const Visit& visit) {
  const int64_t grouped = std::max<int64_t>(1, kTaskElements / std::max<int64_t>(1, cols));
  const int64_t work = rows * cols * cost / LaneCount();
  ForTasks(context.pool, (rows + grouped - 1) / grouped, work, [&](int64_t task, int) {
    const int64_t end = std::min(rows, (task + 1) * grouped);
    for (int64_t t = task * grouped; t < end; ++t) visit(t);
  });
}

// out = finish(rms_norm(x), row, column, columns left), vector by vector.
template <class Finish>
void NormRows(KernelContext& context, ConstMatrix x, const WeightMatrix& weight, float epsilon,
              int64_t cost, Matrix out, const Finish& finish) {
  FULMEN_CHECK(
      weight.rows == 1 && weight.cols == x.cols && out.cols == x.cols && out.rows == x.rows,
      "x is [{}, {}], out [{}, {}], weight {}", x.rows, x.cols, out.rows, out.cols,
      Describe(weight));
  Workspace::Frame frame(context.scratch);
  float* widened = context.scratch.Allocate<float>(x.cols);
  WidenElements(weight, 0, 0, x.cols, widened);
  ForRows(context, x.rows, x.cols, cost, [&](int64_t t) HWY_ATTR {
    const FloatsV scale = hn::Set(Floats(), NormScale(x.row(t), x.cols, epsilon));
    for (int64_t c = 0; c < x.cols; c += LaneCount()) {
      const int64_t left = x.cols - c;
      const FloatsV normed =
          hn::Mul(hn::Mul(LoadPart(x.row(t) + c, left), scale), LoadPart(widened + c, left));
      StorePart(finish(normed, t, c, left), out.row(t) + c, left);
    }
  });
}

void RmsNorm(KernelContext& context, ConstMatrix x, const WeightMatrix& weight, float epsilon,
             Matrix out) {
  NormRows(context, x, weight, epsilon, 2, out,
           [](FloatsV normed, int64_t, int64_t, int64_t) HWY_ATTR { return normed; });
}

void GatedRmsNorm(KernelContext& context, ConstMatrix x, const WeightMatrix& weight, float epsilon,
                  ConstMatrix gate, Matrix out) {
  FULMEN_CHECK(gate.cols == x.cols && gate.rows == x.rows, "x is [{}, {}], gate [{}, {}]", x.rows,
               x.cols, gate.rows, gate.cols);
  const auto finish = [&](FloatsV normed, int64_t t, int64_t c, int64_t left) HWY_ATTR {
    return hn::Mul(normed, Sigmoid(Floats(), LoadPart(gate.row(t) + c, left)));
  };
  NormRows(context, x, weight, epsilon, 16, out, finish);
}

void LayerNorm(KernelContext& context, ConstMatrix x, const WeightMatrix& weight,
               const WeightMatrix& bias, float epsilon, Matrix out) {
  FULMEN_CHECK(weight.rows == 1 && weight.cols == x.cols && bias.rows == 1 && bias.cols == x.cols &&
                   out.cols == x.cols && out.rows == x.rows,
               "x is [{}, {}], out [{}, {}], weight {}, bias {}", x.rows, x.cols, out.rows,
               out.cols, Describe(weight), Describe(bias));
  const Workspace::Frame frame(context.scratch);
  float* weights = context.scratch.Allocate<float>(x.cols);
  float* biases = context.scratch.Allocate<float>(x.cols);
  WidenElements(weight, 0, 0, x.cols, weights);
  WidenElements(bias, 0, 0, x.cols, biases);
  ForRows(context, x.rows, x.cols, 6, [&](int64_t t) HWY_ATTR {
    const RowMoments moments = MomentsOf(x.row(t), x.cols, epsilon);
    for (int64_t c = 0; c < x.cols; c += LaneCount()) {
      const int64_t left = x.cols - c;
      const FloatsV normalised = moments.Normalised(LoadPart(x.row(t) + c, left));
      StorePart(hn::MulAdd(normalised, LoadPart(weights + c, left), LoadPart(biases + c, left)),
                out.row(t) + c, left);
    }
  });
}

// out = function(x + bias), vector by vector.
template <class Function>
void BiasRows(KernelContext& context, ConstMatrix x, const WeightMatrix& bias, int64_t cost,
              Matrix out, const Function& function) {
  FULMEN_CHECK(bias.rows == 1 && bias.cols == x.cols && out.cols == x.cols && out.rows == x.rows,
               "x is [{}, {}], out [{}, {}], bias {}", x.rows, x.cols, out.rows, out.cols,
               Describe(bias));
  const Workspace::Frame frame(context.scratch);
  float* biases = context.scratch.Allocate<float>(x.cols);
  WidenElements(bias, 0, 0, x.cols, biases);
  ForParts(context, x.rows, x.cols, cost, [&](int64_t row, int64_t column, int64_t count) {
    Map(x.row(row) + column, biases + column, count, out.row(row) + column, function);
  });
}

void AddBias(KernelContext& context, ConstMatrix x, const WeightMatrix& bias, Matrix out) {
  BiasRows(context, x, bias, 1, out, [](FloatsV a, FloatsV b) HWY_ATTR { return hn::Add(a, b); });
}

void BiasGelu(KernelContext& context, ConstMatrix x, const WeightMatrix& bias, Matrix out) {
  BiasRows(context, x, bias, 30, out,
           [](FloatsV a, FloatsV b) HWY_ATTR { return Gelu(Floats(), hn::Add(a, b)); });
}

struct WeightedSum {
  float alpha, beta;
  HWY_INLINE FloatsV operator()(FloatsV a, FloatsV b) const {
    const Floats d;
    return hn::MulAdd(hn::Set(d, alpha), a, hn::Mul(hn::Set(d, beta), b));
  }
};

void Residual(KernelContext& context, float alpha, ConstMatrix residual, float beta,
              ConstMatrix branch, Matrix out) {
  ForParts(context, out.rows, out.cols, 2, [&](int64_t row, int64_t column, int64_t count) {
    Map(residual.row(row) + column, branch.row(row) + column, count, out.row(row) + column,
        WeightedSum{alpha, beta});
  });
}

RowHealth HealthOf(const float* HWY_RESTRICT x, int64_t count) {
  const Floats d;
  const hn::RebindToUnsigned<Floats> bits;
  const int64_t lanes = LaneCount();
  const auto magnitudes = [&](FloatsV v) HWY_ATTR { return hn::BitCast(bits, hn::Abs(v)); };
  auto most = hn::Zero(bits);
  int64_t c = 0;
  for (; c + lanes <= count; c += lanes) most = hn::Max(most, magnitudes(hn::LoadU(d, x + c)));
  const size_t rest = static_cast<size_t>(count - c);
  if (rest > 0) most = hn::Max(most, magnitudes(WidenFirst(d, x + c, rest)));
  // As integers, NaN and infinity are the largest.
  const float largest = std::bit_cast<float>(hn::GetLane(hn::MaxOfLanes(bits, most)));
  if (!std::isfinite(largest)) return RowHealth::kNotFinite;
  // No sum of this many can overflow below 2^50.
  if (largest < 0x1p50F) return RowHealth::kFine;
  double squares = 0;
  for (int64_t i = 0; i < count; ++i) squares += double{x[i]} * double{x[i]};
  return squares <= double{std::numeric_limits<float>::max()} ? RowHealth::kFine
                                                              : RowHealth::kSquaresOverflow;
}

void CheckRows(KernelContext& context, ConstMatrix x, std::span<RowHealth> health) {
  ForTasks(context.pool, x.rows, x.rows * x.cols / LaneCount(), [&](int64_t row, int) {
    health[static_cast<size_t>(row)] = HealthOf(x.row(row), x.cols);
  });
}

void GatherRows(KernelContext& context, ConstMatrix x, std::span<const int64_t> rows, Matrix out) {
  FULMEN_CHECK(out.rows == std::ssize(rows) && out.cols == x.cols, "{} rows of {} into [{}, {}]",
               rows.size(), x.cols, out.rows, out.cols);
  ForTasks(context.pool, out.rows, out.rows * out.cols / LaneCount(), [&](int64_t i, int) {
    std::copy_n(x.row(rows[static_cast<size_t>(i)]), x.cols, out.row(i));
  });
}

void Copy(KernelContext& context, std::span<const std::byte> from, std::span<std::byte> to) {
  constexpr int64_t kTaskBytes = 1 << 18;
  const int64_t bytes = std::ssize(from);
  FULMEN_CHECK(std::ssize(to) == bytes, "{} bytes into {}", bytes, to.size());
  ForTasks(context.pool, (bytes + kTaskBytes - 1) / kTaskBytes, bytes / 64, [&](int64_t i, int) {
    const int64_t first = i * kTaskBytes;
    std::copy_n(from.data() + first, std::min(kTaskBytes, bytes - first), to.data() + first);
  });
}

void Fill(Kernels& kernels) {
  kernels.embedding = Embedding;
  kernels.rms_norm = RmsNorm;
  kernels.gated_rms_norm = GatedRmsNorm;
  kernels.layer_norm = LayerNorm;
  kernels.add_bias = AddBias;
  kernels.bias_gelu = BiasGelu;
  kernels.residual = Residual;
  kernels.row_health = CheckRows;
  kernels.gather_rows = GatherRows;
  kernels.copy = Copy;
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
