#include "train/scaling.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

namespace fulmen {
namespace {

constexpr double kGridPerDecade = 20;
constexpr size_t kLeastPoints = 3;  // of a fitted law
constexpr size_t kLeastSizes = 3;   // at equal compute, for all that is fitted
constexpr size_t kEqualRows = 6;

using CurvePoints = std::vector<CurvePoint>;

bool Usable(const CurvePoint& point) {
  return std::isfinite(point.compute) && std::isfinite(point.tokens) && std::isfinite(point.loss) &&
         point.compute > 0 && point.tokens > 0;
}

std::vector<LossCurve> UsableCurves(const KindCurves& kind) {
  std::vector<LossCurve> curves;
  for (const LossCurve& curve : kind.sizes) {
    LossCurve usable{curve.size, curve.parameters, {}};
    std::ranges::copy_if(curve.points, std::back_inserter(usable.points), Usable);
    if (!usable.points.empty()) curves.push_back(std::move(usable));
  }
  return curves;
}

// Between two points of the curve, linear in log C; nothing beyond its ends.
std::optional<CurvePoint> At(const CurvePoints& points, double compute) {
  const auto after = std::ranges::lower_bound(points, compute, {}, &CurvePoint::compute);
  if (after == points.end() || (after == points.begin() && after->compute > compute)) return {};
  if (after->compute == compute) return *after;
  const CurvePoint& a = *(after - 1);
  const CurvePoint& b = *after;
  const double t = std::log(compute / a.compute) / std::log(b.compute / a.compute);
  return CurvePoint{compute, a.tokens * std::pow(b.tokens / a.tokens, t),
                    a.loss + t * (b.loss - a.loss)};
}

// Values 10^(k / kGridPerDecade) within all that the curves cover.
std::vector<double> Grid(const std::vector<LossCurve>& curves) {
  double low = std::numeric_limits<double>::infinity();
  double high = 0;
  for (const LossCurve& curve : curves) {
    low = std::min(low, curve.points.front().compute);
    high = std::max(high, curve.points.back().compute);
  }
  std::vector<double> grid;
  if (high <= 0) return grid;
  const auto last = std::floor(kGridPerDecade * std::log10(high));
  for (auto k = std::ceil(kGridPerDecade * std::log10(low)); k <= last; ++k) {
    grid.push_back(std::pow(10, k / kGridPerDecade));
  }
  return grid;
}

struct SizeAt {
  double parameters;
  CurvePoint point;
};

double Mean(const std::vector<double>& values) {
  return std::reduce(values.begin(), values.end()) / static_cast<double>(values.size());
}

// `sizes` rise in parameters.
IsoFlop FindOptimum(double compute, const std::vector<SizeAt>& sizes) {
  const auto best =
      std::ranges::min_element(sizes, {}, [](const SizeAt& size) { return size.point.loss; });
  if (best == sizes.begin()) return {compute, Optimum::kBelow};
  if (best + 1 == sizes.end()) return {compute, Optimum::kAbove};
  // With u = log N less that of the best: loss = best + slope u + bend u^2 through the neighbours.
  const double u0 = std::log((best - 1)->parameters / best->parameters);
  const double u1 = std::log((best + 1)->parameters / best->parameters);
  const double rise0 = ((best - 1)->point.loss - best->point.loss) / u0;
  const double rise1 = ((best + 1)->point.loss - best->point.loss) / u1;
  const double bend = (rise1 - rise0) / (u1 - u0);
  const double slope = rise0 - bend * u0;
  // All three losses may be equal.
  const double u = bend > 0 ? -slope / (2 * bend) : 0;
  // Tokens between those of the neighbour on that side and of the best.
  const SizeAt& other = u < 0 ? *(best - 1) : *(best + 1);
  const double share = u / (u < 0 ? u0 : u1);
  return {compute, Optimum::kInside, best->point.loss + slope * u / 2,
          best->parameters * std::exp(u),
          best->point.tokens * std::pow(other.point.tokens / best->point.tokens, share)};
}

std::optional<LawFit> FitLaw(const std::vector<double>& compute, const std::vector<double>& value) {
  if (compute.size() < kLeastPoints) return {};
  std::vector<double> x;
  std::vector<double> y;
  for (size_t i = 0; i < compute.size(); ++i) {
    x.push_back(std::log(compute[i]));
    y.push_back(std::log(value[i]));
  }
  const double x_mean = Mean(x);
  const double y_mean = Mean(y);
  double xx = 0;
  double xy = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    xx += (x[i] - x_mean) * (x[i] - x_mean);
    xy += (x[i] - x_mean) * (y[i] - y_mean);
  }
  const double exponent = xy / xx;
  return LawFit{{std::exp(y_mean - exponent * x_mean), exponent},
                compute.size(),
                compute.front(),
                compute.back()};
}

KindScaling AnalyseKind(const KindCurves& kind) {
  std::vector<LossCurve> curves = UsableCurves(kind);
  std::ranges::sort(curves, {}, &LossCurve::parameters);
  KindScaling scaling;
  scaling.kind = kind.kind;
  // Law by law: compute and value.
  std::array<std::pair<std::vector<double>, std::vector<double>>, 3> fits;
  const auto add = [&](size_t law, double compute, double value) {
    fits[law].first.push_back(compute);
    fits[law].second.push_back(value);
  };
  for (const double compute : Grid(curves)) {
    std::vector<SizeAt> sizes;
    for (const LossCurve& curve : curves) {
      const std::optional<CurvePoint> point = At(curve.points, compute);
      if (point) sizes.push_back({curve.parameters, *point});
    }
    if (sizes.empty() || sizes.size() < std::min<size_t>(2, curves.size())) continue;
    const auto best =
        std::ranges::min_element(sizes, {}, [](const SizeAt& size) { return size.point.loss; });
    // A smaller model that was not trained so far might be better than the smallest that was.
    const bool open = best == sizes.begin() && best->parameters > curves.front().parameters;
    if (!open) scaling.frontier.push_back({compute, best->point.loss, sizes.size()});
    if (sizes.size() < kLeastSizes) continue;
    if (!open) add(0, compute, best->point.loss);
    const IsoFlop found = FindOptimum(compute, sizes);
    scaling.isoflops.push_back(found);
    if (found.optimum != Optimum::kInside) continue;
    add(1, compute, found.parameters);
    add(2, compute, found.tokens);
  }
  scaling.loss = FitLaw(fits[0].first, fits[0].second);
  scaling.parameters = FitLaw(fits[1].first, fits[1].second);
  scaling.tokens = FitLaw(fits[2].first, fits[2].second);
  return scaling;
}

// The grid is the same for all kinds, so equal compute is the same number.
std::vector<EqualCompute> CompareKinds(const std::vector<KindScaling>& kinds) {
  std::vector<EqualCompute> shared;
  if (kinds.empty()) return shared;
  for (const BestLoss& first : kinds.front().frontier) {
    EqualCompute row{first.compute, {}};
    for (const KindScaling& kind : kinds) {
      const auto found = std::ranges::find(kind.frontier, first.compute, &BestLoss::compute);
      if (found != kind.frontier.end()) row.losses.push_back(found->loss);
    }
    if (row.losses.size() == kinds.size()) shared.push_back(std::move(row));
  }
  if (shared.size() <= kEqualRows) return shared;
  std::vector<EqualCompute> few;
  for (size_t i = 0; i < kEqualRows; ++i) {
    few.push_back(shared[i * (shared.size() - 1) / (kEqualRows - 1)]);
  }
  return few;
}

}  // namespace

