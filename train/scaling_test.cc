#include "train/scaling.h"

#include <gtest/gtest.h>

#include <cmath>

namespace fulmen {
namespace {

// Curves whose losses at equal compute are a parabola over log N with its minimum at
// N = 1e9 C^0.6 and the lowest loss 3 C^-0.07; tokens are C / (6 N) operations.
KindCurves Synthetic(const std::string& kind, const std::vector<double>& sizes, double shift = 0) {
  KindCurves curves{kind, {}};
  for (const double n : sizes) {
    LossCurve curve{"", n, {}};
    for (double log_c = -8; log_c <= -4; log_c += 0.01) {
      const double c = std::pow(10, log_c);
      const double off = std::log(n / (1e9 * std::pow(c, 0.6)));
      curve.points.push_back(
          {c, c * kPflopDay / (6 * n), 3 * std::pow(c, -0.07) + 0.05 * off * off + shift});
    }
    curves.sizes.push_back(std::move(curve));
  }
  return curves;
}

const std::vector<double> kSizes = {4e4, 8e4, 1.6e5, 3.2e5, 6.4e5, 1.3e6, 2.6e6};

KindScaling AnalyseOne(const KindCurves& curves) {
  const Scaling scaling = AnalyseScaling(std::vector{curves});
  return scaling.kinds.at(0);
}

TEST(Scaling, FindsTheLawsThatCurvesWereMadeFrom) {
  const KindScaling found = AnalyseOne(Synthetic("softmax", kSizes));
  ASSERT_TRUE(found.parameters && found.tokens && found.loss);
  EXPECT_NEAR(found.parameters->law.exponent, 0.6, 1e-3);
  EXPECT_NEAR(found.parameters->law.factor, 1e9, 2e7);
  EXPECT_NEAR(found.tokens->law.exponent, 0.4, 1e-3);
  EXPECT_NEAR(found.tokens->law.factor, kPflopDay / 6e9, 0.02 * kPflopDay / 6e9);
  // The envelope of a few sizes lies a little above that of all.
  EXPECT_NEAR(found.loss->law.exponent, -0.07, 3e-3);
  EXPECT_NEAR(found.loss->law.At(1e-6), 3 * std::pow(1e-6, -0.07), 0.05);
  EXPECT_GE(found.parameters->points, 40U);
  EXPECT_GE(found.parameters->low, 1e-8);
  EXPECT_LE(found.parameters->high, 1e-4);
}

TEST(Scaling, TheMinimumOfEachParabolaIsExact) {
  int inside = 0;
  for (const IsoFlop& iso : AnalyseOne(Synthetic("softmax", kSizes)).isoflops) {
    if (iso.optimum != Optimum::kInside) continue;
    ++inside;
    EXPECT_NEAR(iso.parameters / (1e9 * std::pow(iso.compute, 0.6)), 1, 1e-3);
    EXPECT_NEAR(iso.loss, 3 * std::pow(iso.compute, -0.07), 1e-3);
  }
  EXPECT_GE(inside, 3);
}

TEST(Scaling, MinimaOutsideTheSizesAreNoOptima) {
  // At 1e-8 to 1e-4 the optimum goes from 1.6e4 to 4e6.
  const KindScaling small = AnalyseOne(Synthetic("softmax", {1e3, 2e3, 4e3}));
  ASSERT_FALSE(small.isoflops.empty());
  for (const IsoFlop& iso : small.isoflops) EXPECT_EQ(iso.optimum, Optimum::kAbove);
  EXPECT_FALSE(small.parameters || small.tokens);
  EXPECT_TRUE(small.loss) << "an envelope there is";
  const KindScaling large = AnalyseOne(Synthetic("softmax", {1e7, 2e7, 4e7}));
  for (const IsoFlop& iso : large.isoflops) EXPECT_EQ(iso.optimum, Optimum::kBelow);
  KindCurves level = Synthetic("softmax", {1e5, 2e5, 4e5});
  for (LossCurve& curve : level.sizes) {
    for (CurvePoint& point : curve.points) point.loss = 2;
  }
  for (const IsoFlop& iso : AnalyseOne(level).isoflops) EXPECT_EQ(iso.optimum, Optimum::kBelow);
}

TEST(Scaling, OneOrTwoSizesGiveNoOptimum) {
  const KindScaling one = AnalyseOne(Synthetic("softmax", {1e5}));
  EXPECT_FALSE(one.frontier.empty());
  EXPECT_TRUE(one.isoflops.empty());
  EXPECT_FALSE(one.loss || one.parameters || one.tokens);
  const KindScaling two = AnalyseOne(Synthetic("softmax", {1e5, 2e5}));
  EXPECT_FALSE(two.frontier.empty());
  EXPECT_TRUE(two.isoflops.empty());
  EXPECT_FALSE(two.loss || two.parameters || two.tokens);
}

TEST(Scaling, TheFrontierHasNoPointWhereASmallerModelThatEndedMightBeBest) {
  KindCurves curves = Synthetic("softmax", kSizes);
  // The smallest is best up to 8e-8; it ends before.
  std::erase_if(curves.sizes[0].points,
                [](const CurvePoint& point) { return point.compute > 3e-8; });
  const KindScaling found = AnalyseOne(curves);
  for (const BestLoss& best : found.frontier) {
    EXPECT_TRUE(best.compute < 3e-8 || best.compute > 8e-8) << best.compute;
  }
  EXPECT_GT(found.frontier.back().compute, 5e-5);
}

TEST(Scaling, ComputeThatCurvesDoNotShareIsNotCompared) {
  KindCurves apart = Synthetic("softmax", {1e5, 2e5, 4e5});
  for (size_t i = 0; i < 3; ++i) {
    for (CurvePoint& point : apart.sizes[i].points) {
      point.compute *= std::pow(1e5, static_cast<double>(i));
    }
  }
  const KindScaling found = AnalyseOne(apart);
  EXPECT_TRUE(found.frontier.empty());
  EXPECT_TRUE(found.isoflops.empty());
  EXPECT_FALSE(found.loss);
}

TEST(Scaling, LeavesOutWhatIsNotFinite) {
  KindCurves curves = Synthetic("softmax", kSizes);
  const KindScaling clean = AnalyseOne(curves);
  for (LossCurve& curve : curves.sizes) {
    curve.points.push_back({1, 1, NAN});
    curve.points.insert(curve.points.begin(), {0, 0, 5});
  }
  curves.sizes.push_back({"", 1e7, {{1e-6, 1, NAN}}});
  curves.sizes.push_back({"", 2e7, {}});
  const KindScaling found = AnalyseOne(curves);
  ASSERT_TRUE(found.parameters);
  EXPECT_EQ(found.parameters->law.exponent, clean.parameters->law.exponent);
  EXPECT_EQ(found.frontier.size(), clean.frontier.size());
}

TEST(Scaling, NothingIsFoundInNothing) {
  EXPECT_TRUE(AnalyseScaling({}).equal.empty());
  const KindScaling none = AnalyseOne({"softmax", {}});
  EXPECT_TRUE(none.frontier.empty());
  EXPECT_FALSE(none.loss);
}

TEST(HybridVerdict, SaysWhatTheNumbersSay) {
  const auto verdict = [](double shift) {
    const Scaling scaling = AnalyseScaling(
        std::vector{Synthetic("softmax", kSizes), Synthetic("hybrid", kSizes, shift)});
    EXPECT_EQ(scaling.equal.size(), 6U);
    return HybridVerdict(scaling);
  };
  EXPECT_TRUE(verdict(-0.25).starts_with(
      "The hybrid is at or below softmax at all 6 values of equal compute: its lowest loss less "
      "that of softmax is -0.2500 to -0.2500 nats"))
      << verdict(-0.25);
  EXPECT_TRUE(verdict(0.5).starts_with("The hybrid is not at or below softmax at any of 6 values"))
      << verdict(0.5);
}

TEST(HybridVerdict, IsNotInvented) {
  EXPECT_EQ(HybridVerdict(AnalyseScaling(std::vector{Synthetic("softmax", kSizes)})),
            "No verdict: it takes softmax and hybrid models.");
  KindCurves later = Synthetic("hybrid", kSizes);
  for (LossCurve& curve : later.sizes) {
    for (CurvePoint& point : curve.points) point.compute *= 1e6;
  }
  EXPECT_EQ(HybridVerdict(AnalyseScaling(std::vector{Synthetic("softmax", kSizes), later})),
            "No verdict: the kinds share no range of compute.");
}

TEST(ReportLaws, AreThoseOfTheReportAtAHundredPflopDays) {
  EXPECT_NEAR(kReportLaws[0].loss.At(100), 2.568, 5e-4);
  EXPECT_NEAR(kReportLaws[1].loss.At(100), 2.485, 5e-4);
  EXPECT_NEAR(kReportLaws[2].loss.At(100), 2.449, 5e-4);
}

}  // namespace
}  // namespace fulmen
