// Gradients by finite differences of a forward pass in double, for the tests of backward passes.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "tests/testing/compare.h"

namespace fulmen::testing {

// Rounding to float32, relative.
inline constexpr double kFloatRounding = 0x1p-24;

// The step of the five-point central difference below. It errs by step^4 / 30 times the fifth
// derivative, and by the rounding of the loss, 1.5 * 2^-52 / step times its size: 3e-14 and 4e-13
// of those.
inline constexpr double kGradientStep = 0x1p-10;
// Generous for both where losses are some thousand times their gradients at most, and far below
// kFloatRounding.
inline constexpr double kGradientError = 1e-9;

// What NearRelativeToLargest is to allow a result that suffered `roundings` of float32, compared
// with one by finite differences, itself rounded once.
inline constexpr double GradientTolerance(double roundings) {
  return (roundings + 1) * kFloatRounding + kGradientError;
}

inline std::vector<double> Widened(const std::vector<float>& values) {
  return {values.begin(), values.end()};
}

// sum_i a_i b_i: a loss whose gradient with respect to `a` is b.
inline double Dot(const std::vector<double>& a, const std::vector<float>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * double{b.at(i)};
  return sum;
}

// The derivatives of loss() with respect to each of `values`, which it reads. Added to `before`
// where that is not empty.
template <class Loss>
std::vector<float> NumericGradient(std::vector<double>& values, Loss loss,
                                   const std::vector<float>& before = {}) {
  std::vector<float> gradient;
  for (size_t i = 0; i < values.size(); ++i) {
    const double value = values[i];
    const auto at = [&](double steps) {
      values[i] = value + steps * kGradientStep;
      return loss();
    };
    double derivative = (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * kGradientStep);
    values[i] = value;
    if (!before.empty()) derivative += double{before.at(i)};
    gradient.push_back(static_cast<float>(derivative));
  }
  return gradient;
}

}  // namespace fulmen::testing
