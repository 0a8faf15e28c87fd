#include "grammar/matcher.h"

#include <gtest/gtest.h>

#include <bit>

#include "base/random.h"
#include "grammar/json_schema.h"
#include "grammar/pattern.h"
#include "grammar/testing/small_vocabulary.h"
#include "tests/testing/golden.h"
#include "tokenizer/testing/minimax.h"

namespace fulmen {
namespace {

using testing::SmallVocabulary;

// Of all kinds of slices: counted, endless and excluded texts, classes, and numbers.
const char* const kSchemas[] = {
    R"({})",
    R"({"type":"object","properties":{"name":{"type":"string","maxLength":20},"n":{"type":"integer"}},
        "required":["name"]})",
    R"({"type":"string","minLength":3,"maxLength":7})",
    R"({"type":"string","pattern":"^[a-z]{2,40}$"})",
    R"({"type":"string","pattern":"^(\\S+\\s+){0,5}\\S+$","maxLength":60})",
    R"({"type":"array","items":{"enum":["red","green",1,null]},"uniqueItems":true})",
    R"({"type":"object","patternProperties":{"^x":{"type":"boolean"}},
        "additionalProperties":{"type":"number","minimum":-3.5,"maximum":1000}})",
    R"({"anyOf":[{"type":"string","format":"date"},{"type":"object","properties":{"a":{}},
        "additionalProperties":false,"minProperties":1},{"not":{"type":["string","object"]}}]})"};

std::shared_ptr<const Grammar> SchemaGrammar(const std::string& schema) {
  auto grammar = std::make_shared<Grammar>();
  std::vector<std::string> left_out;
  const auto json = ParseJson(schema, "schema");
  const auto root = AddJsonSchema(*grammar, *json, {.strict = true}, left_out);
  EXPECT_TRUE(root) << (root ? "" : root.error().message);
  const Status finished = root ? grammar->Finish(*root) : Status();
  EXPECT_TRUE(finished) << (finished ? "" : finished.error().message);
  return grammar;
}

std::shared_ptr<const Grammar> GrammarOfPattern(const std::string& pattern) {
  auto grammar = std::make_shared<Grammar>();
  const auto term = ParsePattern(grammar->terms(), pattern, Spelling::kText, PatternMatch::kWhole);
  EXPECT_TRUE(term);
  EXPECT_TRUE(grammar->Finish(grammar->Lexeme(*term)));
  return grammar;
}

bool Has(std::span<const uint64_t> mask, int32_t id) {
  return (mask[id / 64] >> (id % 64) & 1) != 0;
}

// Whether the bytes of a token may come, found without slices or masks.
bool MayCome(Machine& machine, Machine::State state, std::string_view bytes) {
  for (const char byte : bytes) state = machine.Next(state, static_cast<uint8_t>(byte));
  return !bytes.empty() && state != Machine::kDead;
}

// Walks at random, and at each step compares the mask with what a machine of its own says of each
// token.
void CompareMasks(const std::shared_ptr<const Grammar>& grammar,
                  const std::shared_ptr<const TokenTrie>& tokens, int steps, uint64_t seed) {
  RandomStream random(seed);
  Matcher matcher(grammar, tokens);
  Machine machine(grammar);
  Machine::State state = machine.start();
  for (int step = 0; step < steps && !matcher.MustEnd(); ++step) {
    const auto mask = matcher.Mask();
    ASSERT_TRUE(mask);
    std::vector<int32_t> allowed;
    for (int32_t id = 0; id < tokens->vocab_size(); ++id) {
      const bool may = MayCome(machine, state, tokens->BytesOf(id));
      ASSERT_EQ(Has(*mask, id), may)
          << "step " << step << ", token " << id << " \"" << tokens->BytesOf(id) << "\"";
      if (may) allowed.push_back(id);
    }
    ASSERT_FALSE(allowed.empty());
    const int32_t token = allowed[random.Next() % allowed.size()];
    ASSERT_TRUE(matcher.Accept(token));
    for (const char byte : tokens->BytesOf(token)) {
      state = machine.Next(state, static_cast<uint8_t>(byte));
    }
    ASSERT_EQ(matcher.CanEnd(), machine.Accepts(state));
  }
  const auto rest = matcher.WayToEnd();
  ASSERT_TRUE(rest);
  ASSERT_TRUE(matcher.AcceptText(*rest)) << *rest;
  EXPECT_TRUE(matcher.CanEnd()) << *rest;
}

