// The scanner against Oniguruma running the same pattern.
#include "tokenizer/published_split.h"

#include <gtest/gtest.h>

#include <random>

#include "base/utf8.h"
#include "tokenizer/regex.h"

namespace fulmen {
namespace {

using Pieces = std::vector<std::string>;

Pieces Scan(std::string_view text) {
  const PublishedSplit split;
  Pieces pieces;
  const char* end = text.data() + text.size();
  for (const char* p = text.data(); p != end;) {
    const char* piece_end = split.PieceEnd(p, end);
    EXPECT_GT(piece_end, p);
    pieces.emplace_back(p, piece_end);
    p = piece_end;
  }
  return pieces;
}

Regex MustCompile(const std::string& pattern) {
  auto regex = Regex::Compile(pattern, "test");
  EXPECT_TRUE(regex.has_value());
  return *std::move(regex);
}

Pieces Match(const Regex& regex, std::string_view text) {
  Pieces pieces;
  EXPECT_TRUE(regex.ForEachMatch(text, [&](size_t begin, size_t end) {
    pieces.emplace_back(text.substr(begin, end - begin));
  }));
  return pieces;
}

// Code points that Oniguruma's older tables put into the same class as ours, by class.
std::vector<std::vector<uint32_t>> AgreedCodePoints() {
  const std::pair<CharClass, const char*> classes[] = {
      {CharClass::kOther, R"([^\s\p{L}\p{N}\p{M}])"},
      {CharClass::kUpper, R"([\p{Lu}\p{Lt}])"},
      {CharClass::kLower, R"(\p{Ll})"},
      {CharClass::kLetter, R"([\p{Lm}\p{Lo}])"},
      {CharClass::kMark, R"(\p{M})"},
      {CharClass::kNumber, R"(\p{N})"},
      {CharClass::kSpace, R"([\s&&[^\r\n]])"},
      {CharClass::kNewline, R"([\r\n])"},
  };
  std::vector<std::vector<uint32_t>> agreed;
  for (const auto& [char_class, pattern] : classes) {
    const Regex regex = MustCompile(pattern);
    std::vector<uint32_t>& list = agreed.emplace_back();
    std::string text;
    for (uint32_t code = 0; code < 0x110000; ++code) {
      const bool surrogate = code >= 0xD800 && code < 0xE000;
      if (UnicodeClasses()[code] == char_class && !surrogate) AppendUtf8(code, text);
    }
    for (const std::string& found : Match(regex, text)) {
      list.push_back(DecodeUtf8(found.data(), found.data() + found.size()).code);
    }
    EXPECT_FALSE(list.empty()) << pattern;
  }
  return agreed;
}

TEST(PublishedSplit, LikeOnigurumaOnRandomText) {
  const auto agreed = AgreedCodePoints();
  const Regex regex = MustCompile(std::string(kPublishedSplitPattern));
  const std::string_view favourites[] = {"'",         "'s", "'T", "'re", "'LL", "'vE",
                                         "'\xC5\xBF", "'d", "'m", " ",   "  ",  "/",
                                         "\r\n",      "\n", "A",  "a",   "1",   "!"};
  std::mt19937 random(7);
  for (int round = 0; round < 20000; ++round) {
    std::string text;
    const auto length = random() % 24;
    const bool ascii = random() % 4 == 0;
    for (size_t i = 0; i < length; ++i) {
      if (ascii) {
        text += static_cast<char>(random() % 128);
      } else if (random() % 3 == 0) {
        text += favourites[random() % std::size(favourites)];
      } else {
        const auto& list = agreed[random() % agreed.size()];
        AppendUtf8(list[random() % list.size()], text);
      }
    }
    ASSERT_EQ(Scan(text), Match(regex, text)) << ::testing::PrintToString(text);
  }
}

TEST(PublishedSplit, LikeOnigurumaOnInvalidUtf8) {
  const Regex regex = MustCompile(std::string(kPublishedSplitPattern));
  const std::string_view parts[] = {"\xFF",     "\x80", "\xE4\xBD", "\xE4\xBD\xA0", "a",
                                    "B",        " ",    "\n",       "\xF0\x9F",     "\xED\xA0\x80",
                                    "\xC0\xAF", "'s",   "7",        "\xCC\x81"};
  std::mt19937 random(8);
  for (int round = 0; round < 5000; ++round) {
    std::string text;
    const auto length = random() % 12;
    for (size_t i = 0; i < length; ++i) text += parts[random() % std::size(parts)];
    ASSERT_EQ(Scan(text), Match(regex, text)) << ::testing::PrintToString(text);
  }
}

// However a text goes on, the pieces that were settled are its first ones.
TEST(PublishedSplit, WhatIsSettledStaysAsItIs) {
  const std::string_view parts[] = {
      "'",  "'s", "'l", "'re", "\xC5\xBF", "\xC5", "\xBF", " ", "  ",     "\n",     "/",       "A",
      "aB", "b",  "1",  "{\"", "\":\"",    "\xC3", "!",    ".", "\u4F60", "\u0301", "\xE4\xBD"};
  const PublishedSplit split;
  std::mt19937 random(9);
  int64_t settled_pieces = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string text;
    std::vector<size_t> ends{0};  // of the text without its last parts
    for (auto i = 1 + random() % 10; i > 0; --i) {
      text += parts[random() % std::size(parts)];
      ends.push_back(text.size());
    }
    const Pieces whole = Scan(text);
    const size_t cut = ends[random() % ends.size()];
    const char* const end = text.data() + cut;
    const char* p = text.data();
    for (size_t i = 0; p != end; ++i) {
      const char* piece_end = split.PieceEnd(p, end);
      if (!split.IsSettled(piece_end, end)) break;
      ASSERT_EQ(std::string(p, piece_end), whole.at(i))
          << ::testing::PrintToString(text) << " up to " << cut;
      p = piece_end;
      ++settled_pieces;
    }
  }
  EXPECT_GT(settled_pieces, 10000);
  const auto settled = [&split](std::string_view text, size_t piece) {
    return split.IsSettled(text.data() + piece, text.data() + text.size());
  };
  EXPECT_TRUE(settled(R"({"name":)", 2));
  EXPECT_TRUE(settled(R"({"name":)", 6));
  EXPECT_FALSE(settled("name'r", 4));
  EXPECT_FALSE(settled("name\xC3", 4));
}

// Where the engine has to give characters back.
TEST(PublishedSplit, Backtracking) {
  EXPECT_EQ(Scan("ABCd EFG"), (Pieces{"ABCd", " EFG"}));
  EXPECT_EQ(Scan("A\u4F60BC"), (Pieces{"A\u4F60", "BC"}));  // U gives back to W
  EXPECT_EQ(Scan("\u0301AB"), (Pieces{"\u0301", "AB"}));    // a mark before capitals
  EXPECT_EQ(Scan("\u0301's"), (Pieces{"\u0301's"}));
  EXPECT_EQ(Scan("!\u0301x"), (Pieces{"!\u0301x"}));
  EXPECT_EQ(Scan("x  y"), (Pieces{"x", " ", " y"}));
  EXPECT_EQ(Scan("x \n  "), (Pieces{"x", " \n", "  "}));
  EXPECT_EQ(Scan("12345"), (Pieces{"123", "45"}));
  EXPECT_EQ(Scan("don'tx"), (Pieces{"don't", "x"}));
  EXPECT_EQ(Scan("a'\u017Fb"), (Pieces{"a'\u017F", "b"}));
  EXPECT_EQ(Scan("//\r\n/x"), (Pieces{"//\r\n/", "x"}));
}

TEST(Regex, EmptyMatchesAndErrors) {
  EXPECT_EQ(Match(MustCompile("x*"), "axb"), (Pieces{"", "x", ""}));
  EXPECT_FALSE(Regex::Compile("(", "here").has_value());
  EXPECT_EQ(Regex::Compile("(", "here").error().message.substr(0, 20), "here: split pattern:");
}

}  // namespace
}  // namespace fulmen
