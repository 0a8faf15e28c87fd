#include "train/sweep.h"

#include <gtest/gtest.h>

#include "tests/testing/golden.h"

#include "train/page.h"
#include "train/sweep_report.h"

namespace fulmen {
namespace {

TrainingConfig Base() {
  TrainingConfig config = ExampleTrainingConfig();
  config.model.tokenizer = testing::SourcePath("tests/golden/tokenizer/small");
  config.model.hidden_size = 96;
  config.model.heads = 6;
  config.model.kv_heads = 3;
  config.model.head_dim = 16;
  config.model.rotary_dim = 8;
  config.model.intermediate_size = 256;
  config.schedule.kind = "constant";
  config.evaluation.data = "held-out";
  config.output.folder = "out";
  return config;
}

TEST(SweepSizes, AreReadAndRefused) {
  EXPECT_EQ(*ParseSweepSizes("64x8,144x12"), (std::vector<SweepSize>{{64, 8}, {144, 12}}));
  for (const char* bad : {"", "64", "64x", "x8", "64x8,", "64x8x2", "0x8", "-64x8", "64X8",
                          "99999999999999999999x8", "64x8 "}) {
    EXPECT_FALSE(ParseSweepSizes(bad)) << bad;
  }
  EXPECT_EQ(ParseSweepSizes("64x8,wide").error().message,
            "should be HIDDENxLAYERS, as in 64x8,96x8, found \"wide\"");
  EXPECT_EQ(ParseSweepSizes("64x8,64x8").error().message,
            "should name a size once, found 64x8 twice");
}

TEST(SweepSizes, LieAroundThatOfTheConfigByDefault) {
  ModelSection model;
  model.hidden_size = 96;
  model.layers = 8;
  model.kv_heads = 6;
  EXPECT_EQ(DefaultSweepSizes(model), (std::vector<SweepSize>{{64, 8}, {96, 8}, {144, 8}}));
  model.kv_heads = 1;
  EXPECT_EQ(DefaultSweepSizes(model), (std::vector<SweepSize>{{96, 8}, {192, 8}}));
}

TEST(SweepKinds, AreReadAndRefused) {
  EXPECT_EQ(*ParseSweepKinds("hybrid,softmax"), (std::vector<std::string>{"hybrid", "softmax"}));
  EXPECT_EQ(ParseSweepKinds("softmax,mamba").error().message,
            "should be some of softmax, lightning, hybrid, found \"mamba\"");
}

TEST(PlanSweep, ChangesSizesAndKindsAndNothingElse) {
  const TrainingConfig base = Base();
  const auto runs = PlanSweep(base, {{160, 16}, {32, 8}}, {"softmax", "lightning", "hybrid"});
  ASSERT_TRUE(runs) << runs.error().message;
  ASSERT_EQ(runs->size(), 6U);
  EXPECT_EQ((*runs)[0].name(), "softmax-32x8");
  for (size_t i = 1; i < runs->size(); ++i) {
    EXPECT_LE((*runs)[i - 1].parameters, (*runs)[i].parameters);
  }
  for (const SweepRun& run : *runs) {
    const ModelSection& model = run.config.model;
    const int64_t hidden = model.hidden_size;
    EXPECT_EQ(run.config.output.folder, "out/" + run.name());
    EXPECT_EQ(model.heads, hidden / 16);
    EXPECT_EQ(model.kv_heads, hidden / 32);
    EXPECT_EQ(model.intermediate_size, hidden == 32 ? 88 : 424);
    EXPECT_EQ(model.softmax_every, run.kind == "softmax" ? 1 : run.kind == "lightning" ? 0 : 8);
    TrainingConfig same = run.config;
    same.model = base.model;
    same.output = base.output;
    EXPECT_EQ(WriteTrainingConfig(same), WriteTrainingConfig(base));
  }
}

TEST(PlanSweep, RefusesWhatDoesNotCompare) {
  const auto refusal = [](auto change, SweepSize size = {96, 8}) {
    TrainingConfig config = Base();
    change(config);
    const auto runs = PlanSweep(config, {size}, {"hybrid"});
    return runs ? "" : runs.error().message;
  };
  const auto nothing = [](TrainingConfig&) {};
  EXPECT_EQ(refusal(nothing), "");
  EXPECT_NE(refusal([](auto& c) { c.model.init = "m"; }).find("model.init"), std::string::npos);
  EXPECT_NE(refusal([](auto& c) { c.model.attn_type_list = {1}; }).find("attn_type_list"),
            std::string::npos);
  EXPECT_NE(refusal([](auto& c) { c.schedule.kind = "cosine"; }).find("found cosine"),
            std::string::npos);
  EXPECT_NE(refusal([](auto& c) { c.evaluation.data = ""; }).find("evaluation.data is missing"),
            std::string::npos);
  EXPECT_EQ(refusal(nothing, {100, 8}),
            "size 100x8 has no whole model.heads: the config has 6 at hidden_size 96");
  EXPECT_EQ(
      refusal(nothing, {96, 4}),
      "hybrid-96x4 needs layers of both kinds: model.softmax_every should be 2 to 4, found 8");
}

TEST(HeldOutCurve, SumsComputeUpToEveryEvaluationAfterTheWarmUp) {
  History history;
  for (int64_t step = 1; step <= 6; ++step) {
    StepMetrics metrics;
    metrics.step = step;
    metrics.tokens = 100.0 * static_cast<double>(step);
    metrics.flops = kPflopDay;
    history.steps.push_back(metrics);
  }
  history.held_out = {{2, 5.0}, {4, 4.0}, {6, 3.5}};
  const std::vector<CurvePoint> curve = HeldOutCurve(history, 2);
  ASSERT_EQ(curve.size(), 2U);
  EXPECT_EQ(curve[0].compute, 4);
  EXPECT_EQ(curve[0].tokens, 400);
  EXPECT_EQ(curve[1].compute, 6);
  EXPECT_EQ(curve[1].loss, 3.5);
  EXPECT_TRUE(HeldOutCurve({}, 0).empty());
}

// A sweep whose losses follow (1 + log-distance of N from the best)... of two kinds and `sizes`.
Sweep Finished(const std::vector<double>& sizes) {
  Sweep sweep;
  sweep.config = Base();
  std::vector<KindCurves> kinds = {{"softmax", {}}, {"hybrid", {}}};
  for (KindCurves& kind : kinds) {
    for (const double n : sizes) {
      LossCurve curve{fmt::format("{:.0f}x8", n), n, {}};
      for (double c = 1e-8; c < 1e-5; c *= 1.2) {
        const double off = std::log(n / (1e9 * std::pow(c, 0.6)));
        curve.points.push_back({c, c / n, 3 * std::pow(c, -0.07) + 0.05 * off * off});
      }
      kind.sizes.push_back(curve);
      sweep.runs.push_back({kind.kind, curve, 1e6, 1e12, 90});
    }
  }
  sweep.scaling = AnalyseScaling(kinds);
  return sweep;
}

TEST(SweepReport, ShowsRunsLawsAndTheReports) {
  const Sweep sweep = Finished({5e4, 1e5, 2e5, 4e5});
  const std::string text = SweepText(sweep);
  for (const char* part : {"softmax-50000x8", "N_opt hybrid", "C^0.6", "1.82e+08 C^0.7118",
                           "Lowest held-out loss", "at or below softmax at all 6", "2501.08313"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
  }
  const Json json = SweepJson(sweep);
  EXPECT_EQ(json["runs"].size(), 8U);
  EXPECT_NEAR(json["kinds"]["hybrid"]["laws"]["parameters"]["here"]["exponent"].get<double>(), 0.6,
              0.01);
  EXPECT_EQ(json["kinds"]["hybrid"]["laws"]["loss"]["report"]["exponent"], -0.0763);
  EXPECT_EQ(json["equal_compute"].size(), 6U);
  const std::string page = SweepPage(sweep);
  for (const char* part : {"</html>", "N_opt(C)", "D_opt(C)", "hybrid, report", "learning_rate"}) {
    EXPECT_NE(page.find(part), std::string::npos) << part;
  }
  for (const char* part : {"http", "<script", "src=", "href=", "nan"}) {
    EXPECT_EQ(page.find(part), std::string::npos) << part;
  }
}

TEST(SweepReport, SaysWhereThereAreTooFewPoints) {
  const Sweep sweep = Finished({1e5});
  EXPECT_NE(SweepText(sweep).find("too few points"), std::string::npos);
  EXPECT_TRUE(SweepJson(sweep)["kinds"]["softmax"]["laws"]["parameters"]["here"].is_null());
  EXPECT_NE(SweepPage(sweep).find("N_opt(C): no points here."), std::string::npos);
  EXPECT_NE(SweepPage({Base(), {}, {}}).find("</html>"), std::string::npos);
}

TEST(TextTable, AlignsItsColumns) {
  EXPECT_EQ(TextTable({"Title", {"a", "b"}, {{"long", "1"}, {"x", "22"}}}),
            "Title\na     b\nlong  1\nx     22\n");
}

}  // namespace
}  // namespace fulmen
