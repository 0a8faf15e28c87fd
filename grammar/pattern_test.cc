#include "grammar/pattern.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "base/random.h"
#include "grammar/pattern_syntax.h"

namespace fulmen {
namespace {

using std::string_literals::operator""s;  // NOLINT(misc-unused-using-decls): it is used

struct PatternCase {
  std::string pattern;
  std::vector<std::string> matches;
  std::vector<std::string> others;
};

void CheckPatterns(const std::vector<PatternCase>& cases, PatternMatch how,
                   Spelling spelling = Spelling::kText) {
  for (const PatternCase& it : cases) {
    Terms terms;
    const Result<Term> term = ParsePattern(terms, it.pattern, spelling, how);
    ASSERT_TRUE(term.has_value()) << it.pattern << ": " << term.error().message;
    for (const std::string& text : it.matches) {
      EXPECT_TRUE(terms.Matches(*term, text)) << it.pattern << " and " << text;
    }
    for (const std::string& text : it.others) {
      EXPECT_FALSE(terms.Matches(*term, text)) << it.pattern << " and " << text;
    }
  }
}

TEST(Pattern, MatchesWholeTexts) {
  CheckPatterns(
      {{"", {""}, {"a"}},
       {"abc", {"abc"}, {"ab", "abcd", "xabc"}},
       {"a|bc|", {"a", "bc", ""}, {"abc"}},
       {"a(b|c)*d", {"ad", "abcbd"}, {"abc"}},
       {"(?:a)(?<n>b)(?P<m>c)", {"abc"}, {}},
       {"a{2}b{1,}c{0,2}", {"aab", "aabbcc"}, {"ab", "aa", "aabccc"}},
       {"a{,2}", {"", "aa"}, {"aaa"}},
       {"a{0,100000}", {"", std::string(1000, 'a')}, {"b"}},
       {"a+?b*?c??", {"a", "aabbc"}, {"b", "acc"}},
       {"(a{2,3}){2}", {"aaaa", "aaaaa", "aaaaaa"}, {"aaa", "aaaaaaa"}},
       {".", {"a", "\u00E9", "\U0001F600", "\t"}, {"\n", "\r", "\u2028", "", "ab", "\xFF"}}},
      PatternMatch::kWhole);
}

TEST(Pattern, ReadsClassesAndEscapes) {
  CheckPatterns({{"[a-c]", {"a", "c"}, {"d", "-"}},
                 {"[^a-c]", {"d", "\n", "\u20AC"}, {"a", "dd"}},
                 {"[]", {}, {"", "a"}},
                 {"[^]", {"a", "\n"}, {""}},
                 {"[\\w-.]", {"a", "-", ".", "_"}, {"/"}},
                 {"[a-\\d]", {"a", "-", "5"}, {"b"}},
                 {"[-a]|[b-]", {"-", "a", "b"}, {"c"}},
                 {"[+--]", {"+", ",", "-"}, {"."}},
                 {"[[a]", {"[", "a"}, {"]"}},
                 {"[\\]\\[\\-\\^\\b]", {"]", "[", "-", "^", "\b"}, {"b"}},
                 {"[.*+?(){}$|]", {".", "(", "|", "$"}, {"a"}},
                 {"\\d\\D\\w\\W\\s\\S", {"1a_- x", "0-A\u00A0\uFEFF\u00E9"}, {"aa_- x", "1a_-xx"}},
                 {"\\t\\n\\v\\f\\r\\0\\cJ", {"\t\n\v\f\r\0\n"s}, {}},
                 {"\\x41\\u00e9\\u{1F600}\\uD83D\\uDE00", {"A\u00E9\U0001F600\U0001F600"}, {}},
                 {"\\-\\/\\_\\@\\:\\\"\\ \\#", {"-/_@:\" #"}, {}},
                 {"]}{a{b{1,x}", {"]}{a{b{1,x}"}, {}},
                 {"\\p{Lu}\\p{L}\\p{Letter}\\P{L}\\p{gc=Nd}",
                  {"Aa\u00E9-5", "\u00C9zz\u0663\u0663"},
                  {"aaa-5"}},
                 {"[\\p{Lu}\\d]+", {"A5\u00C9"}, {"a"}},
                 {"\\uD800", {}, {"", "\uFFFD"}},
                 {"\\Aab\\Z|\\z", {"ab", ""}, {"a"}}},
                PatternMatch::kWhole);
}

TEST(Pattern, SearchesUnlessAnchored) {
  CheckPatterns({{"", {"", "any"}, {}},
                 {"b", {"b", "abc"}, {"", "ac"}},
                 {"^b", {"b", "bc"}, {"ab"}},
                 {"b$", {"b", "ab"}, {"bc", "b\n"}},
                 {"^b$", {"b"}, {"bb", "ab"}},
                 {"^a|b$", {"ax", "xb", "a", "b"}, {"xax", "bx"}},
                 {"^(a|b$)", {"ax", "b"}, {"bx"}},
                 {"(^a|^b|c)d", {"ad", "bdx", "xcdx"}, {"xad"}},
                 {"^$|^\\d+$", {"", "12"}, {"a", "1a"}},
                 {"^$|(^(?:\\S+\\s+){0,2}\\S+$)", {"", "a", "a b c"}, {" ", "a b c d"}},
                 {"a^b", {}, {"ab", "a", "b"}},
                 {"(^a)*b", {"ab", "b", "xb", "aab"}, {"", "a"}},
                 {"(^a){1,3}b", {"ab"}, {"aab", "b", "xab"}},
                 {"(a|^){2}b", {"aab", "ab", "b"}, {"xb", "xab"}},
                 {"(a|$){3}", {"aaa", "", "a", "xa", "aaab"}, {}},
                 {"b(a|$){2}", {"baa", "ba", "b", "baax"}, {"bax", "bx"}},
                 {"^^a$$", {"a"}, {"b"}},
                 {"^*a", {"a", "xa"}, {"b"}}},
                PatternMatch::kSearch);
}

TEST(Pattern, LooksAhead) {
  CheckPatterns({{"^(?!foo)", {"", "fo", "xfoo"}, {"foo", "foobar"}},
                 {"^(?!foo$)[a-z]+$", {"fo", "foobar"}, {"foo", ""}},
                 {"^(?=.*[A-Z])(?=.*\\d).{4,}$", {"Ab1c", "1Axx"}, {"Abcd", "1234", "A1"}},
                 {"^(?:(?!a)b|c(?=d)d)e", {"be", "cde"}, {"ae", "ce"}},
                 {"^a(?=b)", {"ab", "abc"}, {"a", "ac"}},
                 {"a(?!b)", {"a", "ac", "abac"}, {"ab", "b"}},
                 {"^((?!x)a)?b", {"ab", "b"}, {"xb"}},
                 {"^(?!(?!a))", {"a"}, {"b", ""}},
                 {"(?=^b)b|c", {"b", "bx", "xc"}, {"xb"}},
                 {"x?(?!^y)y", {"xy", "ay"}, {"y", "x"}},
                 {"^(?!.*--)[a-z-]+$", {"a-b", "-"}, {"a--b"}}},
                PatternMatch::kSearch);
}

TEST(Pattern, SpellsTextsOfJson) {
  CheckPatterns(
      {{"^.$", {"a", "\\\"", "\\\\", "\\t", "\\u0001"}, {"\"", "\\", "\\n", "\t", "\\u0061"}},
       {"^[^a]*$", {"\\n\\\"b"}, {"a", "\\u0061"}},
       {"^(?!\\n)", {"\\t", "n"}, {"\\n", "\n"}},
       {"\\\\", {"a\\\\b"}, {"a\\n"}},
       {"\u00E9\"", {"\u00E9\\\""}, {"\u00E9\""}}},
      PatternMatch::kSearch, Spelling::kJson);
}

TEST(Pattern, RefusesWhatItCannotEnforce) {
  Terms terms;
  const auto error = [&](const std::string& pattern) {
    const Result<Term> term = ParsePattern(terms, pattern, Spelling::kText, PatternMatch::kSearch);
    if (term) ADD_FAILURE() << pattern << " is read";
    return term ? Error{} : term.error();
  };
  for (const std::string pattern :
       {"\\bfoo", "a\\B", "(a)\\1", "\\k<a>", "(?P=a)", "(?<=a)b", "(?<!a)b", "(?i)a", "(?i:a)",
        "(?>a)", "(?:(?!a).)*", "(?=a){2}", "\\p{Script=Greek}", "\\p{Greek}"}) {
    EXPECT_EQ(error(pattern).code, ErrorCode::kUnsupported) << pattern;
  }
  for (const std::string pattern : {"(",
                                    "(a",
                                    "a)",
                                    "[a",
                                    "[a-",
                                    "[b-a]",
                                    "*a",
                                    "a**",
                                    "a{2}{3}",
                                    "{1}",
                                    "a{3,2}",
                                    "a{2147483647}",
                                    "a{1,99999999999999999999}",
                                    "\\",
                                    "\\a",
                                    "\\q",
                                    "\\00",
                                    "\\x4",
                                    "\\u12",
                                    "\\u{110000}",
                                    "\\u{}",
                                    "\\c1",
                                    "\\p",
                                    "\\p{L",
                                    "(?<n",
                                    "(?<>a)",
                                    "\xFF"}) {
    EXPECT_EQ(error(pattern).code, ErrorCode::kInvalidArgument) << pattern;
  }
  EXPECT_EQ(error("a(b").message,
            "expected a \")\" for the \"(\" of byte 2 at byte 4 of the pattern, found its end");
  EXPECT_EQ(error("a\\bc").message,
            "a word boundary (at byte 2 of the pattern) cannot be enforced");
  EXPECT_EQ(
      error("a[d-b]").message,
      "expected the end of a range after its beginning at byte 5 of the pattern, found \"b\"");
  EXPECT_EQ(error(std::string(65'537, 'a')).code, ErrorCode::kUnsupported);
  const auto nested = [](int depth) { return std::string(depth, '(') + std::string(depth, ')'); };
  EXPECT_EQ(error(nested(201)).code, ErrorCode::kUnsupported);
  EXPECT_TRUE(ParsePattern(terms, nested(200), Spelling::kText, PatternMatch::kSearch).has_value());
}

TEST(Pattern, OfGreatLengthIsRead) {
  for (const std::string piece : {"a", "a|", "{", "[b]", "^", "a?"}) {
    std::string pattern;
    while (pattern.size() + piece.size() <= 65'536) pattern += piece;
    Terms terms;
    EXPECT_TRUE(ParsePattern(terms, pattern, Spelling::kJson, PatternMatch::kSearch).has_value());
  }
}

// A random pattern as text and as what it matches: a bit for each place in the text where a match
// that begins at one place may end.
struct Oracle {
  using Ends = uint32_t;
  std::string pattern;
  std::function<Ends(std::string_view text, size_t at)> match;
  bool looks = false;
};

Oracle::Ends Bit(size_t at) { return Oracle::Ends{1} << at; }

Oracle::Ends MatchEach(const Oracle& oracle, std::string_view text, Oracle::Ends begins) {
  Oracle::Ends ends = 0;
  for (size_t at = 0; at <= text.size(); ++at) {
    if ((begins & Bit(at)) != 0) ends |= oracle.match(text, at);
  }
  return ends;
}

Oracle RandomChoice(RandomStream& random, int depth);

Oracle RandomAtom(RandomStream& random, int depth) {
  const uint64_t kind = random.Next() % (depth > 0 ? 13 : 7);
  if (kind < 5) {
    const char letter = "aabb."[kind];
    return {std::string(1, letter), [letter](std::string_view text, size_t at) {
              const bool matches = at < text.size() && (letter == '.' || text[at] == letter);
              return matches ? Bit(at + 1) : 0;
            }};
  }
  if (kind == 5) return {"^", [](std::string_view, size_t at) { return at == 0 ? Bit(at) : 0; }};
  if (kind == 6) {
    return {"$", [](std::string_view text, size_t at) { return at == text.size() ? Bit(at) : 0; }};
  }
  const Oracle inner = RandomChoice(random, depth - 1);
  if (kind < 11) return {"(?:" + inner.pattern + ")", inner.match, inner.looks};
  const bool negative = kind == 12;
  return {(negative ? "(?!" : "(?=") + inner.pattern + ")",
          [inner, negative](std::string_view text, size_t at) {
            return (inner.match(text, at) != 0) != negative ? Bit(at) : 0;
          },
          true};
}

Oracle RandomPiece(RandomStream& random, int depth) {
  Oracle atom = RandomAtom(random, depth);
  if (atom.looks || random.Next() % 3 != 0) return atom;
  const int min = static_cast<int>(random.Next() % 4);
  const bool unbounded = random.Next() % 3 == 0;
  // Texts have five characters, so that more rounds find nothing else.
  const int max = unbounded ? min + 6 : min + static_cast<int>(random.Next() % 3);
  const std::string counts =
      unbounded ? fmt::format("{{{},}}", min) : fmt::format("{{{},{}}}", min, max);
  return {atom.pattern + counts, [atom, min, max](std::string_view text, size_t at) {
            Oracle::Ends ends = 0;
            Oracle::Ends reached = Bit(at);
            for (int round = 0; round <= max; ++round) {
              if (round >= min) ends |= reached;
              reached = MatchEach(atom, text, reached);
            }
            return ends;
          }};
}

Oracle RandomSequence(RandomStream& random, int depth) {
  Oracle whole{"", [](std::string_view, size_t at) { return Bit(at); }};
  for (uint64_t left = random.Next() % 4; left > 0; --left) {
    const Oracle piece = RandomPiece(random, depth);
    whole = {whole.pattern + piece.pattern,
             [first = whole.match, piece](std::string_view text, size_t at) {
               return MatchEach(piece, text, first(text, at));
             },
             whole.looks || piece.looks};
  }
  return whole;
}

Oracle RandomChoice(RandomStream& random, int depth) {
  Oracle whole = RandomSequence(random, depth);
  while (random.Next() % 3 == 0) {
    const Oracle way = RandomSequence(random, depth);
    whole = {whole.pattern + "|" + way.pattern,
             [first = whole.match, second = way.match](std::string_view text, size_t at) {
               return first(text, at) | second(text, at);
             },
             whole.looks || way.looks};
  }
  return whole;
}

TEST(Pattern, MatchesWhatIsFoundByTrying) {
  std::vector<std::string> texts{""};
  for (size_t at = 0; texts[at].size() < 5; ++at) {
    for (const char letter : {'a', 'b'}) texts.push_back(texts[at] + letter);
  }
  RandomStream random(1);
  for (int round = 0; round < 1500; ++round) {
    const Oracle oracle = RandomChoice(random, 3);
    Terms terms;
    const auto whole = ParsePattern(terms, oracle.pattern, Spelling::kJson, PatternMatch::kWhole);
    const auto search = ParsePattern(terms, oracle.pattern, Spelling::kText, PatternMatch::kSearch);
    ASSERT_TRUE(whole && search) << oracle.pattern;
    for (const std::string& text : texts) {
      ASSERT_EQ(terms.Matches(*whole, text), (oracle.match(text, 0) & Bit(text.size())) != 0)
          << oracle.pattern << " and " << text;
      ASSERT_EQ(terms.Matches(*search, text),
                MatchEach(oracle, text, Bit(text.size() + 1) - 1) != 0)
          << oracle.pattern << " in " << text;
    }
  }
}

}  // namespace
}  // namespace fulmen
