#include "kernels/elementwise.h"

#include <algorithm>
#include <cmath>

#include "kernels/cpu/register_training.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/elementwise_backward.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h:
#include "hwy/highway.h"
#include "kernels/cpu/elementwise-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fulmen::cpu::HWY_NAMESPACE {
namespace {

// Rows whose gradients of a weight or bias are summed by one task. Their sums are then added block
// by block, so that no order depends on threads.
constexpr int64_t kSummedRows = 32;

HWY_INLINE float SumLanes(FloatsV v) { return hn::GetLane(hn::SumOfLanes(Floats(), v)); }

// sum += x
void AddTo(const float* x, int64_t count, float* sum) {
  Map(x, sum, count, sum, [](FloatsV a, FloatsV b) HWY_ATTR { return hn::Add(a, b); });
}

// One row of rms_norm_backward; `sums` has the gradient of the weight added, `skip` may be null.
// With r = 1 / sqrt(mean x^2 + epsilon), dx = r (weight dy - x r^2 mean(x weight dy)).
void NormRow(const float* x, const float* HWY_RESTRICT weight, float epsilon, const float* dy,
             float skip_scale, const float* skip, int64_t count, float* dx,
             float* HWY_RESTRICT sums) {
  const Floats d;
  const FloatsV skip_factor = hn::Set(d, skip_scale);
  const auto load_gradient = [&](int64_t at, int64_t left) HWY_ATTR {
    const FloatsV gradient = LoadPart(dy + at, left);
    if (skip == nullptr) return gradient;
    return hn::MulAdd(skip_factor, LoadPart(skip + at, left), gradient);
  };
  const int64_t lanes = LaneCount();
  // Two sums each, for one would wait for its own last addition.
  FloatsV squares[2] = {hn::Zero(d), hn::Zero(d)};
  FloatsV products[2] = {hn::Zero(d), hn::Zero(d)};
  for (int64_t c = 0; c < count; c += 2 * lanes) {
    HWY_UNROLL(2)
    for (int i = 0; i < 2; ++i) {
      const int64_t at = c + i * lanes;
      const int64_t left = count - at;
      if (left <= 0) break;
      const FloatsV value = LoadPart(x + at, left);
      const FloatsV gradient = hn::Mul(LoadPart(weight + at, left), load_gradient(at, left));
      squares[i] = hn::MulAdd(value, value, squares[i]);
      products[i] = hn::MulAdd(value, gradient, products[i]);
    }
  }
  const auto width = static_cast<float>(count);
  const float mean = SumLanes(hn::Add(squares[0], squares[1])) / width + epsilon;
  const float product = SumLanes(hn::Add(products[0], products[1])) / width;
  const FloatsV scale = hn::Set(d, 1.0F / std::sqrt(mean));
  const FloatsV shared = hn::Set(d, product / mean);
  for (int64_t c = 0; c < count; c += lanes) {
    const int64_t left = count - c;
    const FloatsV value = LoadPart(x + c, left);
    const FloatsV gradient = load_gradient(c, left);
    const FloatsV sum = hn::MulAdd(gradient, hn::Mul(value, scale), LoadPart(sums + c, left));
    StorePart(sum, sums + c, left);
    const FloatsV direct = hn::Mul(LoadPart(weight + c, left), gradient);
    StorePart(hn::Mul(scale, hn::NegMulAdd(value, shared, direct)), dx + c, left);
  }
}

// Calls row(t, sums) for all rows, where `sums` are what it adds to: those of `totals`, end to end.
// Sums of blocks of rows end in `totals`, added in the order of rows.
template <class Row>
void ForSummedRows(KernelContext& context, int64_t rows, int64_t cost,
                   std::initializer_list<std::span<float>> totals, const Row& row) {
  int64_t width = 0;
  for (const std::span<float> total : totals) width += std::ssize(total);
  const Workspace::Frame frame(context.scratch);
  const int64_t blocks = (rows + kSummedRows - 1) / kSummedRows;
  const Matrix sums = context.scratch.AllocateMatrix(blocks, width);
  ForTasks(context.pool, blocks, cost * rows * width / LaneCount(), [&](int64_t block, int) {
    std::fill_n(sums.row(block), width, 0.0F);
    const int64_t end = std::min(rows, (block + 1) * kSummedRows);
    for (int64_t t = block * kSummedRows; t < end; ++t) row(t, sums.row(block));
  });
  for (int64_t block = 0; block < blocks; ++block) {
    const float* from = sums.row(block);
    for (const std::span<float> total : totals) {
      AddTo(from, std::ssize(total), total.data());
      from += total.size();
    }
  }
}

// The weight of a norm, or a bias, as float32.
const float* Widened(Workspace& workspace, const WeightMatrix& row) {
  float* widened = workspace.Allocate<float>(row.cols);
  WidenElements(row, 0, 0, row.cols, widened);
  return widened;
}

void CheckShapes(ConstMatrix x, const WeightMatrix& weight, ConstMatrix dy, ConstMatrix dx,
                 std::span<const float> dweight) {
  const int64_t width = x.cols;
  FULMEN_CHECK(weight.rows == 1 && weight.cols == width && dy.cols == width && dx.cols == width &&
                   dy.rows == x.rows && dx.rows == x.rows &&
                   static_cast<int64_t>(dweight.size()) == width,
               "x is [{}, {}], dy [{}, {}], dx [{}, {}], weight {}, dweight [{}]", x.rows, x.cols,
               dy.rows, dy.cols, dx.rows, dx.cols, Describe(weight), dweight.size());
}

void RmsNormBackward(KernelContext& context, ConstMatrix x, const WeightMatrix& weight,
                     float epsilon, ConstMatrix dy, const SkipConnection& skip, Matrix dx,
                     std::span<float> dweight) {
  CheckShapes(x, weight, dy, dx, dweight);
  const Workspace::Frame frame(context.scratch);
  const float* weights = Widened(context.scratch, weight);
  ForSummedRows(context, x.rows, 4, {dweight}, [&](int64_t t, float* sums) {
    const float* skip_gradient = skip.gradient.data == nullptr ? nullptr : skip.gradient.row(t);
    NormRow(x.row(t), weights, epsilon, dy.row(t), skip.scale, skip_gradient, x.cols, dx.row(t),
            sums);
  });
}

// One row of gated_rms_norm_backward, up to the norm: dy becomes the gradient of its output.
void GateRow(const float* HWY_RESTRICT x, const float* HWY_RESTRICT weight, float scale,
             const float* HWY_RESTRICT gate, int64_t count, float* HWY_RESTRICT dy,
             float* HWY_RESTRICT dgate, float* HWY_RESTRICT out) {
  const Floats d;
  const FloatsV scales = hn::Set(d, scale);
  for (int64_t c = 0; c < count; c += LaneCount()) {
    const int64_t left = count - c;
    const FloatsV normed =
        hn::Mul(hn::Mul(LoadPart(x + c, left), scales), LoadPart(weight + c, left));
    const SigmoidPair<FloatsV> sigmoid = SigmoidAndComplement(d, LoadPart(gate + c, left));
    const FloatsV gradient = hn::Mul(LoadPart(dy + c, left), sigmoid.value);
    StorePart(gradient, dy + c, left);
    StorePart(hn::Mul(hn::Mul(gradient, normed), sigmoid.complement), dgate + c, left);
    StorePart(hn::Mul(normed, sigmoid.value), out + c, left);
  }
}

void GatedRmsNormBackward(KernelContext& context, ConstMatrix x, const WeightMatrix& weight,
                          float epsilon, ConstMatrix gate, Matrix dy, Matrix dgate, Matrix out,
                          std::span<float> dweight) {
  CheckShapes(x, weight, dy, dy, dweight);
  for (const ConstMatrix& m : {gate, ConstMatrix(dgate), ConstMatrix(out)}) {
    FULMEN_CHECK(m.rows == x.rows && m.cols == x.cols,
                 "x is [{}, {}], and one of gate, dgate and out [{}, {}]", x.rows, x.cols, m.rows,
                 m.cols);
  }
  const Workspace::Frame frame(context.scratch);
  const float* weights = Widened(context.scratch, weight);
  ForSummedRows(context, x.rows, 24, {dweight}, [&](int64_t t, float* sums) {
    const float scale = NormScale(x.row(t), x.cols, epsilon);
    GateRow(x.row(t), weights, scale, gate.row(t), x.cols, dy.row(t), dgate.row(t), out.row(t));
    NormRow(x.row(t), weights, epsilon, dy.row(t), 0.0F, nullptr, x.cols, dy.row(t), sums);
  });
}

// One row of layer_norm_backward; `sums` has the gradients of the weight and, behind them, of the
// bias added, `skip` may be null. With n the normalised x, s = 1 / sqrt(variance + epsilon) and g =
// weight dy, dx = s (g - mean(g) - n mean(n g)) + skip.
void LayerNormRow(const float* x, const float* HWY_RESTRICT weight, float epsilon, const float* dy,
                  const float* skip, int64_t count, float* dx, float* HWY_RESTRICT sums) {
  const Floats d;
  const int64_t lanes = LaneCount();
  const RowMoments moments = MomentsOf(x, count, epsilon);
  // Two sums each, for one would wait for its own last addition.
  FloatsV gradients[2] = {hn::Zero(d), hn::Zero(d)};
  FloatsV products[2] = {hn::Zero(d), hn::Zero(d)};
  for (int64_t c = 0; c < count; c += 2 * lanes) {
    HWY_UNROLL(2)
    for (int i = 0; i < 2; ++i) {
      const int64_t at = c + i * lanes;
      const int64_t left = count - at;
      if (left <= 0) break;
      const FloatsV gradient = hn::Mul(LoadPart(weight + at, left), LoadPart(dy + at, left));
      gradients[i] = hn::Add(gradients[i], gradient);
      products[i] = hn::MulAdd(moments.Normalised(LoadPart(x + at, left)), gradient, products[i]);
    }
  }
  const auto width = static_cast<float>(count);
  const FloatsV mean = hn::Set(d, SumLanes(hn::Add(gradients[0], gradients[1])) / width);
  const FloatsV shared = hn::Set(d, SumLanes(hn::Add(products[0], products[1])) / width);
  float* HWY_RESTRICT bias_sums = sums + count;
  for (int64_t c = 0; c < count; c += lanes) {
    const int64_t left = count - c;
    const FloatsV normalised = moments.Normalised(LoadPart(x + c, left));
    const FloatsV gradient = LoadPart(dy + c, left);
    StorePart(hn::MulAdd(gradient, normalised, LoadPart(sums + c, left)), sums + c, left);
    StorePart(hn::Add(gradient, LoadPart(bias_sums + c, left)), bias_sums + c, left);
    const FloatsV direct = hn::MulSub(LoadPart(weight + c, left), gradient, mean);
    const FloatsV skipped = skip == nullptr ? hn::Zero(d) : LoadPart(skip + c, left);
    StorePart(hn::MulAdd(moments.scale, hn::NegMulAdd(normalised, shared, direct), skipped), dx + c,
              left);
  }
}

void LayerNormBackward(KernelContext& context, ConstMatrix x, const WeightMatrix& weight,
                       float epsilon, ConstMatrix dy, ConstMatrix skip, Matrix dx,
                       std::span<float> dweight, std::span<float> dbias) {
  CheckShapes(x, weight, dy, dx, dweight);
  FULMEN_CHECK(dbias.size() == dweight.size(), "dweight [{}], dbias [{}]", dweight.size(),
               dbias.size());
  const Workspace::Frame frame(context.scratch);
  const float* weights = Widened(context.scratch, weight);
  ForSummedRows(context, x.rows, 5, {dweight, dbias}, [&](int64_t t, float* sums) {
    LayerNormRow(x.row(t), weights, epsilon, dy.row(t),
                 skip.data == nullptr ? nullptr : skip.row(t), x.cols, dx.row(t), sums);
  });
}

void AddBiasBackward(KernelContext& context, ConstMatrix dy, std::span<float> dbias) {
  FULMEN_CHECK(std::ssize(dbias) == dy.cols, "dy is [{}, {}], dbias [{}]", dy.rows, dy.cols,
               dbias.size());
  ForSummedRows(context, dy.rows, 1, {dbias},
                [&](int64_t t, float* sums) { AddTo(dy.row(t), dy.cols, sums); });
}

void BiasGeluBackward(KernelContext& context, ConstMatrix x, const WeightMatrix& bias,
                      ConstMatrix dy, Matrix dx, std::span<float> dbias) {
  CheckShapes(x, bias, dy, dx, dbias);
  const Workspace::Frame frame(context.scratch);
  const float* biases = Widened(context.scratch, bias);
  ForSummedRows(context, x.rows, 34, {dbias}, [&](int64_t t, float* sums) HWY_ATTR {
    for (int64_t c = 0; c < x.cols; c += LaneCount()) {
      const int64_t left = x.cols - c;
      const FloatsV value = hn::Add(LoadPart(x.row(t) + c, left), LoadPart(biases + c, left));
      const FloatsV gradient = hn::Mul(LoadPart(dy.row(t) + c, left), GeluSlope(Floats(), value));
      StorePart(gradient, dx.row(t) + c, left);
      StorePart(hn::Add(gradient, LoadPart(sums + c, left)), sums + c, left);
    }
  });
}

// A task has a range of columns, so that every row is added by one task, in the order of tokens.
void EmbeddingBackward(KernelContext& context, std::span<const int32_t> tokens, ConstMatrix dy,
                       Matrix dtable) {
  FULMEN_CHECK(dy.rows == static_cast<int64_t>(tokens.size()) && dy.cols == dtable.cols,
               "dy is [{}, {}] for {} tokens of width {}", dy.rows, dy.cols, tokens.size(),
               dtable.cols);
  for (const int32_t token : tokens) {
    FULMEN_CHECK(token >= 0 && token < dtable.rows, "token {} of a table of {} rows", token,
                 dtable.rows);
  }
  const int64_t vectors = (dy.cols + LaneCount() - 1) / LaneCount();
  const int64_t width = (vectors + context.pool.size() - 1) / context.pool.size() * LaneCount();
  const int64_t tasks = (dy.cols + width - 1) / width;
  ForTasks(context.pool, tasks, dy.rows * vectors, [&](int64_t task, int) {
    const int64_t column = task * width;
    const int64_t count = std::min(width, dy.cols - column);
    for (int64_t t = 0; t < dy.rows; ++t) {
      float* sum = dtable.row(tokens[static_cast<size_t>(t)]) + column;
      AddTo(dy.row(t) + column, count, sum);
    }
  });
}

void Fill(TrainingKernels& kernels) {
  kernels.rms_norm_backward = RmsNormBackward;
  kernels.gated_rms_norm_backward = GatedRmsNormBackward;
  kernels.layer_norm_backward = LayerNormBackward;
  kernels.add_bias_backward = AddBiasBackward;
  kernels.bias_gelu_backward = BiasGeluBackward;
  kernels.embedding_backward = EmbeddingBackward;
}

}  // namespace
}  // namespace fulmen::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fulmen::cpu {

HWY_EXPORT(Fill);

void RegisterElementwiseBackward(TrainingKernels& kernels) { HWY_DYNAMIC_DISPATCH(Fill)(kernels); }

}  // namespace fulmen::cpu
#endif
