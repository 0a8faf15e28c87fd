#include "engine/json_scanner.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace fulmen {
namespace {

using Step = JsonScanner::Step;

// Whether the text is one value and whitespace, as the scanner sees it.
bool Accepts(const std::string& text) {
  JsonScanner scanner;
  bool whole = false;
  for (const char byte : text + "\n") {  // a number needs a byte after it
    if (whole && !IsJsonSpace(byte)) return false;
    if (whole) continue;
    const Step step = scanner.Add(byte);
    if (step == Step::kBad) return false;
    if (step == Step::kAfter && !IsJsonSpace(byte)) return false;
    whole = step != Step::kMore;
  }
  return whole;
}

// As another parser sees it, but for what only the scanner refuses: depth and the largest numbers,
// which are looked for while parsing, since of two values of one key the first is gone afterwards.
bool ParserAccepts(const std::string& text) {
  // The other parser takes a NUL for the end and skips a byte order mark.
  if (text.find('\0') != std::string::npos || text.rfind("\xEF\xBB\xBF", 0) == 0) return false;
  using Event = nlohmann::json::parse_event_t;
  bool within = true;
  const auto look = [&](int depth, Event event, const nlohmann::json& value) {
    if (event == Event::object_start || event == Event::array_start) {
      within = within && static_cast<size_t>(depth) < JsonScanner::kMaxDepth;
    } else if (event == Event::value && value.is_number_float()) {
      within = within && std::abs(value.get<double>()) < 1e308;
    }
    return true;
  };
  return !nlohmann::json::parse(text, look, false).is_discarded() && within;
}

TEST(JsonScanner, RefusesANumberTooLargeThatAnotherValueReplaces) {
  EXPECT_FALSE(Accepts(R"({"a":[1e308],"a":1})"));
  EXPECT_FALSE(ParserAccepts(R"({"a":[1e308],"a":1})"));
  EXPECT_TRUE(Accepts(R"({"a":[1e307],"a":1e-400})"));
}

class RandomJson {
 public:
  explicit RandomJson(uint64_t seed) : random_(seed) {}

  uint64_t Below(uint64_t bound) { return random_() % bound; }
  template <size_t kCount>
  std::string_view OneOf(const std::array<std::string_view, kCount>& choices) {
    return choices[Below(kCount)];
  }

  std::string Value(int depth) {
    static constexpr std::array<std::string_view, 16> kScalars = {
        "true", "false", "null", "0", "-0",    "12",     "-3.25",  "1e5",
        "2E-7", "0.001", "1e+9", "7", "1e307", "0e9999", "1e-400", "123456789012345678901"};
    const uint64_t kind = Below(depth > 0 ? 6 : 3);
    if (kind < 2) return std::string(OneOf(kScalars));
    if (kind == 2) return String();
    const bool object = kind > 3;
    std::string text = object ? "{" : "[";
    const uint64_t count = Below(4);
    for (uint64_t i = 0; i < count; ++i) {
      if (i > 0) text += "," + Space();
      if (object) text += String() + Space() + ":" + Space();
      text += Value(depth - 1) + Space();
    }
    return text + (object ? "}" : "]");
  }

  // One byte or fragment replaced, put in or taken out.
  void Mutate(std::string& text) {
    static constexpr std::array<std::string_view, 40> kFragments = {"{",
                                                                    "}",
                                                                    "[",
                                                                    "]",
                                                                    "\"",
                                                                    ":",
                                                                    ",",
                                                                    "\\",
                                                                    "u",
                                                                    "d83d",
                                                                    "\\ud8",
                                                                    "\\udc0",
                                                                    "0",
                                                                    "00",
                                                                    ".",
                                                                    "e",
                                                                    "-",
                                                                    "+",
                                                                    "1e308",
                                                                    "1e400",
                                                                    "true",
                                                                    "nul",
                                                                    "\n",
                                                                    "\t",
                                                                    "\x01",
                                                                    "\x7F",
                                                                    "\x80",
                                                                    "\xC3",
                                                                    "\xC3\xA9",
                                                                    "\xE0\x80",
                                                                    "\xED\xA0\x80",
                                                                    "\xF4\x90",
                                                                    "\xF0\x9F\x98\x80",
                                                                    "a",
                                                                    "/",
                                                                    "*",
                                                                    "'",
                                                                    "NaN",
                                                                    "\\x",
                                                                    "\xFF"};
    const size_t at = Below(text.size() + 1);
    const size_t length = Below(3) == 0 ? Below(std::min<size_t>(4, text.size() - at + 1)) : 0;
    text.replace(at, length, Below(4) == 0 ? std::string_view() : OneOf(kFragments));
  }

 private:
  std::string Space() {
    static constexpr std::array<std::string_view, 6> kSpaces = {"", "", "", " ", "\n", "\t\r "};
    return std::string(OneOf(kSpaces));
  }
  std::string String() {
    static constexpr std::array<std::string_view, 12> kParts = {
        "a",        "key",          "\\n\\b",           "\\\"", "\\\\", "\\u00e9", "\\uD83D\\uDE00",
        "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80", " ",    "}"};
    std::string text = "\"";
    for (uint64_t left = Below(4); left > 0; --left) text += OneOf(kParts);
    return text + "\"";
  }

