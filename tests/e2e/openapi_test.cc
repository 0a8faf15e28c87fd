// What servers answer is what their /openapi.json says, from which the page's types are made.
#include <gtest/gtest.h>

#include <memory>
#include <regex>
#include <string>

#include "accounts/ledger.h"
#include "base/ascii.h"
#include "base/file_io.h"
#include "serve/testing/openai_stream.h"
#include "tests/e2e/served.h"
#include "tests/testing/golden.h"
#include "tests/testing/subprocess.h"

namespace fulmen::testing {
namespace {

Json TurnOf(const std::string& session, const std::string& text) {
  Json body = ChatOf(text, 20);
  body["session"] = session;
  body["stream"] = true;
  body["stream_options"] = {{"include_usage", true}};
  body["return_progress"] = true;
  return body;
}

// How tests/e2e/openapi_check.py finds them.
ProgramResult Check(const Json& document, const Json& answers) {
  const Json input = {{"document", document}, {"answers", answers}};
  return RunProgram({"/usr/bin/python3", SourcePath("tests/e2e/openapi_check.py")},
                    {.input = input.dump()});
}

class OpenApi : public ::testing::Test {
 protected:
  void Serve(const Words& options = {}) {
    server_.reset();  // only one has the sessions open
    server_ = std::make_unique<Served>(folder_.path(), options);
  }

  // Notes the answer, too. `line` and `headers` are as Served has them.
  RawAnswer Ask(const std::string& line, const Json& body = nullptr, const std::string& more = "") {
    RawAnswer answer = server_->Ask(line, body.is_null() ? "" : body.dump(), headers_ + more);
    const size_t space = line.find(' ');
    const std::string type = answer.Header("content-type");
    const bool streams = type.starts_with("text/event-stream");
    answers_.push_back(
        {{"method", LowerCase(line.substr(0, space))},
         {"path", line.substr(space + 1)},
         {"status", answer.status},
         {"type", type.substr(0, type.find(';'))},
         {"body", streams ? Json(ChunksIn(answer.body)) : Json::parse(answer.body)}});
    return answer;
  }

  // Asks for all that the page does in a chat.
  void AskOfChats() {
    Ask("GET /props");
    Ask("GET /v1/models");
    Ask(std::string("GET /v1/models/") + kServedModel);
    Ask("GET /v1/models/none");
    Ask("GET /v1/me");
    Ask("POST /v1/sessions", {{"name", "a"}, {"system", "Be brief."}, {"metadata", {{"x", "y"}}}});
    Ask("POST /v1/sessions", {{"name", "a"}});
    Ask(kPostChat, TurnOf("a", "What is Fulmen?"), IdempotencyKey("k"));
    Ask("GET /v1/idempotency/k");
    Ask("GET /v1/idempotency/none");
    Json whole = ChatOf("Who are you?", 5);
    whole["logprobs"] = true;
    whole["top_logprobs"] = 2;
    whole["return_progress"] = true;
    Ask(kPostChat, whole);
    whole["stream"] = true;
    Ask(kPostChat, whole);
    Ask(kPostChat, {{"messages", 1}});
    AskWhileOneIsUnderWay();
    AskWithCalls();
    Ask("GET /v1/sessions?search=fulmen&limit=1");
    Ask("GET /v1/sessions/a");
    Ask("PATCH /v1/sessions/a", {{"expires_after", 1000}, {"metadata", {{"x", nullptr}}}});
    Ask("POST /v1/sessions/a/fork", {{"name", "b"}, {"turns", 1}});
    const RawAnswer file = Ask("GET /v1/sessions/a/export");
    Ask("PUT /v1/sessions/c", Json::parse(file.body));
    Ask("DELETE /v1/sessions/b");
  }

