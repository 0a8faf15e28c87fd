#pragma once

#include <cmath>

namespace fulmen::ref {

inline double Sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }

}  // namespace fulmen::ref
