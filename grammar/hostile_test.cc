// Schemas, patterns and grammars that are made to take too much: each is refused, or else compiled
// and answered within bounds, and never leads where no token may come.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <ctime>

#include "base/random.h"
#include "grammar/gbnf.h"
#include "grammar/json_schema.h"
#include "grammar/matcher.h"
#include "grammar/pattern.h"
#include "grammar/testing/small_vocabulary.h"
#include "tests/testing/golden.h"

namespace fulmen {
namespace {

using testing::SmallVocabulary;

// Of the processor; a hundred times what is meant, as sanitizers and slow machines take their time,
// and what this is to find takes minutes.
constexpr double kMostSeconds = 60;

enum class Language { kPattern, kSchema, kGbnf };

struct Hostile {
  const char* name;
  Language language;
  std::string text;
};

std::string Times(int count, std::string_view text) {
  std::string all;
  for (int at = 0; at < count; ++at) all += text;
  return all;
}

std::string Nested(int depth, std::string_view before, std::string_view inside,
                   std::string_view after) {
  return Times(depth, before) + std::string(inside) + Times(depth, after);
}

// `text` for each number from 0 on, in place of <>; the number that follows it, which is `last` at
// most, is in place of <+>.
std::string Each(int count, std::string_view text, int last = 1 << 30,
                 std::string_view between = ",") {
  std::string all;
  for (int at = 0; at < count; ++at) {
    if (at > 0) all += between;
    std::string_view left = text;
    for (size_t mark = left.find('<'); mark != std::string_view::npos; mark = left.find('<')) {
      all += left.substr(0, mark);
      all += std::to_string(left[mark + 1] == '+' ? std::min(at + 1, last) : at);
      left.remove_prefix(left.find('>') + 1);
    }
    all += left;
  }
  return all;
}

std::string Lines(int count, std::string_view text) { return Each(count, text, 1 << 30, "\n"); }

// Definitions, each of which speaks of the next one, and a reference to the first.
std::string Chain(int count, std::string_view text, const std::string& last = "") {
  return R"({"$ref":"#/$defs/d0","$defs":{)" + Each(count, text, last.empty() ? count - 1 : count) +
         last + "}}";
}

std::string Object(int count, const std::string& value, const std::string& more) {
  return R"({"type":"object","properties":{)" + Each(count, R"("p<>":)" + value) + "}" + more + "}";
}

std::vector<Hostile> Patterns() {
  const std::vector<std::pair<const char*, std::string>> texts{
      {"OptionalLetters", "^" + Times(10'000, "a?") + "$"},
      {"OptionalLettersAround", Times(15'000, "a?") + "b" + Times(15'000, "a?")},
      {"OptionalGroups", "^" + Times(5'000, "(a?b?)*") + "$"},
      {"NestedStars", "^" + Nested(199, "(b?", "a", ")*") + "$"},
      {"NestedCounts", "^" + Nested(20, "(", "a{0,1000}", "){0,1000}") + "$"},
      {"NestedLeastCounts", "^" + Nested(190, "(a?", "a", "){2,1000}") + "$"},
      {"LongLiteral", Times(65'000, "a")},
      {"LongLetters", Times(9'000, "\\p{L}")},
      {"ManyStars", Times(10'000, ".*a")},
      {"LookAheads", "^" + Times(50, "(?!.*a.*b)(?!.{3,70}c)") + "[a-f]{100}$"},
      {"NestedLookAheads", Nested(100, "(?!a?", "b", ".*)")},
      {"NestedEdges", Nested(100, "((^|b?)", "a", "(c?|$)){1,3}")},
      {"LookAheadBehindMuch", Times(60'000, "a") + "(?=b)c?b?"}};
  std::vector<Hostile> all;
  for (const auto& [name, text] : texts) all.push_back({name, Language::kPattern, text});
  return all;
}

std::vector<Hostile> Schemas() {
  const std::vector<std::pair<const char*, std::string>> texts{
      {"LongPatternMatch", R"({"type":"string","pattern":"^(ab?)*$","minLength":1000000})"},
      {"Enum", R"({"enum":[)" + Each(100'000, R"("v<>")") + "]}"},
      {"EnumOfObjects", R"({"enum":[)" + Each(10'000, R"({"a":<>})") + "]}"},
      {"NoneOfNumbers", R"({"not":{"enum":[)" + Each(20'000, "<>") + "]}}"},
      {"NoneOfObjects", R"({"not":{"enum":[)" + Each(1'000, R"({"a":<>})") + "]}}"},
      {"LongString", R"({"const":")" + Times(1 << 20, "a") + R"("})"},
      {"Required", Object(20'000, "{}", R"(,"required":[)" + Each(20'000, R"("p<>")") + "]")},
      {"Optional", Object(20'000, "{}", "")},
      {"FewProperties", Object(1'000, "{}", R"(,"maxProperties":10)")},
      {"OneProperty", Object(19'000, "{}", R"(,"maxProperties":1)")},
      {"SomeProperties", Object(140, "{}", R"(,"minProperties":9,"additionalProperties":false)")},
      {"NotClosed",
       Object(300, "{}",
              R"(,"additionalProperties":false,"not":{"type":"object","properties":{)" +
                  Each(300, R"("q<>":{})") + R"(},"additionalProperties":false})")},
      {"NotClosedMany", R"({"allOf":[)" +
                            Each(3'000, R"({"not":{"type":"object","additionalProperties":false,
                                            "properties":{"k<>":{}}}})") +
                            R"(],"additionalProperties":false,"properties":{"a":{},"b":{}}})"},
      {"LeftOutMany", Object(20'000, R"({"multipleOf":-1})", "")},
      {"Chain", Chain(10'000, R"("d<>":{"$ref":"#/$defs/d<+>"})", R"(,"d10000":{})")},
      {"ChainOfAnyOf", Chain(10'000, R"("d<>":{"anyOf":[{"$ref":"#/$defs/d<+>"},false]})")},
      {"ChainOfNot", Chain(10'000, R"("d<>":{"not":{"$ref":"#/$defs/d<+>"}})")},
      {"ChainOfItems", Chain(10'000, R"("d<>":{"items":{"$ref":"#/$defs/d<+>"}})")},
      {"ChainOfLongArrays", Chain(60,
                                  R"("d<>":{"type":"array","minItems":1000000,"maxItems":1000000,
                                     "items":{"$ref":"#/$defs/d<+>"}})",
                                  R"(,"d60":{"type":"null"})")},
      {"ChainOfOneOf", Chain(2'000, R"("d<>":{"type":"object","properties":{"a":{"oneOf":[
           {"$ref":"#/$defs/d<+>"},
           {"type":"object","properties":{"a":{"$ref":"#/$defs/d<+>"}}}]}}})")},
      {"CircleOfAllOf", R"({"$ref":"#/$defs/a","$defs":{"a":{"allOf":[{"$ref":"#/$defs/b"}]},
                            "b":{"allOf":[{"$ref":"#/$defs/a"}]}}})"},
      {"CircleOfNot", R"({"not":{"$ref":"#"}})"},
      {"CircleOfOneOf", R"({"oneOf":[{"$ref":"#"},{"type":"string"}]})"},
      {"SetsOfClaims",
       Chain(24, R"("d<>":{"type":"object","properties":{"a":{"$ref":"#/$defs/d<+>"},
           "b":{"allOf":[{"$ref":"#/$defs/d<+>"},{"$ref":"#/$defs/d0"}]}}})")},
      {"OneOfObjects", R"({"oneOf":[)" +
                           Each(200, R"({"type":"object","required":["kind"],"properties":{
                                "kind":{"const":"k<>"},"a":{},"b":{"type":"string"}}})") +
                           "]}"},
      {"OneOfConstants", R"({"oneOf":[)" + Each(3'000, R"({"const":"k<>"})") + "]}"},
      {"AllOfAnyOf", R"({"allOf":[)" +
                         Each(30, R"({"anyOf":[{"required":["a<>"]},{"required":["b<>"]}]})") +
                         "]}"},
      {"PatternProperties",
       R"({"patternProperties":{)" + Each(6, R"("a.{1<>}b":{"minimum":<>})") + "}}"},
      {"Dependent", R"({"dependentRequired":{)" + Each(30, R"("k<>":["k<+>"])") + "}}"},
      {"LeastItems", R"({"minItems":1000000000,"items":{"type":["null","integer"]}})"},
      {"MostItems", R"({"maxItems":1000000000,"items":{"type":["null","integer"]}})"},
      {"PrefixItems",
       R"({"minItems":3000,"prefixItems":[)" + Each(20'000, R"({"minimum":<>})") + "]}"},
      {"NotPrefixItems", R"({"not":{"prefixItems":[)" + Each(20'000, R"({"minimum":<>})") + "]}}"},
      {"Contains", R"({"contains":{"type":"string"},"minContains":9000000000000000000,
                       "maxContains":9223372036854775806,"minItems":9223372036854775806})"},
      {"UniqueOfMany",
       R"({"uniqueItems":true,"items":{"enum":[)" + Each(20'000, R"("v<>")") + "]}}"},
      {"Unique", R"({"uniqueItems":true,"minItems":60,"items":{"enum":[)" + Each(64, "<>") + "]}}"},
      {"Bounds", R"({"type":"number","minimum":-1e308,"maximum":1e308})"},
      {"LongBound", R"({"type":"number","minimum":0.)" + Times(100'000, "7") + "}"},
      {"Multiples", R"({"allOf":[)" + Each(200, R"({"multipleOf":<+>})") + "]}"},
      {"NotMultiples", R"({"allOf":[)" + Each(200, R"({"not":{"multipleOf":<+>.5}})") + "]}"}};
  std::vector<Hostile> all;
  for (const auto& [name, text] : texts) all.push_back({name, Language::kSchema, text});
  return all;
}

std::vector<Hostile> Grammars() {
  const std::vector<std::pair<const char*, std::string>> texts{
      {"SameTwice", "root ::= (\"a\" | \"a\" | x)*\nx ::= \"a\" x | \"a\""},
      {"Ambiguous",
       "root ::= \"(\" root \")\" root | \"(\" root \")\" | \"()\" root root | \"()\""},
      {"EmptyLoops", "root ::= x* \"a\"\nx ::= y*\ny ::= z?\nz ::= (\"b\" z)?"},
      {"EmptyCounts", "root ::= (x{3,7}){2,100000} \"a\"\nx ::= (\"b\" x)?"},
      {"LongSequence", "root ::= " + Times(200'000, "x ") + "\nx ::= (\"b\" x)?"},
      {"LongChoice", "root ::= " + Times(100'000, "x | ") + "x\nx ::= \"b\" x | \"c\""},
      {"ManyRules", "root ::= r0\nr30000 ::= \"b\" root | \"a\"\n" +
                        Lines(30'000, "r<> ::= \"b\" r<+> \"c\" | \"a\"")},
      {"ChainOfRules",
       "root ::= r0\nr30000 ::= \"b\" root | \"a\"\n" + Lines(30'000, "r<> ::= r<+>")},
      {"Doubling", "root ::= r0\nr60 ::= \"b\" root | \"a\"\n" + Lines(60, "r<> ::= r<+> r<+>")},
      {"DoublingOfNothing",
       "root ::= r0 \"x\"\nr30 ::= \"b\" root | \"\"\n" + Lines(30, "r<> ::= r<+> r<+>")},
      {"Counts", "root ::= " + Nested(150, "(", "x", "){1000000}") + "\nx ::= \"b\" x | \"a\""},
      {"Optionals", "root ::= " + Times(100'000, "\"a\"? ")},
      {"SharedChoices",
       "root ::= r0\nr60 ::= \"a\"\n" + Lines(60, "r<> ::= r<+> \"x\" | r<+> \"y\"")},
      {"DeepTerms", "root ::= r0\nr30000 ::= \"a\"\n" + Lines(30'000, "r<> ::= (r<+> \"x\")*")},
      {"OpenParentheses", Times(100'000, "(")}};
  std::vector<Hostile> all;
  for (const auto& [name, text] : texts) all.push_back({name, Language::kGbnf, text});
  return all;
}

Result<std::shared_ptr<const Grammar>> Compile(const Hostile& hostile, bool strict) {
  auto grammar = std::make_shared<Grammar>();
  Expr start = 0;
  if (hostile.language == Language::kSchema) {
    std::vector<std::string> left_out;
    FULMEN_ASSIGN(const Json schema, ParseJson(hostile.text, "schema"));
    FULMEN_ASSIGN(start, AddJsonSchema(*grammar, schema, {.strict = strict}, left_out));
  } else if (hostile.language == Language::kPattern) {
    FULMEN_ASSIGN(const Term term, ParsePattern(grammar->terms(), hostile.text, Spelling::kText,
                                                PatternMatch::kSearch));
    start = grammar->Lexeme(term);
  } else {
    FULMEN_ASSIGN(start, AddGbnf(*grammar, hostile.text));
  }
  FULMEN_TRY(grammar->Finish(start));
  return grammar;
}

void ExpectAWayToEnd(Matcher matcher) {
  const auto rest = matcher.WayToEnd();
  if (!rest) return;  // too long a way
  const std::string_view begin = std::string_view(*rest).substr(0, 1'000);
  for (size_t at = 0; at < begin.size(); at += 20) {
    const Status goes_on = matcher.AcceptText(begin.substr(at, 20));
    if (!goes_on && goes_on.error().code == ErrorCode::kUnsupported) return;  // takes too long
    ASSERT_TRUE(goes_on) << goes_on.error().message << ": no end by " << begin;
  }
  EXPECT_TRUE(matcher.CanEnd() || rest->size() > begin.size()) << "no end by " << begin;
}

// At random; asks everything on the way. A mask may take too long, but not be empty.
void Walk(Matcher matcher, uint64_t seed) {
  RandomStream random(seed);
  std::string text;
  for (int step = 0; step < 20 && !matcher.MustEnd(); ++step) {
    const auto mask = matcher.Mask();
    if (!mask) return;
    std::vector<int32_t> allowed;
    for (size_t word = 0; word < mask->size(); ++word) {
      for (uint64_t left = (*mask)[word]; left != 0; left &= left - 1) {
        allowed.push_back(static_cast<int32_t>(64 * word) + std::countr_zero(left));
      }
    }
    ASSERT_FALSE(allowed.empty()) << "a dead end behind " << text;
    const int32_t token = allowed[random.Next() % allowed.size()];
    const Status accepted = matcher.Accept(token);
    ASSERT_TRUE(accepted) << accepted.error().message;
    text += SmallVocabulary()->BytesOf(token);
    matcher.Forced(100);
    if (step % 4 == 0) ExpectAWayToEnd(matcher);
  }
}

class HostileTest : public ::testing::TestWithParam<Hostile> {};

TEST_P(HostileTest, IsRefusedOrAnsweredWithinBounds) {
  const std::clock_t begun = std::clock();
  for (const bool strict : {true, false}) {
    const auto grammar = Compile(GetParam(), strict);
    if (!grammar) continue;
    EXPECT_LE((*grammar)->terms().size(), Grammar::kMostTerms);
    EXPECT_LE((*grammar)->size(), Grammar::kMostNodes);
    const Matcher start(*grammar, SmallVocabulary());
    ExpectAWayToEnd(start);
    Walk(start, strict ? 1 : 2);
    if (GetParam().language != Language::kSchema) break;
  }
  EXPECT_LT(static_cast<double>(std::clock() - begun) / CLOCKS_PER_SEC, kMostSeconds);
}

std::string NameOf(const ::testing::TestParamInfo<Hostile>& hostile) { return hostile.param.name; }

INSTANTIATE_TEST_SUITE_P(Patterns, HostileTest, ::testing::ValuesIn(Patterns()), NameOf);
INSTANTIATE_TEST_SUITE_P(Schemas, HostileTest, ::testing::ValuesIn(Schemas()), NameOf);
INSTANTIATE_TEST_SUITE_P(Grammars, HostileTest, ::testing::ValuesIn(Grammars()), NameOf);

}  // namespace
}  // namespace fulmen