  std::mt19937_64 random_;
};

TEST(JsonScanner, AgreesWithAParserOnRandomText) {
  RandomJson random(1);
  int accepted = 0;
  constexpr int kRounds = 100'000;
  for (int round = 0; round < kRounds; ++round) {
    std::string text = random.Value(4);
    ASSERT_TRUE(Accepts(text)) << text;
    for (uint64_t left = random.Below(4); left > 0; --left) random.Mutate(text);
    const bool expected = ParserAccepts(text);
    ASSERT_EQ(Accepts(text), expected) << text;
    accepted += expected ? 1 : 0;
  }
  EXPECT_GT(accepted, kRounds / 4);
  EXPECT_LT(accepted, kRounds * 3 / 4);
}

// Ends what is open, by whatever byte the scanner takes.
bool CanBeCompleted(JsonScanner scanner) {
  constexpr std::string_view kEnders = "\"}]:0\\udcrlaes\x80\x90\xA0";
  for (int step = 0; step < 2000; ++step) {
    Step taken = Step::kBad;
    for (const char byte : kEnders) {
      JsonScanner next = scanner;
      taken = next.Add(byte);
      if (taken == Step::kBad) continue;
      scanner = next;
      break;
    }
    if (taken != Step::kMore) return taken == Step::kDone;
  }
  return false;
}

TEST(JsonScanner, WhatItTakesCanAlwaysBeCompleted) {
  RandomJson random(2);
  int broken = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string text = "[" + random.Value(3) + "]";
    for (uint64_t left = 1 + random.Below(2); left > 0; --left) random.Mutate(text);
    JsonScanner scanner;
    for (const char byte : text) {
      JsonScanner next = scanner;
      const Step step = next.Add(byte);
      if (step == Step::kBad && text[0] == '[') {
        ASSERT_TRUE(CanBeCompleted(scanner)) << text;
        ++broken;
      }
      if (step != Step::kMore) break;
      scanner = next;
    }
  }
  EXPECT_GT(broken, 5000);
}

TEST(JsonScanner, TellsWhereAValueEnds) {
  const auto end = [](const std::string& text) {
    JsonScanner scanner;
    size_t at = 0;
    Step step = Step::kMore;
    while (at < text.size() && (step = scanner.Add(text[at])) == Step::kMore) ++at;
    return std::pair(at, step);
  };
  EXPECT_EQ(end("{\"a\": [1, 2]} x"), std::pair(size_t{12}, Step::kDone));
  EXPECT_EQ(end("\"}\\\"\" x"), std::pair(size_t{4}, Step::kDone));
  EXPECT_EQ(end(" true,"), std::pair(size_t{4}, Step::kDone));
  EXPECT_EQ(end("12,"), std::pair(size_t{2}, Step::kAfter));
  EXPECT_EQ(end("12x"), std::pair(size_t{2}, Step::kAfter));
  EXPECT_EQ(end("012"), std::pair(size_t{1}, Step::kAfter));
  EXPECT_EQ(end("1.,"), std::pair(size_t{2}, Step::kBad));
  EXPECT_EQ(end("1e308,"), std::pair(size_t{4}, Step::kBad));
  EXPECT_EQ(end("\"\\ud83dx"), std::pair(size_t{7}, Step::kBad));

  JsonScanner over;
  EXPECT_EQ(over.Add('['), Step::kMore);
  EXPECT_EQ(over.Add(']'), Step::kDone);
  EXPECT_EQ(over.Add(' '), Step::kBad);
}

TEST(JsonScanner, HasALimitOfDepth) {
  const auto nested = [](size_t depth) {
    return std::string(depth, '[') + std::string(depth, ']');
  };
  EXPECT_TRUE(Accepts(nested(JsonScanner::kMaxDepth)));
  EXPECT_FALSE(Accepts(nested(JsonScanner::kMaxDepth + 1)));
  std::string wide = "[";
  for (size_t i = 0; i < JsonScanner::kMaxDepth; ++i) wide += "[],";
  EXPECT_TRUE(Accepts(wide + "{}]"));
}

TEST(JsonScanner, KnowsTheSizeOfNumbers) {
  const std::string zeros(400, '0');
  for (const std::string& text : std::vector<std::string>{
           "1e307", "-9e307", "0e999", "0." + zeros + "1e700", "1" + zeros + "e-100",
           "1e-99999999999", "0.0e99999999999999999999"}) {
    EXPECT_TRUE(Accepts(text)) << text;
  }
  for (const std::string& text : std::vector<std::string>{
           "1e308", std::string("-1e999"), "1" + zeros, "0." + zeros + "1e709", "[0.01e310]"}) {
    EXPECT_FALSE(Accepts(text)) << text;
  }
}

TEST(JsonStringDecoder, AgreesWithAParser) {
  RandomJson random(3);
  int strings = 0;
  for (int round = 0; round < 50'000; ++round) {
    std::string text = random.Value(0);
    if (text[0] != '"') continue;
    if (random.Below(2) == 0) random.Mutate(text);
    if (text[0] != '"' || !ParserAccepts(text)) continue;
    const nlohmann::json value = nlohmann::json::parse(text);
    std::string decoded;
    JsonStringDecoder decoder;
    const size_t last = text.rfind('"');
    for (size_t i = 1; i < last; ++i) decoder.Add(text[i], decoded);
    ASSERT_EQ(decoded, value.get<std::string>()) << text;
    ++strings;
  }
  EXPECT_GT(strings, 10'000);
}

}  // namespace
}  // namespace fulmen
