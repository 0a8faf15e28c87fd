#include "images/resample_axis.h"

#include <algorithm>
#include <cmath>

namespace fulmen {
namespace {

constexpr double kReach = 2;  // of the filter, in pixels of the coarser side

// Keys' cubic with a = -1/2. The order of operations decides the last bits.
double Cubic(double x) {
  constexpr double a = -0.5;
  x = std::fabs(x);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < kReach) return (((x - 5) * x + 8) * x - 4) * a;
  return 0;
}

int32_t FixedPoint(double weight) {
  const double scaled = weight * (1 << kWeightBits);
  return static_cast<int32_t>(weight < 0 ? scaled - 0.5 : scaled + 0.5);
}

}  // namespace

ResampleAxis MakeResampleAxis(int64_t in, int64_t out) {
  const double scale = static_cast<double>(in) / static_cast<double>(out);
  const double spread = std::max(scale, 1.0);
  const double reach = kReach * spread;
  const double per_pixel = 1 / spread;
  ResampleAxis axis;
  axis.windows.reserve(static_cast<size_t>(out));
  for (int64_t i = 0; i < out; ++i) {
    const double centre = (static_cast<double>(i) + 0.5) * scale;
    const double left = centre - reach + 0.5;
    const double right = centre + reach + 0.5;
    const int64_t first = std::max<int64_t>(0, static_cast<int64_t>(left));
    const int64_t end = std::min(in, static_cast<int64_t>(right));
    axis.windows.push_back({first, end - first});
    axis.taps = std::max(axis.taps, end - first);
  }
  axis.weights.resize(static_cast<size_t>(out * axis.taps));
  std::vector<double> exact(static_cast<size_t>(axis.taps));
  for (int64_t i = 0; i < out; ++i) {
    const double centre = (static_cast<double>(i) + 0.5) * scale;
    const auto [first, count] = axis.windows[static_cast<size_t>(i)];
    double sum = 0;
    for (int64_t j = 0; j < count; ++j) {
      const double weight = Cubic((static_cast<double>(first + j) - centre + 0.5) * per_pixel);
      exact[static_cast<size_t>(j)] = weight;
      sum += weight;
    }
    for (int64_t j = 0; j < count; ++j) {
      axis.weights[static_cast<size_t>(i * axis.taps + j)] =
          FixedPoint(exact[static_cast<size_t>(j)] / sum);
    }
  }
  return axis;
}

}  // namespace fulmen
