// Answers in a format, from the command line and from a server.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <atomic>
#include <regex>
#include <string>
#include <thread>
#include <vector>

#include "base/file_io.h"
#include "tests/e2e/served.h"
#include "tests/testing/golden.h"
#include "tests/testing/subprocess.h"

namespace fulmen::testing {
namespace {

constexpr const char* kQuestion = "Tom lives in Rome. Where does Tom live?";

Json CitySchema() {
  return {{"type", "object"},
          {"properties",
           {{"city", {{"type", "string"}, {"maxLength", 20}}},
            {"sure", {{"type", "boolean"}}},
            {"digits", {{"type", "array"}, {"items", {{"enum", {1, 2, 3}}}}, {"maxItems", 3}}}}},
          {"required", {"city", "sure", "digits"}},
          {"additionalProperties", false}};
}

// Of any numbers none can be kept from standing twice.
Json UnenforceableSchema() {
  Json schema = CitySchema();
  schema["properties"]["digits"]["items"] = {{"type", "integer"}, {"minimum", 0}};
  schema["properties"]["digits"]["uniqueItems"] = true;
  return schema;
}

void ExpectCity(const std::string& text) {
  const Result<Json> json = ParseJson(text, "the answer");
  ASSERT_TRUE(json) << text;
  EXPECT_EQ(json->size(), 3U) << text;
  ASSERT_TRUE(Member(*json, "city").is_string()) << text;
  EXPECT_TRUE(Member(*json, "sure").is_boolean()) << text;
  ASSERT_TRUE(Member(*json, "digits").is_array()) << text;
  EXPECT_LE(Member(*json, "digits").size(), 3U) << text;
}

class RunInAFormat : public ::testing::Test {
 protected:
  ProgramResult Run(std::vector<std::string> more, const std::string& question = kQuestion) {
    std::vector<std::string> words = {"run", question, "--temperature", "0", "-n", "300"};
    words.insert(words.end(), more.begin(), more.end());
    return RunFulmen(words);
  }
  std::string File(const std::string& name, const std::string& text) {
    EXPECT_TRUE(WriteFileAtomically(folder_ / name, text));
    return folder_ / name;
  }
  const TemporaryFolder folder_;
};

TEST_F(RunInAFormat, ASchemaAPatternOrAGrammar) {
  const ProgramResult schema = Run({"--schema", File("schema.json", CitySchema().dump())});
  EXPECT_EQ(schema.exit_code, 0) << schema.err;
  EXPECT_EQ(schema.err, "");
  ExpectCity(schema.out);
  const ProgramResult pattern = Run({"--regex", "[A-Z][a-z]{2,9}"});
  EXPECT_TRUE(std::regex_match(pattern.out, std::regex("[A-Z][a-z]{2,9}\n"))) << pattern.out;
  const ProgramResult grammar =
      Run({"--grammar", File("x.gbnf", "root ::= \"Tom lives in \" [A-Z] [a-z]+ \".\"")});
  EXPECT_TRUE(std::regex_match(grammar.out, std::regex("Tom lives in [A-Z][a-z]+\\.\n")))
      << grammar.out;
  // What the model would say anyway it says in the same tokens.
  const std::string free = Run({}).out;
  const std::string open = Run({"--regex", "[^x]*"}).out;
  EXPECT_EQ(open, free);
}

TEST_F(RunInAFormat, SaysWhatItCannotEnforceAndWhatIsWrong) {
  const Json schema = UnenforceableSchema();
  const ProgramResult part = Run({"--schema", File("part.json", schema.dump())});
  EXPECT_EQ(part.exit_code, 0) << part.err;
  EXPECT_NE(part.err.find("not enforced: #/"), std::string::npos) << part.err;
  EXPECT_NE(part.err.find("uniqueItems"), std::string::npos) << part.err;
  ExpectCity(part.out);
  struct Wrong {
    std::vector<std::string> words;
    std::string says;
    int exit_code = 1;
  };
  for (const Wrong& wrong :
       std::vector<Wrong>{{{"--schema", folder_ / "none.json"}, "none.json"},
                          {{"--schema", File("cut.json", "{")}, "cut.json"},
                          {{"--schema", File("seven.json", "7")}, "#: expected a schema"},
                          {{"--regex", "a("}, "--regex: "},
                          {{"--grammar", File("bad.gbnf", "root ::= other")}, "other"},
                          {{"--regex", "a", "--schema", "b"}, "--schema", 2},
                          {{"--schema", "-"}, "standard input", 2}}) {
    const ProgramResult result = Run(wrong.words);
    EXPECT_EQ(result.exit_code, wrong.exit_code) << wrong.says;
    EXPECT_NE(result.err.find(wrong.says), std::string::npos) << result.err;
    EXPECT_EQ(result.out, "");
  }
}

class ServeInAFormat : public ::testing::Test {
 protected:
  static Json Chat(const std::string& question, const Json& more) {
    Json body = {{"messages", {{{"role", "user"}, {"content", question}}}},
                 {"temperature", 0},
                 {"max_tokens", 300}};
    body.update(more);
    return body;
  }
  static Json Format(bool strict) {
    return {{"response_format",
             {{"type", "json_schema"},
              {"json_schema", {{"name", "city"}, {"strict", strict}, {"schema", CitySchema()}}}}}};
  }
  static std::string TextOf(const Json& answer) {
    return answer["choices"][0]["message"]["content"];
  }

