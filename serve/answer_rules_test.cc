// What requests of all APIs hold their answers to.
#include "serve/answer_rules.h"

#include <gtest/gtest.h>

#include <string>

#include "serve/anthropic_messages.h"
#include "serve/grammar_cache.h"
#include "serve/minimax_chat.h"
#include "serve/openai_chat.h"
#include "serve/openai_completions.h"
#include "serve/openai_responses.h"
#include "serve/testing/answer_events.h"

namespace fulmen {
namespace {

using Calls = AnswerRules::Calls;
using testing::MustParse;

constexpr const char* kSchema = R"({"type":"object","properties":{"a":{"type":"integer"}}})";

AnswerRules RulesOf(ApiResult<std::unique_ptr<ApiCall>> call) {
  EXPECT_TRUE(call) << call.error().param << ": " << call.error().message;
  return call ? (*call)->generations().at(0).rules : AnswerRules();
}

AnswerRules Chat(const std::string& more) {
  return RulesOf(ParseOpenAiChat(
      MustParse(R"({"model":"m","messages":[{"role":"user","content":"x"}])" + more + "}")));
}
AnswerRules MiniMax(const std::string& more) {
  return RulesOf(ParseMiniMaxChat(
      MustParse(R"({"model":"m","messages":[{"role":"user","content":"x"}])" + more + "}")));
}
AnswerRules Completion(const std::string& more) {
  return RulesOf(ParseOpenAiCompletions(MustParse(R"({"model":"m","prompt":"x")" + more + "}")));
}
AnswerRules Responses(const std::string& more) {
  auto parsed = ParseOpenAiResponses(MustParse(R"({"model":"m","input":"x")" + more + "}"));
  EXPECT_TRUE(parsed) << parsed.error().param << ": " << parsed.error().message;
  return parsed ? (*parsed)->generations().at(0).rules : AnswerRules();
}
AnswerRules Anthropic(const std::string& more) {
  return RulesOf(ParseAnthropicMessages(MustParse(
      R"({"model":"m","max_tokens":9,"messages":[{"role":"user","content":"x"}])" + more + "}")));
}

void ExpectSchema(const AnswerRules& rules, bool strict, const std::string& where) {
  EXPECT_TRUE(rules.any()) << where;
  EXPECT_EQ(rules.text.kind, TextRule::Kind::kSchema) << where;
  EXPECT_EQ(rules.text.schema, MustParse(kSchema)) << where;
  EXPECT_EQ(rules.text.strict, strict) << where;
  EXPECT_EQ(rules.text.where, where);
}

TEST(AnswerRules, SchemasOfAllApis) {
  const std::string schema = kSchema;
  const std::string named = R"("name":"n","schema":)" + schema;
  const std::string format = R"({"type":"json_schema","json_schema":{)" + named;
  for (const auto& read : {Chat, MiniMax, Completion}) {
    ExpectSchema(read(R"(,"response_format":)" + format + R"(,"strict":true}})"), true,
                 "response_format.json_schema.schema");
    ExpectSchema(read(R"(,"response_format":)" + format + "}}"), false,
                 "response_format.json_schema.schema");
    ExpectSchema(read(R"(,"structured_outputs":{"json":)" + schema + "}"), false,
                 "structured_outputs.json");
    ExpectSchema(read(R"(,"guided_json":)" + Json(schema).dump()), false, "guided_json");
    ExpectSchema(read(R"(,"json_schema":)" + schema), false, "json_schema");
    ExpectSchema(read(R"(,"response_format":{"type":"json_object","schema":)" + schema + "}"),
                 false, "response_format.schema");
    EXPECT_FALSE(read(R"(,"response_format":{"type":"text"})").any());
    EXPECT_FALSE(read(R"(,"response_format":null,"guided_json":null)").any());
  }
  ExpectSchema(
      Responses(R"(,"text":{"format":{"type":"json_schema",)" + named + R"(,"strict":true}})"),
      true, "text.format.schema");
  const std::string flat = R"({"type":"json_schema","schema":)" + schema + "}";
  ExpectSchema(Anthropic(R"(,"output_config":{"format":)" + flat + "}"), false,
               "output_config.format.schema");
  ExpectSchema(Anthropic(R"(,"output_format":)" + flat), false, "output_format.schema");
}

TEST(AnswerRules, OtherFormats) {
  EXPECT_EQ(Chat(R"(,"response_format":{"type":"json_object"})").text.schema,
            MustParse(R"({"type":"object"})"));
  EXPECT_EQ(Responses(R"(,"text":{"format":{"type":"json_object"}})").text.kind,
            TextRule::Kind::kSchema);
  EXPECT_EQ(Chat(R"(,"structured_outputs":{"json_object":true})").text.kind,
            TextRule::Kind::kSchema);
  EXPECT_FALSE(Chat(R"(,"structured_outputs":{"json_object":false})").any());
  EXPECT_TRUE(
      Chat(R"(,"structured_outputs":{"json":{},"disable_any_whitespace":true})").text.compact);
  for (const char* field : {R"(,"structured_outputs":{"regex":"a|b"})", R"(,"guided_regex":"a|b")",
                            R"(,"regex":"a|b")"}) {
    const AnswerRules rules = Chat(field);
    EXPECT_EQ(rules.text.kind, TextRule::Kind::kPattern);
    EXPECT_EQ(rules.text.text, "a|b");
  }
  for (const char* field : {R"(,"structured_outputs":{"grammar":"g"})", R"(,"guided_grammar":"g")",
                            R"(,"grammar":"g")", R"(,"ebnf":"g")"}) {
    EXPECT_EQ(Chat(field).text.kind, TextRule::Kind::kGbnf);
  }
  for (const char* field :
       {R"(,"structured_outputs":{"choice":["a","b"]})", R"(,"guided_choice":["a","b"])"}) {
    EXPECT_EQ(Completion(field).text.choices, (std::vector<std::string>{"a", "b"}));
  }
}

std::string Shown(const AnswerRules& rules) {
  std::string shown = rules.calls == Calls::kFree   ? "free"
                      : rules.calls == Calls::kAuto ? "auto"
                                                    : "required";
  for (const ToolRule& tool : rules.tools) {
    shown += " " + tool.name + (tool.strict ? "!" + tool.where : "");
  }
  return shown + (rules.one_call ? " once" : "");
}

TEST(AnswerRules, CallsOfChat) {
  const std::string f = R"({"type":"function","function":{"name":"f","parameters":{}}})";
  const std::string g = R"({"type":"function","function":{"name":"g","strict":true}})";
  const std::string loose = R"(,"tools":[)" + f + "]";
  const std::string mixed = R"(,"tools":[)" + f + "," + g + "]";
  EXPECT_EQ(Shown(Chat(loose)), "free");
  EXPECT_EQ(Shown(Chat(mixed)), "auto f g!tools[1].function.parameters");
  EXPECT_EQ(Shown(Chat(mixed + R"(,"tool_choice":"none")")), "free");
  EXPECT_EQ(Shown(Chat(loose + R"(,"tool_choice":"required","parallel_tool_calls":false)")),
            "required f once");
  EXPECT_EQ(Shown(Chat(loose + R"(,"response_format":{"type":"json_object"})")), "auto f");
  EXPECT_EQ(Shown(Chat(mixed + R"(,"tool_choice":{"type":"function","function":{"name":"f"}})")),
            "required f once");
  EXPECT_EQ(Shown(Chat(mixed + R"(,"tool_choice":{"type":"allowed_tools","allowed_tools":{
      "mode":"required","tools":[{"type":"function","function":{"name":"f"}}]}})")),
            "required f");
  EXPECT_EQ(Shown(MiniMax(R"(,"tools":[{"type":"function","function":{"name":"f",
      "description":"d","strict":true,"parameters":{}}}])")),
            "auto f!tools[0].function.parameters");
}

