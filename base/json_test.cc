#include "base/json.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>

#include "base/file_io.h"
#include "tests/testing/golden.h"

namespace fulmen {
namespace {

std::string ProblemOf(std::string_view text) {
  const Result<Json> json = ParseJson(text, "input");
  return json ? "" : json.error().message;
}

TEST(ParseJson, BuildsEveryKindInOrder) {
  const Json json =
      ParseJson(
          R"({"z": [1, -2, 2.5, true, null, "\u00e9", {}], "a": {"y": [], "x": {"k": 18446744073709551615}}})",
          "input")
          .value();
  EXPECT_EQ(json.dump(),
            "{\"z\":[1,-2,2.5,true,null,\"\u00e9\",{}],"
            "\"a\":{\"y\":[],\"x\":{\"k\":18446744073709551615}}}");
  EXPECT_TRUE(json["z"][0].is_number_unsigned());
  EXPECT_EQ(ParseJson("7", "input").value(), 7);
}

TEST(ParseJson, RefusesInOneSentence) {
  EXPECT_EQ(ProblemOf(""), "input: not valid JSON at byte 1");
  EXPECT_EQ(ProblemOf("{\"a\": }"), "input: not valid JSON at byte 7");
  EXPECT_EQ(ProblemOf("[1] x"), "input: not valid JSON at byte 5");
  EXPECT_EQ(ProblemOf("{\"a\": 1, \"a\": 2}"),
            "input: JSON with the key \"a\" twice in one object");
  EXPECT_NE(ProblemOf("\"\xff\""), "");
  EXPECT_NE(ProblemOf("[1e999]"), "");  // a number no double holds
}

TEST(ParseJson, BoundsNesting) {
  EXPECT_EQ(ProblemOf(std::string(200, '[') + std::string(200, ']')), "");
  EXPECT_EQ(ProblemOf(std::string(201, '[') + std::string(201, ']')),
            "input: JSON nested deeper than 200 levels");
  EXPECT_EQ(ProblemOf(std::string(5'000'000, '[')), "input: JSON nested deeper than 200 levels");
}

TEST(ParseJson, LargeObjectsInLinearTime) {
  std::string text = "{";
  for (int i = 0; i < 300'000; ++i) text += fmt::format("{}\"key{}\":{}", i == 0 ? "" : ",", i, i);
  text += "}";
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(ParseJson(text, "input").value().size(), 300'000U);
  // Looking every key up among the others takes minutes.
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
}

TEST(ReadJsonFile, NamesTheFile) {
  const testing::TemporaryFolder folder;
  ASSERT_TRUE(WriteFileAtomically(folder / "a.json", "[1, 2]"));
  EXPECT_EQ(ReadJsonFile(folder / "a.json").value(), Json({1, 2}));
  ASSERT_TRUE(WriteFileAtomically(folder / "a.json", "[1, "));
  EXPECT_EQ(ReadJsonFile(folder / "a.json").error().message,
            (folder / "a.json") + ": not valid JSON at byte 5");
}

}  // namespace
}  // namespace fulmen
