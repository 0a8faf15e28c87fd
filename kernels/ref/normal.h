// What the forward and the backward passes of layer_norm and bias_gelu share.
#pragma once

#include <cmath>
#include <cstdint>
#include <numbers>

namespace fulmen::ref {

// How layer_norm shifts and scales a row.
struct RowMoments {
  double mean = 0.0;
  double scale = 0.0;  // 1 / sqrt(variance + epsilon)

  RowMoments(const float* x, int64_t count, float epsilon) {
    const auto width = static_cast<double>(count);
    for (int64_t c = 0; c < count; ++c) mean += double{x[c]} / width;
    double variance = 0.0;
    for (int64_t c = 0; c < count; ++c) {
      variance += (double{x[c]} - mean) * (double{x[c]} - mean) / width;
    }
    scale = 1.0 / std::sqrt(variance + double{epsilon});
  }
  double Normalised(double x) const { return (x - mean) * scale; }
};

// P(N <= v) and the density at v of a standard normal N.
inline double NormalCdf(double v) { return 0.5 * std::erfc(-v / std::numbers::sqrt2); }
inline double NormalDensity(double v) {
  return std::exp(-v * v / 2) / std::sqrt(2 * std::numbers::pi);
}

}  // namespace fulmen::ref
