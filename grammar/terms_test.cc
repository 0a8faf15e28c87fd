#include "grammar/terms.h"

#include <gtest/gtest.h>

#include "grammar/characters.h"

namespace fulmen {
namespace {

TEST(Terms, MatchWhatTheyAreBuiltOf) {
  Terms terms;
  const Term a = terms.Literal("a");
  const Term ab = terms.Literal("ab");
  EXPECT_TRUE(terms.Matches(terms.Union(a, ab), "ab"));
  EXPECT_FALSE(terms.Matches(terms.Union(a, ab), "b"));
  EXPECT_TRUE(terms.Matches(terms.Star(ab), "ababab"));
  EXPECT_FALSE(terms.Matches(terms.Star(ab), "aba"));
  EXPECT_TRUE(terms.Matches(terms.Repeat(a, 2, 500'000), std::string(3, 'a')));
  EXPECT_FALSE(terms.Matches(terms.Repeat(a, 2, 3), "aaaa"));
  EXPECT_TRUE(terms.Matches(terms.Without(terms.Star(a), terms.Literal("aa")), "aaa"));
  EXPECT_FALSE(terms.Matches(terms.Without(terms.Star(a), terms.Literal("aa")), "aa"));
}

TEST(Terms, EqualOnesAreOne) {
  Terms terms;
  const Term a = terms.Literal("a");
  const Term b = terms.Literal("b");
  const Term ab = terms.Literal("ab");
  EXPECT_EQ(terms.Union(a, ab), terms.Union(ab, a));
  EXPECT_EQ(terms.Union(a, b), terms.Bytes(ByteSet::Range('a', 'b')));
  EXPECT_EQ(terms.Concat(terms.Concat(a, b), a), terms.Concat(a, terms.Concat(b, a)));
  EXPECT_EQ(terms.Intersect(a, terms.Not(a)), Terms::kNothing);
  EXPECT_EQ(terms.Union(ab, terms.Not(ab)), Terms::kEverything);
  EXPECT_EQ(terms.Star(terms.Star(a)), terms.Star(a));
}

TEST(Terms, KnowWhetherAnyStringIsInThem) {
  Terms terms;
  const Term abs = terms.Star(terms.Literal("ab"));
  const Term odd = terms.Repeat(terms.Bytes(ByteSet::All()), 3, 3);
  EXPECT_FALSE(terms.Live(terms.Intersect(abs, odd)));
  const Term even = terms.Repeat(terms.Bytes(ByteSet::All()), 400, 400);
  EXPECT_TRUE(terms.Live(terms.Intersect(abs, even)));
  EXPECT_EQ(terms.Shortest(terms.Intersect(abs, even), 1'000).value_or("").size(), 400U);
  EXPECT_FALSE(terms.exhausted());
}

TEST(Terms, DivideDigits) {
  Terms terms;
  const Term sevens = terms.Multiple(7, 0);
  const Term hundredths = terms.Multiple(25, 2);
  for (int value = 0; value < 500; ++value) {
    EXPECT_EQ(terms.Matches(sevens, std::to_string(value)), value % 7 == 0) << value;
  }
  for (const auto& [text, is_multiple] :
       std::vector<std::pair<std::string, bool>>{{"1", true},
                                                 {"1.2", false},
                                                 {"1.25", true},
                                                 {"1.250", true},
                                                 {"1.251", false},
                                                 {"0.5", true},
                                                 {"3.50000", true},
                                                 {"3.", true},
                                                 {"3..", false}}) {
    EXPECT_EQ(terms.Matches(hundredths, text), is_multiple) << text;
  }
}

TEST(Characters, AreSpelledOnce) {
  Terms terms;
  const Term any = terms.Star(Character(terms, CodePoints::All(), Spelling::kJson));
  for (const std::string text :
       {"plain", "\xC3\xA9", "\xF0\x9F\x98\x80", "\\n", "\\u001f", "\\\\"}) {
    EXPECT_TRUE(terms.Matches(any, text)) << text;
  }
  for (const std::string text : {"\n", "\"", "\\u0061", "\\u001F", "\\/", "\xED\xA0\x80",
                                 "\xC0\x80", "\xF4\x90\x80\x80", "\xC3"}) {
    EXPECT_FALSE(terms.Matches(any, text)) << text;
  }
  const Term free = terms.Star(AnyJsonCharacter(terms));
  for (const std::string text : {"\\u0061", "\\u001F", "\\/", "\\ud83d\\uDE00"}) {
    EXPECT_TRUE(terms.Matches(free, text)) << text;
  }
  EXPECT_FALSE(terms.Matches(free, "\\ud83d"));
  EXPECT_FALSE(terms.Matches(free, "\\ude00"));
  const Term pair = terms.Repeat(AnyJsonCharacter(terms), 1, 1);
  EXPECT_TRUE(terms.Matches(pair, "\\ud83d\\uDE00"));
}

}  // namespace
}  // namespace fulmen