TEST(AnswerRules, CallsOfTheOtherApis) {
  const std::string flat = R"(,"tools":[{"type":"function","name":"f","strict":true,
      "parameters":{}},{"type":"function","name":"g"}])";
  EXPECT_EQ(Shown(Responses(flat)), "auto f!tools[0].parameters g");
  EXPECT_EQ(Shown(Responses(flat + R"(,"tool_choice":"required")")),
            "required f!tools[0].parameters g");
  EXPECT_EQ(Shown(Responses(flat + R"(,"tool_choice":{"type":"function","name":"g"})")),
            "required g once");
  EXPECT_EQ(Shown(Responses(flat + R"(,"parallel_tool_calls":false,"tool_choice":{
      "type":"allowed_tools","mode":"required","tools":[{"type":"function","name":"g"}]})")),
            "required g once");
  const std::string tools = R"(,"tools":[{"name":"f","input_schema":{},"strict":true},
      {"name":"g","input_schema":{}}])";
  EXPECT_EQ(Shown(Anthropic(tools)), "auto f!tools[0].input_schema g");
  EXPECT_EQ(Shown(Anthropic(tools + R"(,"tool_choice":{"type":"any",
      "disable_parallel_tool_use":true})")),
            "required f!tools[0].input_schema g once");
  EXPECT_EQ(Shown(Anthropic(tools + R"(,"tool_choice":{"type":"tool","name":"g"})")),
            "required g once");
  EXPECT_EQ(Shown(Anthropic(tools + R"(,"tool_choice":{"type":"none"})")), "free");
  const auto unknown = ParseAnthropicMessages(
      MustParse(R"({"model":"m","max_tokens":9,"messages":[{"role":"user","content":"x"}])" +
                tools + R"(,"tool_choice":{"type":"tool","name":"h"}})"));
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().param, "tool_choice.name");
}

TEST(GrammarCache, KeepsWhatWasMade) {
  GrammarCache cache;
  const AnswerRules rules = Chat(std::string(R"(,"guided_json":)") + kSchema);
  EXPECT_FALSE(cache.Find(rules, {}));
  const auto made = cache.Make(rules, {});
  ASSERT_TRUE(made);
  EXPECT_EQ(cache.Find(rules, {})->grammar, made->grammar);
  EXPECT_EQ(cache.Make(rules, {})->grammar, made->grammar);
  EXPECT_FALSE(cache.Find(rules, {.reasoning = true}));

  AnswerRules wrong = rules;
  wrong.text.strict = true;
  wrong.text.schema["properties"]["a"] = {{"type", "array"}, {"uniqueItems", true}};
  const auto failed = cache.Make(wrong, {});
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().param, "guided_json");
  EXPECT_NE(failed.error().message.find("uniqueItems"), std::string::npos);
  EXPECT_EQ(HttpStatusOf(ApiStyle::kOpenAi, failed.error()), 400);
}

TEST(LeftOutValue, HasPlaceInAHeader) {
  EXPECT_EQ(LeftOutValue({}), "");
  EXPECT_EQ(LeftOutValue({"#/a/not: because", "#/properties/x, y\r\n\xC3\xA9/uniqueItems: why"}),
            "#/a/not, #/properties/x%2C%20y%0D%0A%C3%A9/uniqueItems");
  EXPECT_LT(LeftOutValue(std::vector<std::string>(10'000, "#/some/keyword: why")).size(), 2100U);
}

}  // namespace
}  // namespace fulmen
