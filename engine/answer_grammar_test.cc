#include "engine/answer_grammar.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "base/check.h"
#include "engine/testing/answer_checks.h"
#include "grammar/machine.h"

namespace fulmen {
namespace {

using Kind = AnswerPiece::Kind;

Json Schema(const char* text) { return Json::parse(text); }

TextRule JsonText() {
  return {.kind = TextRule::Kind::kSchema,
          .schema = Schema(R"({"type": "object", "properties": {"a": {"type": "integer"}},
                               "required": ["a"], "additionalProperties": false})"),
          .strict = true,
          .where = "response_format"};
}

std::vector<ToolRule> Tools() {
  const Json city = Schema(R"({"type": "object", "properties": {"city": {"type": "string"}},
                               "required": ["city"], "additionalProperties": false})");
  return {{.name = "weather", .parameters = city, .strict = true, .where = "tools[0]"},
          {.name = "other-tool", .parameters = city, .strict = false, .where = "tools[1]"}};
}

AnswerGrammar Made(const AnswerRules& rules, AnswerFormat format) {
  auto made = MakeAnswerGrammar(rules, format);
  FULMEN_CHECK(made.has_value(), "{}: {}", made.error().where, made.error().error.message);
  return *std::move(made);
}

bool Allows(const AnswerGrammar& made, std::string_view text) {
  Machine machine(made.grammar);
  Machine::State state = machine.start();
  for (const char byte : text) state = machine.Next(state, static_cast<uint8_t>(byte));
  return machine.Accepts(state);
}

TEST(AnswerGrammar, WordsComeAfterThoughts) {
  const AnswerGrammar thinking = Made({.text = JsonText()}, kM1);
  EXPECT_TRUE(Allows(thinking, R"({"a":1})"));
  EXPECT_TRUE(Allows(thinking, "<think>\nSay {\"b\"?</ think>\n</think>\n\n{\"a\": 1}"));
  EXPECT_FALSE(Allows(thinking, "<think>\nwell</think>\n"));
  EXPECT_FALSE(Allows(thinking, "<think>{\"a\":1}"));
  EXPECT_FALSE(Allows(thinking, "Sure: {\"a\":1}"));
  const AnswerGrammar plain = Made({.text = JsonText()}, kPlain);
  EXPECT_TRUE(Allows(plain, R"({ "a" : 1 })"));
  EXPECT_FALSE(Allows(plain, "<think></think>{\"a\":1}"));
}

TEST(AnswerGrammar, PatternsChoicesAndCompactJson) {
  const AnswerGrammar pattern =
      Made({.text = {.kind = TextRule::Kind::kPattern, .text = "[ab]{2}|c"}}, kM1);
  EXPECT_TRUE(Allows(pattern, "ba"));
  EXPECT_TRUE(Allows(pattern, "<think>?</think>\nc"));
  EXPECT_FALSE(Allows(pattern, "bac"));
  const AnswerGrammar choice =
      Made({.text = {.kind = TextRule::Kind::kChoice, .choices = {"yes", "no"}}}, kPlain);
  EXPECT_TRUE(Allows(choice, "no"));
  EXPECT_FALSE(Allows(choice, "not"));
  const AnswerGrammar gbnf = Made(
      {.text = {.kind = TextRule::Kind::kGbnf, .text = "root ::= \"x\" y\ny ::= [0-9]+"}}, kM1);
  EXPECT_TRUE(Allows(gbnf, "<think>x</think>x42"));
  EXPECT_FALSE(Allows(gbnf, "x"));
  TextRule compact = JsonText();
  compact.compact = true;
  EXPECT_FALSE(Allows(Made({.text = compact}, kPlain), R"({"a": 1})"));
  EXPECT_TRUE(Allows(Made({.text = compact}, kPlain), R"({"a":1})"));
}

