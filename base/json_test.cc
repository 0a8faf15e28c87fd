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
  EXPECT_EQ(ProblemOf(""), "input: JSON is expected, found nothing");
  EXPECT_EQ(ProblemOf(" "), "input: not valid JSON at byte 2");
  EXPECT_EQ(ProblemOf("{\"a\": }"), "input: not valid JSON at byte 7");
  EXPECT_EQ(ProblemOf("[1] x"), "input: not valid JSON at byte 5");
  EXPECT_EQ(ProblemOf("{\"a\": 1, \"a\": 2}"),
            "input: JSON with the key \"a\" twice in one object");
  EXPECT_NE(ProblemOf("\"\xff\""), "");
  EXPECT_NE(ProblemOf("[1e999]"), "");  // a number no double holds
}

TEST(ParseJson, RefusesWhatFollowsANul) {
  using std::string_view_literals::operator""sv;
  EXPECT_EQ(ProblemOf("[1]\0"sv), "input: not valid JSON at byte 4");
  EXPECT_EQ(ProblemOf("[1]\n\0 this is no JSON"sv), "input: not valid JSON at byte 5");
  EXPECT_EQ(ProblemOf("[1,\0 2]"sv), "input: not valid JSON at byte 4");
  EXPECT_EQ(ProblemOf("[\"a\0b\"]"sv), "input: not valid JSON at byte 4");
  EXPECT_EQ(ProblemOf("[\"a\\u0000b\"] \r\n\t "), "");
}

TEST(ParseJson, NamesAFileOfAnotherKind) {
  EXPECT_EQ(ProblemOf("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 9\n"),
            "input: JSON is expected, found a Git LFS pointer (git lfs pull fetches the file it "
            "stands for)");
  EXPECT_EQ(ProblemOf("\xFF\xFE{"), "input: JSON is expected, found text in UTF-16");
  EXPECT_EQ(ProblemOf("\xEF\xBB\xBF[1]"), "");  // a byte order mark of UTF-8 is passed over
}

TEST(Json, ShownIsShortAndPrintable) {
  EXPECT_EQ(Shown(1.5), "1.5");
  EXPECT_EQ(Shown(nullptr), "null");
  EXPECT_EQ(Shown({{"a", {1, "\x1b\xff"}}}), "{\"a\":[1,\"\\u001b\uFFFD\"]}");
  EXPECT_EQ(Shown(std::string(100, 'x')).size(), 65U);
}

TEST(Json, IntegersAreWholeAndInRange) {
  EXPECT_EQ(IntegerIn(7, 0, 7), 7);
  EXPECT_EQ(IntegerIn(7U, 7, 9), 7);
  EXPECT_EQ(IntegerIn(8, 0, 7), std::nullopt);
  EXPECT_EQ(IntegerIn(-1, 0, 7), std::nullopt);
  EXPECT_EQ(IntegerIn(3.0, 0, 7), std::nullopt);
  EXPECT_EQ(IntegerIn(true, 0, 7), std::nullopt);
  EXPECT_EQ(IntegerIn("3", 0, 7), std::nullopt);
  EXPECT_EQ(IntegerIn(18446744073709551615U, INT64_MIN, INT64_MAX), std::nullopt);
  EXPECT_EQ(IntegerIn(ParseJson("-0", "x").value(), 0, 7), 0);
}

TEST(Json, MembersOfTheRightType) {
  const Json json = {{"s", "text"}, {"b", true}, {"n", 1.5}};
  EXPECT_EQ(Member(json, "s"), "text");
  EXPECT_TRUE(Member(json, "none").is_null());
  EXPECT_TRUE(Member(Json::array(), "s").is_null());
  EXPECT_EQ(StringMember(json, "s", "x").value(), "text");
  EXPECT_EQ(StringMember(json, "n", "x").error().message, "x: 'n' should be a string, found 1.5");
  EXPECT_TRUE(BoolMember(json, "b", false, "x").value());
  EXPECT_TRUE(BoolMember(json, "none", true, "x").value());
  EXPECT_EQ(BoolMember(json, "n", true, "x").error().message,
            "x: 'n' should be true or false, found 1.5");
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