TEST(Matcher, AllowsTheTokensThatCanGoOn) {
  const auto tokens = SmallVocabulary();
  for (const char* schema : kSchemas) {
    SCOPED_TRACE(schema);
    for (uint64_t seed = 0; seed < 5; ++seed) CompareMasks(SchemaGrammar(schema), tokens, 60, seed);
  }
  for (const char* pattern : {"[a-z]+( [a-z]+)*\\.", "(?!the)[\\s\\S]*", "\\p{Lu}.{3,50}"}) {
    SCOPED_TRACE(pattern);
    for (uint64_t seed = 0; seed < 5; ++seed) {
      CompareMasks(GrammarOfPattern(pattern), tokens, 60, seed);
    }
  }
}

TEST(Matcher, AllowsTheTokensOfThePublishedVocabulary) {
  const Tokenizer* tokenizer = MinimaxTokenizer();
  if (tokenizer == nullptr) GTEST_SKIP() << "no published vocabulary here";
  const auto tokens = TokenTrie::Build(*tokenizer);
  for (const char* schema : kSchemas) {
    SCOPED_TRACE(schema);
    CompareMasks(SchemaGrammar(schema), tokens, 6, 7);
  }
}

TEST(Matcher, RefusesWithoutMoving) {
  Matcher matcher(SchemaGrammar(R"({"const":"ab"})"), SmallVocabulary());
  ASSERT_TRUE(matcher.AcceptText("\"a"));
  const Status refused = matcher.AcceptText("x");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message, "the grammar does not allow \"x\" here");
  EXPECT_FALSE(matcher.Accept(-1));
  EXPECT_TRUE(matcher.AcceptText("b\""));
  EXPECT_TRUE(matcher.MustEnd());
}

TEST(Matcher, TellsWhatMustCome) {
  Matcher matcher(SchemaGrammar(R"({"type":"object","properties":{"key":{"enum":["one","only"]}},
                               "required":["key"],"additionalProperties":false})"),
                  SmallVocabulary());
  EXPECT_EQ(matcher.Forced(100), "{");
  ASSERT_TRUE(matcher.AcceptText("{\"k"));
  EXPECT_EQ(matcher.Forced(100), "ey\"");
  EXPECT_EQ(matcher.Forced(2), "ey");
  ASSERT_TRUE(matcher.AcceptText("ey\": \"on"));
  EXPECT_EQ(matcher.Forced(100), "");
  ASSERT_TRUE(matcher.AcceptText("l"));
  EXPECT_EQ(matcher.Forced(100), "y\"");
  EXPECT_EQ(matcher.WayToEnd().value_or("?"), "y\"}");
}

TEST(Matcher, CopiesGoTheirOwnWays) {
  const Matcher start(SchemaGrammar(R"({"type":"array","items":{"type":"integer"}})"),
                      SmallVocabulary());
  Matcher one = start;
  Matcher other = start;
  ASSERT_TRUE(one.AcceptText("[12, 3"));
  ASSERT_TRUE(other.AcceptText("[]"));
  EXPECT_TRUE(other.MustEnd());
  EXPECT_FALSE(one.CanEnd());
  EXPECT_EQ(one.WayToEnd().value_or("?"), "]");
}

// A count that has a state for each character: states are left behind, and the place is kept.
TEST(Matcher, ForgetsStatesThatHaveGrownTooMany) {
  Matcher matcher(SchemaGrammar(R"({"type":"string","pattern":"^(ab?)*$","maxLength":400000})"),
                  SmallVocabulary());
  Matcher behind = matcher;
  ASSERT_TRUE(matcher.AcceptText("\""));
  for (int round = 0; round < 1'000; ++round) {
    ASSERT_TRUE(matcher.AcceptText(std::string(200, 'a'))) << round;
    if (round % 100 == 0) {
      ASSERT_TRUE(matcher.Mask()) << round;
    }
  }
  ASSERT_TRUE(behind.AcceptText("\"ab\""));
  EXPECT_TRUE(behind.MustEnd());
  for (int round = 0; round < 1'000; ++round) {
    ASSERT_TRUE(matcher.AcceptText(std::string(200, 'a')));
  }
  EXPECT_FALSE(matcher.AcceptText("a"));
  EXPECT_TRUE(matcher.AcceptText("\""));
}

}  // namespace
}  // namespace fulmen