TEST(AnswerGrammar, CallsThatMustBeMade) {
  AnswerRules rules = {.calls = AnswerRules::Calls::kRequired, .tools = Tools()};
  const std::string call = R"({"name": "weather", "arguments": {"city": "Rome"}})";
  const AnswerGrammar m1 = Made(rules, kM1);
  EXPECT_TRUE(Allows(m1, "<tool_calls>\n" + call + "\n</tool_calls>"));
  EXPECT_TRUE(
      Allows(m1, "<think>so</think>\n<tool_calls>\n" + call + "\n" + call + "\n</tool_calls>"));
  EXPECT_TRUE(Allows(m1,
                     "<tool_calls>\n{\"name\":\"weather\",\"arguments\":{\"city\":\"Rome\"}}\n"
                     "</tool_calls>"));
  EXPECT_FALSE(Allows(m1, "<tool_calls>\n</tool_calls>"));
  EXPECT_FALSE(Allows(m1, "Hm. <tool_calls>\n" + call + "\n</tool_calls>"));
  EXPECT_FALSE(Allows(m1, ""));
  EXPECT_FALSE(
      Allows(m1, "<tool_calls>\n{\"name\": \"weather\", \"arguments\": {}}\n</tool_calls>"));
  const std::string text01 = "functions.weather({\"city\":\"Rome\"})\n";
  const AnswerGrammar both = Made(rules, kText01);
  EXPECT_TRUE(Allows(both, "<function_call>```typescript\n" + text01 + text01 + "```"));
  rules.one_call = true;
  const AnswerGrammar one = Made(rules, kText01);
  EXPECT_TRUE(Allows(one, "<function_call>```typescript\n" + text01 + "```"));
  EXPECT_FALSE(Allows(one, "<function_call>```typescript\n" + text01 + text01 + "```"));
}

TEST(AnswerGrammar, CallsThatMayBeMade) {
  AnswerRules rules = {.calls = AnswerRules::Calls::kAuto, .tools = Tools()};
  const AnswerGrammar free = Made(rules, kM1);
  const std::string call =
      "<tool_calls>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Rome\"}}\n</tool_calls>";
  EXPECT_TRUE(Allows(free, ""));
  EXPECT_TRUE(Allows(free, "Just <tool words."));
  EXPECT_TRUE(Allows(free, call));
  EXPECT_TRUE(Allows(free, "<think>I speak of <tool_calls>.</think>\nSo:\n" + call));
  EXPECT_FALSE(Allows(free, "I speak of <tool_calls>."));
  EXPECT_FALSE(Allows(free, call + "\nDone."));
  // Without strict it is any object.
  EXPECT_TRUE(Allows(free,
                     "<tool_calls>\n{\"name\": \"other-tool\", \"arguments\": {\"x\": 1}}\n"
                     "</tool_calls>"));
  rules.text = JsonText();
  const AnswerGrammar either = Made(rules, kM1);
  EXPECT_TRUE(Allows(either, call));
  EXPECT_TRUE(Allows(either, "{\"a\":1}"));
  EXPECT_FALSE(Allows(either, "{\"a\":1}" + call));
  EXPECT_FALSE(Allows(either, "So:\n" + call));
}

TEST(AnswerGrammar, HintsAreNoErrors) {
  AnswerRules rules = {.calls = AnswerRules::Calls::kRequired};
  for (
      const char* schema :
      {"{\"type\": \"string\"}", "false", "7", "{\"$ref\": \"#/nowhere\"}",
       R"({"type": "object", "properties": {"city": {"type": "integer", "maximum": -1, "minimum": 1}},
            "required": ["city"]})"}) {
    rules.tools = {{.name = "f", .parameters = Schema(schema), .strict = false, .where = "t"}};
    EXPECT_TRUE(Allows(Made(rules, kText01),
                       "<function_call>```typescript\nfunctions.f({\"city\": \"Rome\"})\n```"))
        << schema;
    rules.tools[0].strict = true;
    const auto failed = MakeAnswerGrammar(rules, kText01);
    ASSERT_FALSE(failed) << schema;
    EXPECT_EQ(failed.error().where, "t");
  }
  // Of one that can be enforced in part, that part is.
  rules.tools = {{.name = "f",
                  .parameters = Schema(R"({"properties": {"n": {"type": "integer"}},
                                           "required": ["n"], "not": {"required": ["m"]}})"),
                  .strict = false}};
  const AnswerGrammar part = Made(rules, kText01);
  EXPECT_TRUE(Allows(part, "<function_call>```typescript\nfunctions.f({\"n\": 1})\n```"));
  EXPECT_FALSE(Allows(part, "<function_call>```typescript\nfunctions.f({\"n\": \"1\"})\n```"));
}

