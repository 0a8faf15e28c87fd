#include "base/nearest_name.h"

#include <gtest/gtest.h>

#include <vector>

namespace fulmen {
namespace {

TEST(NearestName, HasTheFewestLettersWrong) {
  const std::vector<std::string_view> known = {"run", "inspect", "eval", "train"};
  EXPECT_EQ(NearestName("inspct", known), "inspect");
  EXPECT_EQ(NearestName("rnu", known), "run");
  EXPECT_EQ(NearestName("trian", known), "train");
  EXPECT_EQ(NearestName("evaluate", known), "eval");
  EXPECT_EQ(NearestName("i", known), "inspect");
}

TEST(NearestName, MayBeMeantWhereItIsCloseOrBegun) {
  EXPECT_TRUE(MayMean("inspct", "inspect"));
  EXPECT_TRUE(MayMean("tok", "tokenize"));
  EXPECT_TRUE(MayMean("--sed", "--seed"));
  EXPECT_FALSE(MayMean("fly", "eval"));
  EXPECT_FALSE(MayMean("", "eval"));
}

}  // namespace
}  // namespace fulmen