  // A long answer, which is then cancelled.
  void AskWhileOneIsUnderWay() {
    Ask("POST /v1/sessions", {{"name", "long"}});
    Json body = TurnOf("long", "Tell me a story");
    body["max_tokens"] = 3500;
    body["ignore_eos"] = true;
    RawClient client = server_->Open(kPostChat, body.dump(), headers_ + IdempotencyKey("long"));
    client.ReadHead();
    const std::regex text(R"("content":"[^"])");
    std::string chunk;
    while (client.ReadChunk(chunk) && !chunk.empty() && !std::regex_search(chunk, text)) {
    }
    Ask("GET /v1/sessions");
    Ask("GET /v1/sessions/long");
    EXPECT_TRUE(Member(answers_.back()["body"], "under_way").is_object());
    Ask("POST /v1/idempotency/long/cancel");
    client.Read();
    Ask("GET /v1/sessions/long");
  }

  // A turn whose messages have a call of a function and its result, as the session then has them.
  void AskWithCalls() {
    const Json function = {{"name", "time"}, {"arguments", R"({"zone": "UTC"})"}};
    const Json call = {{"id", "call_1"}, {"type", "function"}, {"function", function}};
    Json body = ChatOf("What time is it?", 5);
    body["session"] = "calls";
    body["messages"].push_back({{"role", "assistant"}, {"tool_calls", Json::array({call})}});
    body["messages"].push_back({{"role", "tool"}, {"tool_call_id", "call_1"}, {"content", "9"}});
    EXPECT_EQ(Ask(kPostChat, body).status, 200);
    Ask("GET /v1/sessions/calls");
  }

  Json Document() const { return server_->Get("/openapi.json"); }
  // They are what the document says, and nothing of it is left out.
  void ExpectAsDescribed() {
    const Json document = Document();
    const ProgramResult result = Check(document, answers_);
    if (result.exit_code == 77) GTEST_SKIP() << result.out;
    EXPECT_EQ(result.exit_code, 0) << result.out << result.err;
  }

  const TemporaryFolder folder_;
  std::unique_ptr<Served> server_;
  std::string headers_;
  Json answers_ = Json::array();
};

TEST_F(OpenApi, AnswersAreAsDescribed) {
  Serve();
  Ask("GET /v1/me");
  Ask("GET /v1/login");
  const std::string key(40, 'a');
  ASSERT_TRUE(WriteFileAtomically(folder_ / "keys", key + "\n"));
  Serve({"--api-key-file", folder_ / "keys"});
  Ask("GET /v1/me");
  Ask("GET /v1/login");
  Ask("POST /v1/login", {{"key", "none"}});
  Ask("POST /v1/login", {{"key", key}});
  Ask("POST /v1/logout", Json::object());
  headers_ = Bearer(key);
  AskOfChats();
  ExpectAsDescribed();
}

TEST_F(OpenApi, SoAreThoseOfAccounts) {
  const std::string path = folder_ / "ledger.db";
  std::string admin;
  std::string secret;
  {
    const auto ledger = Ledger::Open({.database = path}).value();
    ASSERT_TRUE(ledger->AddOrganisation("main", "CNY"));
    const KeySettings settings = {.name = "admin", .scope = KeyScope::kAdmin};
    admin = ledger->AddKey("main", settings).value().secret.Reveal();
  }
  Serve({"--accounts", path});
  headers_ = Bearer(admin);
  Ask("POST /admin/organisations", {{"name", "acme"}, {"time_zone", "Asia/Shanghai"}});
  Ask("GET /admin/organisations");
  Ask("POST /admin/prices", {{"model", kServedModel}, {"input", "1"}, {"output", "8.5"}});
  Ask("GET /admin/prices");
  Ask("POST /admin/deposits", {{"amount", "12.5"}, {"reference", "r"}});
  Ask("GET /admin/deposits");
  Ask("GET /admin/balance?organisation=main");
  const RawAnswer made = Ask("POST /admin/keys", {{"name", "k"}, {"concurrent", 3}});
  const Json key = Json::parse(made.body);
  ASSERT_TRUE(key.contains("secret")) << made.body;
  const std::string id = key["id"];
  Ask("POST /admin/keys", {{"name", "k"}, {"scope", "none"}});
  Ask("POST /admin/keys/" + id + "/limits", {{"spend_per_day", "100"}});
  Ask("GET /v1/me");

  headers_ = "";
  Ask("GET /v1/me");
  Ask("GET /v1/login");
  Ask("POST /v1/login", {{"key", "wrong"}});
  Ask("POST /v1/login", {{"key", key["secret"]}});
  Ask("POST /v1/logout", Json::object());
  headers_ = Bearer(key["secret"]);
  AskOfChats();
  Ask("GET /admin/keys");

  headers_ = Bearer(admin);
  Ask("GET /admin/keys");
  for (const char* by : {"day", "key", "model"}) {
    Ask(std::string("GET /admin/usage?from=2020-01-01&by=") + by);
  }
  Ask("GET /admin/usage/rows?limit=10");
  Ask("POST /admin/keys/" + id + "/revoke", Json::object());
  Ask("POST /admin/backup", {{"name", "copy"}});
  ExpectAsDescribed();
}

// Else the tests above would say nothing.
TEST_F(OpenApi, WhatIsNotDescribedIsFound) {
  Serve();
  const Json document = Document();
  const Json none = Json::array();
  const ProgramResult unasked = Check(document, none);
  if (unasked.exit_code == 77) GTEST_SKIP() << unasked.out;
  EXPECT_EQ(unasked.exit_code, 1);
  EXPECT_NE(unasked.out.find("get /props is described and was not asked"), std::string::npos);

  Ask("GET /props");
  answers_[0]["body"]["models"][0]["new"] = 1;
  EXPECT_NE(Check(document, answers_).out.find("get /props: models/0: Additional properties"),
            std::string::npos);
  answers_[0]["path"] = "/new";
  EXPECT_NE(Check(document, answers_).out.find("get /new: is not described"), std::string::npos);

  Json dangling = document;
  dangling["components"]["schemas"].erase("Money");
  EXPECT_NE(Check(dangling, none).out.find("nothing is at #/components/schemas/Money"),
            std::string::npos);
}

// Of each kind some.
TEST_F(OpenApi, HasTheRoutes) {
  Serve();
  const Json paths = Document()["paths"];
  for (const char* path : {"/", "/assets/{name}", "/health", "/ready", "/version", "/metrics",
                           "/openapi.json", "/tokenize", "/v1/completions", "/v1/messages",
                           "/v1/responses/{id}", "/v1/text/chatcompletion_v2"}) {
    EXPECT_TRUE(paths.contains(path)) << path;
  }
}

}  // namespace
}  // namespace fulmen::testing
