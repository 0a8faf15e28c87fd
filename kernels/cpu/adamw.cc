#include "kernels/adamw.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernels/cpu/register_training.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/adamw.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h:
#include "hwy/highway.h"
#include "kernels/cpu/elementwise-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fulmen::cpu::HWY_NAMESPACE {
namespace {

// Factors of one step, from double.
struct Factors {
  explicit Factors(const AdamWParams& params)
      : gradient(params.gradient_scale),
        beta1(params.beta1),
        one_minus_beta1(static_cast<float>(1.0 - double{params.beta1})),
        beta2(params.beta2),
        one_minus_beta2(static_cast<float>(1.0 - double{params.beta2})),
        epsilon(params.epsilon),
        weight_decay(params.weight_decay),
        learning_rate(params.learning_rate) {
    const auto step = static_cast<double>(params.step);
    first = static_cast<float>(1.0 / (1.0 - std::pow(double{params.beta1}, step)));
    second = static_cast<float>(1.0 / (1.0 - std::pow(double{params.beta2}, step)));
  }

  float gradient;
  float beta1, one_minus_beta1;
  float beta2, one_minus_beta2;
  float epsilon, weight_decay, learning_rate;
  float first, second;  // the bias corrections
};

void Update(const Factors& factors, const float* HWY_RESTRICT gradient, int64_t count,
            float* HWY_RESTRICT weight, float* HWY_RESTRICT first, float* HWY_RESTRICT second) {
  const Floats d;
  const auto set = [d](float value) HWY_ATTR { return hn::Set(d, value); };
  for (int64_t i = 0; i < count; i += LaneCount()) {
    const int64_t left = count - i;
    const FloatsV g = hn::Mul(set(factors.gradient), LoadPart(gradient + i, left));
    const FloatsV m = hn::MulAdd(set(factors.beta1), LoadPart(first + i, left),
                                 hn::Mul(set(factors.one_minus_beta1), g));
    const FloatsV v = hn::MulAdd(set(factors.beta2), LoadPart(second + i, left),
                                 hn::Mul(hn::Mul(set(factors.one_minus_beta2), g), g));
    const FloatsV root = hn::Sqrt(hn::Mul(v, set(factors.second)));
    const FloatsV w = LoadPart(weight + i, left);
    const FloatsV update =
        hn::MulAdd(set(factors.weight_decay), w,
                   hn::Div(hn::Mul(m, set(factors.first)), hn::Add(root, set(factors.epsilon))));
    StorePart(m, first + i, left);
    StorePart(v, second + i, left);
    StorePart(hn::NegMulAdd(set(factors.learning_rate), update, w), weight + i, left);
  }
}

void AdamW(KernelContext& context, const AdamWParams& params, std::span<const float> gradient,
           std::span<float> weight, std::span<float> first_moment, std::span<float> second_moment) {
  FULMEN_CHECK(weight.size() == gradient.size() && first_moment.size() == gradient.size() &&
                   second_moment.size() == gradient.size(),
               "{} gradients for {} weights with {} and {} moments", gradient.size(), weight.size(),
               first_moment.size(), second_moment.size());
  const Factors factors(params);
  ForParts(context, 1, static_cast<int64_t>(gradient.size()), 20,
           [&](int64_t, int64_t at, int64_t count) {
             Update(factors, gradient.data() + at, count, weight.data() + at,
                    first_moment.data() + at, second_moment.data() + at);
           });
}

double SumOfSquares(const float* HWY_RESTRICT values, int64_t count) {
  const hn::ScalableTag<double> d;
  const hn::Rebind<float, decltype(d)> narrow;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  // Four sums, for one would wait for its own last addition.
  hn::Vec<decltype(d)> sums[4] = {hn::Zero(d), hn::Zero(d), hn::Zero(d), hn::Zero(d)};
  int64_t i = 0;
  for (; i + 4 * lanes <= count; i += 4 * lanes) {
    HWY_UNROLL(4)
    for (int j = 0; j < 4; ++j) {
      const auto value = hn::PromoteTo(d, hn::LoadU(narrow, values + i + j * lanes));
      sums[j] = hn::MulAdd(value, value, sums[j]);
    }
  }
  const auto sum = hn::Add(hn::Add(sums[0], sums[1]), hn::Add(sums[2], sums[3]));
  double total = hn::GetLane(hn::SumOfLanes(d, sum));
  for (; i < count; ++i) total += double{values[i]} * double{values[i]};
  return total;
}

// Sums of pieces of kTaskElements, added from first to last.
double SquaredNorm(KernelContext& context, std::span<const float> values) {
  const auto count = static_cast<int64_t>(values.size());
  const int64_t pieces = (count + kTaskElements - 1) / kTaskElements;
  Workspace::Frame frame(context.scratch);
  double* sums = context.scratch.Allocate<double>(pieces);
  ForParts(context, 1, count, 2, [&](int64_t, int64_t at, int64_t length) {
    sums[at / kTaskElements] = SumOfSquares(values.data() + at, length);
  });
  return std::accumulate(sums, sums + pieces, 0.0);
}

void Fill(TrainingKernels& kernels) {
  kernels.adamw = AdamW;
  kernels.squared_norm = SquaredNorm;
}

}  // namespace
}  // namespace fulmen::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fulmen::cpu {

HWY_EXPORT(Fill);

void RegisterAdamW(TrainingKernels& kernels) { HWY_DYNAMIC_DISPATCH(Fill)(kernels); }

}  // namespace fulmen::cpu
#endif
