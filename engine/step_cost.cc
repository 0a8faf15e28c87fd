#include "engine/step_cost.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <optional>

namespace fulmen {
namespace {

constexpr size_t kTerms = 3;
using Vector = std::array<double, kTerms>;

// Sums of weighted products of terms with terms, and with what they should add up to.
struct Normal {
  std::array<Vector, kTerms> products = {};
  Vector wanted = {};
};

// The least squares where only the terms in the set `used` are not zero; nullopt where they cannot
// be told apart or one comes out negative.
std::optional<Vector> Solve(Normal normal, unsigned used) {
  Vector solution = {};
  std::array<size_t, kTerms> terms = {};
  size_t count = 0;
  for (size_t i = 0; i < kTerms; ++i) {
    if ((used >> i & 1) != 0) terms[count++] = i;
  }
  for (size_t i = 0; i < count; ++i) {
    const size_t pivot = terms[i];
    const double original = normal.products[pivot][pivot];
    for (size_t j = 0; j < i; ++j) {
      const size_t before = terms[j];
      const double factor = normal.products[pivot][before] / normal.products[before][before];
      for (const size_t k : {0, 1, 2}) {
        normal.products[pivot][k] -= factor * normal.products[before][k];
      }
      normal.wanted[pivot] -= factor * normal.wanted[before];
    }
    if (normal.products[pivot][pivot] <= 1e-9 * original) return std::nullopt;
  }
  for (size_t i = count; i-- > 0;) {
    const size_t pivot = terms[i];
    double sum = normal.wanted[pivot];
    for (size_t j = i + 1; j < count; ++j) {
      sum -= normal.products[pivot][terms[j]] * solution[terms[j]];
    }
    solution[pivot] = sum / normal.products[pivot][pivot];
    if (solution[pivot] < 0) return std::nullopt;
  }
  return solution;
}

// Of all non-negative least squares the best: three terms have seven sets of them.
Vector SolveNonNegative(const Normal& normal) {
  Vector best = {};
  double least = 0;  // the sum of squares, less a constant
  for (unsigned used = 1; used < 1U << kTerms; ++used) {
    const std::optional<Vector> solution = Solve(normal, used);
    if (!solution) continue;
    double squares = 0;
    for (size_t i = 0; i < kTerms; ++i) {
      squares -= 2 * (*solution)[i] * normal.wanted[i];
      for (size_t j = 0; j < kTerms; ++j) {
        squares += (*solution)[i] * (*solution)[j] * normal.products[i][j];
      }
    }
    if (squares >= least) continue;
    least = squares;
    best = *solution;
  }
  return best;
}

size_t SizeOf(int64_t rows) {
  return static_cast<size_t>(std::bit_width(static_cast<uint64_t>(rows)));
}

}  // namespace

void StepWork::Add(int64_t tokens, int64_t position) {
  rows += tokens;
  keys += static_cast<double>(tokens) *
          (static_cast<double>(position) + (static_cast<double>(tokens) + 1) / 2);
}

void StepCost::Observe(const StepWork& work, double seconds) {
  if (work.rows == 0 || seconds <= 0) return;
  std::deque<Observation>& size = by_size_[std::min(SizeOf(work.rows), by_size_.size() - 1)];
  size.push_back({work, seconds});
  if (size.size() > kKept) size.pop_front();
  ++observed_;
}

StepRates StepCost::Near(int64_t rows) const {
  Normal normal;
  const double wanted_size = std::log2(static_cast<double>(std::max<int64_t>(rows, 1)));
  for (const std::deque<Observation>& size : by_size_) {
    for (const Observation& step : size) {
      const double apart = std::log2(static_cast<double>(step.work.rows)) - wanted_size;
      // Of the relative error, so that short steps count as much as long ones.
      const double weight = 1 / (step.seconds * step.seconds * (1 + 4 * apart * apart));
      const Vector terms = {1, static_cast<double>(step.work.rows), step.work.keys};
      for (size_t i = 0; i < kTerms; ++i) {
        normal.wanted[i] += weight * terms[i] * step.seconds;
        for (size_t j = 0; j < kTerms; ++j) normal.products[i][j] += weight * terms[i] * terms[j];
      }
    }
  }
  const Vector rates = SolveNonNegative(normal);
  return {rates[0], rates[1], rates[2]};
}

}  // namespace fulmen