  const TemporaryFolder folder_;
  Served server_{folder_.path()};
};

TEST_F(ServeInAFormat, FreeAndHeldAnswersTogether) {
  const std::string free =
      TextOf(server_.Post("/v1/chat/completions", Chat(kQuestion, Json::object())));
  const std::string held =
      TextOf(server_.Post("/v1/chat/completions", Chat(kQuestion, Format(true))));
  ExpectCity(held);
  std::vector<std::thread> clients;
  std::atomic<int> answered = 0;
  for (int i = 0; i < 24; ++i) {
    clients.emplace_back([&, i] {
      const bool holds = i % 2 == 0;
      const std::string text = TextOf(server_.Post(
          "/v1/chat/completions", Chat(kQuestion, holds ? Format(i % 4 == 0) : Json::object())));
      EXPECT_EQ(text, holds ? held : free);
      ++answered;
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(answered, 24);
}

TEST_F(ServeInAFormat, SixtyFourStreams) {
  std::vector<std::thread> clients;
  for (int i = 0; i < 64; ++i) {
    clients.emplace_back([&, i] {
      Json body = Chat(kQuestion, Format(true));
      body.update({{"stream", true}, {"temperature", 1.5}, {"seed", i}});
      const RawAnswer answer = server_.Ask("POST /v1/chat/completions", body.dump());
      EXPECT_EQ(answer.status, 200);
      std::string text;
      std::string finish;
      for (size_t at = answer.body.find("data: {"); at != std::string::npos;
           at = answer.body.find("data: {", at + 1)) {
        const Json chunk =
            Json::parse(answer.body.substr(at + 6, answer.body.find('\n', at) - at - 6));
        const Json& choice = chunk["choices"][0];
        if (const Json& content = Member(choice["delta"], "content"); content.is_string()) {
          text += content.get<std::string>();
        }
        if (choice["finish_reason"].is_string()) finish = choice["finish_reason"];
      }
      EXPECT_EQ(finish, "stop");
      ExpectCity(text);
    });
  }
  for (std::thread& client : clients) client.join();
}

TEST_F(ServeInAFormat, CallsThatMustBeMade) {
  const Json tool = {{"type", "function"},
                     {"function", {{"name", "look_up"}, {"parameters", CitySchema()}}}};
  const Json answer = server_.Post(
      "/v1/chat/completions",
      Chat(kQuestion,
           {{"tools", {tool}}, {"tool_choice", "required"}, {"parallel_tool_calls", false}}));
  const Json& choice = answer["choices"][0];
  EXPECT_EQ(choice["finish_reason"], "tool_calls") << answer;
  ASSERT_EQ(choice["message"]["tool_calls"].size(), 1U) << answer;
  const Json& function = choice["message"]["tool_calls"][0]["function"];
  EXPECT_EQ(function["name"], "look_up");
  ExpectCity(function["arguments"]);
}

TEST_F(ServeInAFormat, WhatCannotBeEnforcedIsNamed) {
  Json more = Format(false);
  more["response_format"]["json_schema"]["schema"] = UnenforceableSchema();
  const RawAnswer part = server_.Ask("POST /v1/chat/completions", Chat(kQuestion, more).dump());
  EXPECT_EQ(part.status, 200);
  EXPECT_NE(part.Header("fulmen-schema-left-out").find("uniqueitems"), std::string::npos)
      << part.head;
  ExpectCity(TextOf(Json::parse(part.body)));
  EXPECT_TRUE(Eventually([&] {
    return server_.Err().find("left out of the schema: uniqueItems") != std::string::npos;
  })) << server_.Err();
  more["response_format"]["json_schema"]["strict"] = true;
  const RawAnswer refused = server_.Ask("POST /v1/chat/completions", Chat(kQuestion, more).dump());
  EXPECT_EQ(refused.status, 400);
  const Json error = Json::parse(refused.body)["error"];
  EXPECT_EQ(error["param"], "response_format.json_schema.schema");
  EXPECT_NE(error["message"].get<std::string>().find("uniqueItems"), std::string::npos);
}

}  // namespace
}  // namespace fulmen::testing
