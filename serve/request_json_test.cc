#include "serve/request_json.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"

namespace fulmen {
namespace {

TEST(RequestJson, ReadsEveryKindOfValue) {
  const auto json = ParseRequestJson(
      R"({"s":"a\u00e9\n\ud83d\ude00\u0000z","i":-3,"u":18446744073709551615,"d":1.0,"e":1e3,)"
      R"("t":true,"f":false,"n":null,"l":[1,[],{}],"":{"a":{"b":[]}}})");
  ASSERT_TRUE(json) << json.error().message;
  EXPECT_EQ(json->at("s"), std::string("a\u00e9\n\U0001F600\0z", 10));
  EXPECT_TRUE(json->at("i").is_number_integer());
  EXPECT_EQ(json->at("u"), 18446744073709551615U);
  EXPECT_TRUE(json->at("d").is_number_float());
  EXPECT_TRUE(json->at("e").is_number_float());
  EXPECT_EQ(
      json->dump(),
      "{\"s\":\"a\u00e9\\n\U0001F600\\u0000z\",\"i\":-3,\"u\":18446744073709551615,\"d\":1.0,"
      "\"e\":1000.0,\"t\":true,\"f\":false,\"n\":null,\"l\":[1,[],{}],\"\":{\"a\":{\"b\":[]}}}");
}

TEST(RequestJson, LargeWholeNumbersBecomeDoubles) {
  const auto json = ParseRequestJson(R"({"a":18446744073709551616,"b":-9223372036854775809 })");
  ASSERT_TRUE(json) << json.error().message;
  EXPECT_EQ(json->at("a"), 18446744073709551616.0);
  EXPECT_EQ(json->at("b"), -9223372036854775809.0);
}

TEST(RequestJson, NumbersOfAnyLength) {
  RandomStream random(9);
  for (int round = 0; round < 20'000; ++round) {
    std::string number = random.Next() % 2 ? "-" : "";
    const auto digits = [&](uint64_t most) {
      for (uint64_t n = 1 + random.Next() % most; n > 0; --n) {
        number += static_cast<char>('0' + random.Next() % 10);
      }
    };
    if (random.Next() % 2 == 0) {
      number += '0';
    } else {
      number += static_cast<char>('1' + random.Next() % 9);
      digits(40);
    }
    if (random.Next() % 2 == 0) {
      number += '.';
      digits(40);
    }
    if (random.Next() % 2 == 0) {
      number += "e-";
      digits(2);
    }
    const auto json = ParseRequestJson("{\"a\":" + number + ",\"b\":1}");
    ASSERT_TRUE(json) << number << ": " << json.error().message;
    ASSERT_EQ(json->at("a").dump(), Json::parse(number).dump()) << number;
    ASSERT_EQ(json->at("b"), 1);
  }
}

TEST(RequestJson, TheLastOfEqualKeysCountsInThePlaceOfTheFirst) {
  EXPECT_EQ(ParseRequestJson(R"({"a":1,"b":2,"a":3,"c":4,"b":5})")->dump(),
            R"({"a":3,"b":5,"c":4})");
  std::string many = "{";
  for (int i = 0; i < 100; ++i) many += fmt::format("\"{}\":{},", i % 40, i);
  const auto json = ParseRequestJson(many + "\"0\":\"last\"}");
  ASSERT_TRUE(json);
  EXPECT_EQ(json->size(), 40U);
  EXPECT_EQ(json->begin().key(), "0");
  EXPECT_EQ(json->at("0"), "last");
  EXPECT_EQ(json->at("19"), 99);
  EXPECT_EQ(json->at("39"), 79);
}

TEST(RequestJson, HalfASurrogatePairBecomesAReplacementCharacter) {
  const auto json = ParseRequestJson(
      R"({"a":"x\ud83d","\uDE00":"\ud83d\ud83d\ude00\\ud83d\u0041","c":["\udc00\ud800"]})");
  ASSERT_TRUE(json) << json.error().message;
  EXPECT_EQ(json->at("a"), "x\uFFFD");
  EXPECT_EQ(json->at("\uFFFD"), "\uFFFD\U0001F600\\ud83dA");
  EXPECT_EQ(json->at("c")[0], "\uFFFD\uFFFD");
}

TEST(RequestJson, ByteOrderMarkAndSpaceAreNoMatter) {
  EXPECT_EQ(ParseRequestJson("\xEF\xBB\xBF {\"a\" : 1}\r\n")->dump(), "{\"a\":1}");
}

struct WrongCase {
  std::string body;
  std::string found;  // after "a JSON object is expected as the body, found "
};

std::vector<WrongCase> WrongCases() {
  const std::string structure =
      "a comma, a bracket, a key or a value that is missing or one too many";
  const std::string number = "a number that is none, or beyond 64-bit floating point";
  const std::string open = "an object or a list without an end";
  return {
      {"", "nothing"},
      {" \n", "nothing"},
      {"[1]", "something else at byte 0 (line 1)"},
      {"3", "something else at byte 0 (line 1)"},
      {"\"x\"", "something else at byte 0 (line 1)"},
      {"null", "something else at byte 0 (line 1)"},
      {"{\"a\":1", open + " at byte 0 (line 1)"},
      {"{\"a\":[1}", structure + " at byte 7 (line 1)"},
      {"{\"a\":1,}", structure + " at byte 7 (line 1)"},
      {"{\n\"a\" 1}", structure + " at byte 6 (line 2)"},
      {"{\"a\":1 \"b\":2}", structure + " at byte 7 (line 1)"},
      {"{a:1}", structure + " at byte 1 (line 1)"},
      {"{\"a\":1} x}", "something after the end of the object at byte 8 (line 1)"},
      {"{\"a\":1}}", "something after the end of the object at byte 7 (line 1)"},
      {"{\"a\":NaN}", structure + " at byte 5 (line 1)"},
      {"{\"a\":1e400}", number + " at byte 5 (line 1)"},
      {"{\"a\":01}", number + " at byte 5 (line 1)"},
      {"{\"a\":1.}", number + " at byte 5 (line 1)"},
      {"{\"a\":0x1}", number + " at byte 5 (line 1)"},
      {"{\"a\":\"\xff\"}", "what is no UTF-8 at byte 6 (line 1)"},
      {"{\"a\":\"\xed\xa0\x80\"}", "what is no UTF-8 at byte 6 (line 1)"},
      {"{\"a\":\"b}", "a string without an end"},
      {"{\"a\":\"\x01\"}", "a control character in a string that is not escaped"},
      {"{\"a\":\"\\q\"}", "a string with an escape that is none at byte 9 (line 1)"},
      {"{\"a\":\"\\u12G4\"}", "a string with an escape that is none at byte 13 (line 1)"},
      {"{\"a\":nul}", structure + " at byte 5 (line 1)"},
      {"{\"a\":truex}", structure + " at byte 5 (line 1)"},
      {std::string("{\"a\":1}\0", 8), open + " at byte 0 (line 1)"},
  };
}

TEST(RequestJson, ErrorsSayWhatWasFoundAndWhere) {
  for (const WrongCase& wrong : WrongCases()) {
    const auto json = ParseRequestJson(wrong.body);
    ASSERT_FALSE(json) << wrong.body;
    EXPECT_EQ(json.error().kind, ApiErrorKind::kInvalid);
    EXPECT_EQ(json.error().message, "a JSON object is expected as the body, found " + wrong.found)
        << wrong.body;
  }
}

std::string Nested(int levels) {
  std::string body = "{\"a\":";
  for (int i = 1; i < levels; ++i) body += '[';
  for (int i = 1; i < levels; ++i) body += ']';
  return body + "}";
}

TEST(RequestJson, DepthAndValuesAreBounded) {
  EXPECT_TRUE(ParseRequestJson(Nested(200)));
  const auto deep = ParseRequestJson(Nested(201));
  ASSERT_FALSE(deep);
  EXPECT_NE(deep.error().message.find("found more than 200 levels at byte"), std::string::npos)
      << deep.error().message;
  EXPECT_FALSE(ParseRequestJson(Nested(1'000'000)));
  EXPECT_FALSE(ParseRequestJson(std::string("{\"a\":").append(10'000'000, '[')));

  std::string many = "{\"a\":[";
  for (int i = 0; i < 8'000'000; ++i) many += "0,";
  many += "0]}";
  const auto large = ParseRequestJson(std::move(many));
  ASSERT_FALSE(large);
  EXPECT_NE(large.error().message.find("found more than 8000000 values"), std::string::npos);
}

double SecondsToRead(const char* what, std::string body) {
  const size_t bytes = body.size();
  const auto start = std::chrono::steady_clock::now();
  const auto json = ParseRequestJson(std::move(body));
  const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - start;
  EXPECT_TRUE(json) << json.error().message;
  std::printf("%s: %.1f MB in %.2f s\n", what, static_cast<double>(bytes) / 1e6, spent.count());
  return spent.count();
}

// Ten times what it takes on a slow machine; quadratic work takes minutes.
TEST(RequestJson, LargeBodiesTakeLinearTime) {
  constexpr size_t kBytes = 64'000'000;
  constexpr double kMost = 20;
  EXPECT_LT(SecondsToRead("text", "{\"a\":\"" + std::string(kBytes, 'x') + "\"}"), kMost);

  std::string escapes = "{\"a\":\"";
  while (escapes.size() < kBytes) escapes += "\\ud83d\\n";
  EXPECT_LT(SecondsToRead("half surrogate pairs", escapes + "\"}"), kMost);

  std::string ids = "{\"a\":[";
  for (int i = 0; i < 4'000'000; ++i) ids += fmt::format("{},", i % 200'064);
  EXPECT_LT(SecondsToRead("4 million token ids", ids + "0]}"), kMost);

  std::string fractions = "{\"a\":[";
  for (int i = 0; i < 4'000'000; ++i) fractions += fmt::format("0.{},", i);
  EXPECT_LT(SecondsToRead("4 million fractions", fractions + "0]}"), kMost);

  std::string keys = "{";
  for (int i = 0; i < 3'000'000; ++i) keys += fmt::format("\"key {}\":0,", i);
  EXPECT_LT(SecondsToRead("3 million keys", keys + "\"\":0}"), kMost);

  // A large value within many objects that grow after it.
  std::string nested;
  for (int i = 0; i < 199; ++i) nested += "{\"a\":";
  nested += "\"" + std::string(kBytes / 2, 'x') + "\"";
  for (int i = 0; i < 199; ++i) nested += R"(,"b":1,"c":2,"d":3,"e":4,"f":5})";
  EXPECT_LT(SecondsToRead("a large value deep down", nested), kMost);
}

// Damaged bodies are read or refused as the other parser does.
TEST(RequestJson, ReadsWhatTheOtherParserReads) {
  const std::string seed =
      R"({"a":[1,-2.5e3,"x\n\t\"y",true,false,null],"b":{"c":[],"d":{}},"e":"é","f":[[1],[2]]})";
  constexpr std::string_view kBytes = "{}[],:\"\\0123456789.-+eEtrufalsn \n\x80\xff";
  RandomStream random(7);
  int read = 0;
  for (int i = 0; i < 200'000; ++i) {
    std::string body = seed;
    for (uint64_t n = random.Next() % 3; n < 3; ++n) {
      const size_t at = random.Next() % body.size();
      const char byte = kBytes[random.Next() % kBytes.size()];
      switch (random.Next() % 3) {
        case 0:
          body[at] = byte;
          break;
        case 1:
          body.insert(at, 1, byte);
          break;
        default:
          body.erase(at, 1);
      }
    }
    const auto json = ParseRequestJson(body);
    const bool other = Json::accept(body) && Json::parse(body).is_object();
    ASSERT_EQ(json.has_value(), other) << body << (json ? "" : json.error().message);
    if (!json) continue;
    ++read;
    const auto strict = ParseJson(body, "body");  // refuses a key that stands twice
    if (strict) {
      ASSERT_EQ(json->dump(), strict->dump()) << body;
    }
  }
  EXPECT_GT(read, 10'000);
}

}  // namespace
}  // namespace fulmen
