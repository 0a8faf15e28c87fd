// Scaling laws out of the loss curves of models of several sizes, as in MiniMax-01's report (arXiv
// 2501.08313, section 2.2, table 2): the lowest loss L, and the parameters N_opt and tokens D_opt
// that reach it, over the compute C. All are power laws a C^b without a constant, C in
// PFLOP/s-days.
#pragma once

#include <array>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace fulmen {

constexpr double kPflopDay = 8.64e19;  // floating-point operations

struct CurvePoint {
  double compute = 0;  // spent so far, PFLOP/s-days
  double tokens = 0;   // read so far
  double loss = 0;
};

// One model's training.
struct LossCurve {
  std::string size;
  double parameters = 0;
  std::vector<CurvePoint> points;  // compute and tokens rise
};

struct KindCurves {
  std::string kind;
  std::vector<LossCurve> sizes;
};

struct PowerLaw {
  double factor = 0;
  double exponent = 0;
  double At(double compute) const;
};

// A law fitted by least squares in logarithms.
struct LawFit {
  PowerLaw law;
  size_t points = 0;
  double low = 0;  // range of compute of the points
  double high = 0;
};

// Models of one kind at equal compute: the lowest loss of any.
struct BestLoss {
  double compute = 0;
  double loss = 0;
  size_t sizes = 0;  // that were compared
};

// Which model has the lowest loss at equal compute.
enum class Optimum {
  kInside,  // one between others
  kBelow,   // the smallest: a smaller one might be better
  kAbove,   // the largest
};

// Models of at least three sizes at equal compute. When the best is one between others, the minimum
// of the parabola over log N through its loss and those of its two neighbours; else only where to
// look for it.
struct IsoFlop {
  double compute = 0;
  Optimum optimum = Optimum::kBelow;
  double loss = 0;
  double parameters = 0;
  double tokens = 0;
};

struct KindScaling {
  std::string kind;
  // The lower envelope of all curves, but for compute at which the smallest model that was trained
  // so far is best and a still smaller one was not.
  std::vector<BestLoss> frontier;
  std::vector<IsoFlop> isoflops;
  // Of the compute that at least three sizes reach; nothing where there are too few points.
  std::optional<LawFit> loss;
  std::optional<LawFit> parameters;
  std::optional<LawFit> tokens;
};

// The lowest loss of every kind at the same compute, in the order of the kinds.
struct EqualCompute {
  double compute = 0;
  std::vector<double> losses;
};

struct Scaling {
  std::vector<KindScaling> kinds;
  std::vector<EqualCompute> equal;  // a few points of the compute all kinds share, rising
};

// The grid of compute is 10^(k/20), interpolation is linear in log C and never goes beyond a curve.
// Points that are not finite and positive are left out. The frontier begins where a second size is
// there to compare with; laws are fitted where three are.
Scaling AnalyseScaling(std::span<const KindCurves> kinds);

// One sentence: whether the hybrid is at or below softmax at equal compute.
std::string HybridVerdict(const Scaling& scaling);

// What the report found, table 2; N without embeddings and head.
struct ReportLaws {
  std::string_view kind;
  PowerLaw loss;
  PowerLaw parameters;
  PowerLaw tokens;
};
inline constexpr std::array<ReportLaws, 3> kReportLaws = {{
    {"softmax", {3.7087, -0.0798}, {1.82e8, 0.7118}, {2.56e10, 0.5102}},
    {"lightning", {3.5391, -0.0768}, {2.74e8, 0.6470}, {4.43e10, 0.4684}},
    {"hybrid", {3.4797, -0.0763}, {2.57e8, 0.6670}, {3.70e10, 0.4707}},
}};

}  // namespace fulmen
