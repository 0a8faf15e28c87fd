#include "train/chart.h"

#include <gtest/gtest.h>

#include <cmath>

#include "train/report.h"

namespace fulmen {
namespace {

size_t Count(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

TEST(LineChart, PutsPointsWhereTheyBelong) {
  ChartOptions options;
  options.width = 64 + 100 + 16;  // 100 pixels for the curve
  options.height = 34 + 100 + 46;
  const std::string svg = LineChart(options, {{"loss", {0, 5, 10}, {0, 1, 4}}});
  EXPECT_NE(svg.find("points=\"64.0,134.0 114.0,109.0 164.0,34.0 \""), std::string::npos) << svg;
  EXPECT_EQ(Count(svg, "<svg"), 1U);
  EXPECT_EQ(Count(svg, "</svg>"), 1U);
}

TEST(LineChart, LogarithmicAxesSpaceDecadesEvenlyAndLeaveOutTheRest) {
  ChartOptions options;
  options.width = 64 + 100 + 16;
  options.height = 34 + 100 + 46;
  options.log_x = options.log_y = true;
  const std::string svg = LineChart(options, {{"law", {0, 1, 10, 100}, {1, 1e4, 1e3, 1e2}}});
  EXPECT_NE(svg.find("points=\"64.0,34.0 114.0,84.0 164.0,134.0 \""), std::string::npos) << svg;
}

TEST(LineChart, LeavesOutWhatIsNotFinite) {
  const std::string svg = LineChart({}, {{"a", {1, 2, 3}, {1, NAN, INFINITY}}, {"b", {}, {}}});
  EXPECT_EQ(svg.find("nan"), std::string::npos);
  EXPECT_EQ(svg.find("inf"), std::string::npos);
  EXPECT_EQ(Count(svg, "<circle"), 1U) << "a single point is a dot";
  EXPECT_NE(LineChart({}, {{"a", {1}, {NAN}}}).find("nothing yet"), std::string::npos);
}

TEST(LineChart, ThinsLongSeriesToTheirMeans) {
  ChartSeries series{"noise", {}, {}};
  for (int i = 0; i < 100'000; ++i) {
    series.x.push_back(i);
    series.y.push_back(i % 2);
  }
  const std::string svg = LineChart({}, {series});
  EXPECT_LT(svg.size(), 20'000U);
}

TEST(LineChart, NamesSeveralSeriesAndEscapesThem) {
  const std::string svg =
      LineChart({.title = "\"<&>\""}, {{"a<b", {1, 2}, {1, 2}}, {"c", {1, 2}, {2, 1}}});
  EXPECT_NE(svg.find("a&lt;b"), std::string::npos);
  EXPECT_EQ(svg.find("a<b"), std::string::npos);
  EXPECT_NE(svg.find("&quot;&lt;&amp;&gt;&quot;"), std::string::npos);
}

TEST(HeatMap, ColoursByValueAndShowsItBesideAScale) {
  const std::string svg = DrawHeatMap({"load",
                                       "step",
                                       "shares",
                                       {"layer 0", "layer 1"},
                                       {"1", "2"},
                                       {{0, 1.25}, {2, NAN}},
                                       0,
                                       2.5});
  const size_t cells = svg.find(">layer 0<");
  ASSERT_NE(cells, std::string::npos);
  const std::string scale = svg.substr(0, cells);
  EXPECT_EQ(Count(scale, "<rect"), 9U);
  EXPECT_NE(scale.find(">0</text>"), std::string::npos) << scale;
  EXPECT_NE(scale.find(">2.5 shares</text>"), std::string::npos) << scale;
  const std::string map = svg.substr(cells);
  EXPECT_EQ(Count(map, "<rect"), 4U);
  EXPECT_EQ(Count(map, "fill-opacity=\"0.00\""), 2U);
  EXPECT_EQ(Count(map, "fill-opacity=\"0.50\""), 1U);
  EXPECT_EQ(Count(map, "fill-opacity=\"0.80\""), 1U);
  for (const char* number : {">0.00<", ">1.25<", ">2.00<", ">-<", "layer 0, step 2: 1.25"}) {
    EXPECT_NE(map.find(number), std::string::npos) << number << " in " << map;
  }
}

TEST(HeatMap, FoldsManyColumns) {
  HeatMap map{"load", "expert", "shares", {"layer 0"}, {}, {{}}, 0, 1};
  for (int i = 0; i < 64; ++i) {
    map.columns.push_back(std::to_string(i));
    map.cells[0].push_back(0.5);
  }
  const std::string svg = DrawHeatMap(map);
  EXPECT_EQ(Count(svg, ">layer 0<"), 3U) << "three blocks of 22, 22 and 20";
  EXPECT_EQ(Count(svg, ">0.50<"), 64U);
}

TEST(Charts, TellThoseWhoDoNotSeeThem) {
  const std::string svg = LineChart({.title = "Loss"}, {{"training", {1, 2, 9}, {4, 3, 2.5}}});
  EXPECT_NE(svg.find("<title>Loss</title>"), std::string::npos);
  EXPECT_NE(svg.find("<desc>training: from 4 at 1 to 2.5 at 9</desc>"), std::string::npos) << svg;
}

TEST(LineChart, StepsAreWhole) {
  const std::string svg = LineChart({.whole_x = true}, {{"loss", {1, 2, 3}, {30, 20, 10}}});
  EXPECT_EQ(svg.find(">1.5<"), std::string::npos) << svg;
  EXPECT_NE(LineChart({}, {{"loss", {1, 2, 3}, {7, 8, 9}}}).find(">1.5<"), std::string::npos);
}

TEST(Report, IsOneFileWithEverythingInIt) {
  const TrainingConfig config = ExampleTrainingConfig();
  Config geometry;
  geometry.experts = 2;
  geometry.experts_per_token = 1;
  geometry.layers = {LayerKind::kLightning};
  History history;
  EXPECT_NE(RenderReport(config, geometry, history).find("</html>"), std::string::npos);
  for (int64_t step = 1; step <= 100; ++step) {
    StepMetrics metrics;
    metrics.step = step;
    metrics.cross_entropy = 2;
    metrics.tokens = 1e6;
    metrics.seconds = 60;
    history.steps.push_back(metrics);
    history.loads.push_back({step, {{0.25, 0.75}}});
  }
  history.held_out = {{50, 3}, {100, 2.5}};
  const std::string html = RenderReport(config, geometry, history);
  for (const char* part :
       {"100 of 10000", "held-out cross-entropy", "Learning rate", "Norm of the gradients",
        "Throughput", "FMA peak", "busiest expert", "learning_rate = 0.001", "2.5000 (12.182)"}) {
    EXPECT_NE(html.find(part), std::string::npos) << part;
  }
  for (const char* part : {"http", "<script", "src=", "href="}) {
    EXPECT_EQ(html.find(part), std::string::npos) << part;
  }
  EXPECT_LT(html.size(), 200'000U);
}

}  // namespace
}  // namespace fulmen
