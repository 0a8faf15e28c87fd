// What servers answer is what their /openapi.json says, from which the page's types are made.
#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <string>

#include "accounts/ledger.h"
#include "base/ascii.h"
#include "serve/testing/openai_stream.h"
#include "tests/e2e/served.h"
#include "tests/testing/golden.h"
#include "tests/testing/subprocess.h"

namespace fulmen::testing {
namespace {

constexpr const char* kModel = "fulmen-nano";
constexpr const char* kChat = "POST /v1/chat/completions";

std::string Bearer(const std::string& secret) { return "Authorization: Bearer " + secret + "\r\n"; }
std::string Named(const std::string& name) { return "Idempotency-Key: " + name + "\r\n"; }

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
    Ask(std::string("GET /v1/models/") + kModel);
    Ask("GET /v1/models/none");
    Ask("GET /v1/me");
    Ask("POST /v1/sessions", {{"name", "a"}, {"system", "Be brief."}, {"metadata", {{"x", "y"}}}});
    Ask("POST /v1/sessions", {{"name", "a"}});
    Ask(kChat, TurnOf("a", "What is Fulmen?"), Named("k"));
    Ask("GET /v1/idempotency/k");
    Ask("GET /v1/idempotency/none");
    Json whole = ChatOf("Who are you?", 5);
    whole["logprobs"] = true;
    whole["top_logprobs"] = 2;
    whole["return_progress"] = true;
    Ask(kChat, whole);
    whole["stream"] = true;
    Ask(kChat, whole);
    Ask(kChat, {{"messages", 1}});
    AskWhileOneIsUnderWay();
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
    Json body = TurnOf("long", "Tell me a story");
    body["max_tokens"] = 3500;
    body["ignore_eos"] = true;
    RawClient client = server_->Open(kChat, body.dump(), headers_ + Named("long"));
    std::string chunk;
    client.ReadHead();
    while (client.ReadChunk(chunk) && chunk.find(R"("content":"T)") == std::string::npos &&
           chunk.find("\"predicted_n\"") == std::string::npos && !chunk.empty() && ++chunks_ < 20) {
    }
    Ask("GET /v1/sessions");
    Ask("GET /v1/sessions/long");
    Ask("POST /v1/idempotency/long/cancel");
    client.Read();
    Ask("GET /v1/sessions/long");
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
  int chunks_ = 0;
};

TEST_F(OpenApi, AnswersAreAsDescribed) {
  Serve();
  AskOfChats();
  Ask("POST /v1/login", {{"key", "none"}});
  Ask("POST /v1/logout", Json::object());
  // A server that asks for no key has none to sign in with, and so no answer but an error.
  answers_.push_back(answers_.front());
  answers_.back() = {{"method", "post"},
                     {"path", "/v1/login"},
                     {"status", 200},
                     {"type", "application/json"},
                     {"body", server_->Get("/v1/me")}};
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
  Ask("POST /admin/prices", {{"model", kModel}, {"input", "1"}, {"output", "8.5"}});
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

// Each is tried without what it takes: a route that is not there says 404 for the path itself.
TEST_F(OpenApi, HasTheRoutes) {
  Serve();
  const Json document = Document();
  std::set<std::string> paths;
  for (const auto& [path, operations] : document["paths"].items()) paths.insert(path);
  for (const char* path : {"/", "/assets/{name}", "/health", "/ready", "/version", "/metrics",
                           "/openapi.json", "/tokenize", "/v1/completions", "/v1/messages",
                           "/v1/responses/{id}", "/v1/text/chatcompletion_v2"}) {
    EXPECT_TRUE(paths.contains(path)) << path;
  }
}

}  // namespace
}  // namespace fulmen::testing