TEST(AnswerGrammar, SaysWhatItLeavesOutAndWhatIsWrong) {
  TextRule text = JsonText();
  text.schema["properties"]["a"] = Schema(R"({"type": "array", "uniqueItems": true})");
  text.strict = false;
  const AnswerGrammar made = Made({.text = text}, kPlain);
  ASSERT_EQ(made.left_out.size(), 1U);
  EXPECT_NE(made.left_out[0].find("uniqueItems: "), std::string::npos);
  text.strict = true;
  const auto failed = MakeAnswerGrammar({.text = text}, kPlain);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().where, "response_format");
  EXPECT_NE(failed.error().error.message.find("uniqueItems: "), std::string::npos);
}

TEST(AnswerGrammar, TheDigestTellsRulesApart) {
  const AnswerRules rules = {.text = JsonText(), .tools = Tools()};
  AnswerRules other = rules;
  EXPECT_EQ(rules.Digest(kM1), other.Digest(kM1));
  EXPECT_NE(rules.Digest(kM1), rules.Digest(kText01));
  other.tools[0].strict = false;
  EXPECT_NE(rules.Digest(kM1), other.Digest(kM1));
}

// Whatever is written by the grammar's leave, AnswerParser finds in it what was asked for.
TEST(AnswerGrammar, WhatItAllowsIsParsedAsSuch) {
  std::mt19937 random(3);
  for (const AnswerFormat format : {kM1, kText01}) {
    for (const bool one : {false, true}) {
      const AnswerRules rules = {
          .calls = AnswerRules::Calls::kRequired, .tools = Tools(), .one_call = one};
      const AnswerGrammar made = Made(rules, format);
      Machine machine(made.grammar);
      for (int round = 0; round < 200; ++round) {
        std::string text;
        Machine::State state = machine.start();
        for (auto left = random() % 150; left > 0; --left) {
          const ByteSet live = machine.LiveBytes(state);
          if (live.IsEmpty()) break;
          std::string bytes;
          for (int byte = ' '; byte < 127; ++byte) {
            if (live.Has(static_cast<uint8_t>(byte))) bytes += static_cast<char>(byte);
          }
          if (bytes.empty()) bytes += static_cast<char>(live.First());
          text += bytes[random() % bytes.size()];
          state = machine.Next(state, static_cast<uint8_t>(text.back()));
        }
        text += machine.WayToEnd(state).value_or("");
        int64_t calls = 0;
        std::string arguments;
        for (const AnswerPiece& piece : ParseWhole(format, text)) {
          ASSERT_NE(piece.kind, Kind::kText) << text;
          if (piece.kind == Kind::kCall) {
            arguments.clear();
            EXPECT_TRUE(piece.text == "weather" || piece.text == "other-tool") << text;
          } else if (piece.kind == Kind::kArguments) {
            arguments += piece.text;
          } else if (piece.kind == Kind::kCallEnd) {
            ++calls;
            const auto parsed = ParseJson(arguments, "arguments");
            ASSERT_TRUE(parsed) << text;
            EXPECT_TRUE(Member(*parsed, "city").is_string()) << text;
          }
        }
        EXPECT_GE(calls, 1) << text;
        EXPECT_TRUE(!one || calls == 1) << text;
      }
    }
  }
}

}  // namespace
}  // namespace fulmen
