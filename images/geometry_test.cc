#include "images/geometry.h"

#include <gtest/gtest.h>

#include "base/json.h"
#include "images/testing/tile_rules.h"
#include "tests/testing/golden.h"

namespace fulmen {
namespace {

void ExpectCase(const TileRules& rules, const Json& expected) {
  const auto number = [&](const char* key) { return expected.at(key).get<int64_t>(); };
  const Size size{number("width"), number("height")};
  const Result<TileGeometry> plan = PlanTiles(rules, size);
  SCOPED_TRACE(expected.dump());
  if (number("resized_width") == 0 || number("resized_height") == 0) {
    ASSERT_FALSE(plan);
    EXPECT_NE(plan.error().message.find("too thin"), std::string::npos) << plan.error().message;
    return;
  }
  ASSERT_TRUE(plan) << plan.error().message;
  EXPECT_EQ(plan->grid, (Size{number("grid_width"), number("grid_height")}));
  EXPECT_EQ(plan->resized, (Size{number("resized_width"), number("resized_height")}));
  EXPECT_EQ(plan->offset_x, number("offset_x"));
  EXPECT_EQ(plan->offset_y, number("offset_y"));
  EXPECT_EQ(plan->tiles, number("tiles"));
  EXPECT_EQ(plan->feature_top, number("feature_top"));
  EXPECT_EQ(plan->feature_left, number("feature_left"));
  EXPECT_EQ(plan->feature_rows, number("feature_rows"));
  EXPECT_EQ(plan->feature_cols, number("feature_cols"));
  EXPECT_EQ(plan->tokens, number("tokens"));
}

TEST(Geometry, GoldenCases) {
  const std::string folder = testing::GoldenFolder("vl");
  const Json golden = *ReadJsonFile(folder + "/grid_cases.json");
  for (const char* model : {"real", "tiny"}) {
    const TileRules rules = testing::RulesOf(golden.at(model));
    ASSERT_TRUE(CheckTileRules(rules, model));
    for (const Json& expected : golden.at(model).at("cases")) ExpectCase(rules, expected);
  }
}

TEST(Geometry, RefusesRulesThatDoNotFitTogether) {
  const auto message = [](const TileRules& rules) {
    const Status status = CheckTileRules(rules, "rules");
    return status ? "" : status.error().message;
  };
  EXPECT_EQ(message({.tile = 56, .patch = 14, .pinpoints = {{56, 112}}}), "");
  EXPECT_EQ(message({.tile = 56, .patch = 15, .pinpoints = {{56, 112}}}),
            "rules: tiles of 56 pixels a side cannot be cut into patches of 15");
  EXPECT_EQ(message({.tile = 56, .patch = 14, .pinpoints = {{56, 100}}}),
            "rules: a grid of 56 x 100 pixels cannot be cut into tiles of 56 a side");
  EXPECT_EQ(message({.tile = 56, .patch = 14, .pinpoints = {}}),
            "rules: there is no grid to put images into");
}

}  // namespace
}  // namespace fulmen
