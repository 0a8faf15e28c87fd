#include <cmath>

#include "kernels/ref/operations.h"

namespace fulmen::ref {

void Rope(KernelContext&, std::span<const int64_t> positions,
          std::span<const float> inverse_frequencies, int64_t head_dim, Matrix x) {
  const int64_t half = static_cast<int64_t>(inverse_frequencies.size());
  FULMEN_CHECK(2 * half <= head_dim && x.cols % head_dim == 0 &&
                   x.rows == static_cast<int64_t>(positions.size()),
               "x is [{}, {}] for {} positions, heads of {} and {} frequencies", x.rows, x.cols,
               positions.size(), head_dim, half);
  for (int64_t t = 0; t < x.rows; ++t) {
    for (int64_t i = 0; i < half; ++i) {
      const float angle = static_cast<float>(positions[static_cast<size_t>(t)]) *
                          inverse_frequencies[static_cast<size_t>(i)];
      const float cosine = static_cast<float>(std::cos(double{angle}));
      const float sine = static_cast<float>(std::sin(double{angle}));
      for (float* head = x.row(t); head < x.row(t) + x.cols; head += head_dim) {
        const float a = head[i];
        const float b = head[i + half];
        head[i] = a * cosine - b * sine;
        head[i + half] = b * cosine + a * sine;
      }
    }
  }
}

}  // namespace fulmen::ref