double PowerLaw::At(double compute) const { return factor * std::pow(compute, exponent); }

Scaling AnalyseScaling(std::span<const KindCurves> kinds) {
  Scaling scaling;
  for (const KindCurves& kind : kinds) scaling.kinds.push_back(AnalyseKind(kind));
  scaling.equal = CompareKinds(scaling.kinds);
  return scaling;
}

std::string HybridVerdict(const Scaling& scaling) {
  const auto index = [&](std::string_view kind) {
    return static_cast<size_t>(std::ranges::find(scaling.kinds, kind, &KindScaling::kind) -
                               scaling.kinds.begin());
  };
  const size_t softmax = index("softmax");
  const size_t hybrid = index("hybrid");
  if (std::max(softmax, hybrid) >= scaling.kinds.size()) {
    return "No verdict: it takes softmax and hybrid models.";
  }
  if (scaling.equal.empty()) return "No verdict: the kinds share no range of compute.";
  size_t not_above = 0;
  double low = std::numeric_limits<double>::infinity();
  double high = -low;
  for (const EqualCompute& row : scaling.equal) {
    const double difference = row.losses[hybrid] - row.losses[softmax];
    if (difference <= 0) ++not_above;
    low = std::min(low, difference);
    high = std::max(high, difference);
  }
  const size_t rows = scaling.equal.size();
  const std::string outcome =
      not_above == rows ? fmt::format("The hybrid is at or below softmax at all {} values", rows)
      : not_above == 0
          ? fmt::format("The hybrid is not at or below softmax at any of {} values", rows)
          : fmt::format("The hybrid is at or below softmax at {} of {} values", not_above, rows);
  return fmt::format(
      "{} of equal compute: its lowest loss less that of softmax is {:+.4f} to {:+.4f} nats, and "
      "{:+.4f} at the largest; one run each, so small differences may be chance.",
      outcome, low, high,
      scaling.equal.back().losses[hybrid] - scaling.equal.back().losses[softmax]);
}

}  // namespace fulmen
