// A server that people pay for, as its clients see it and as its ledger has it.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <csignal>
#include <memory>
#include <string>
#include <vector>

#include "accounts/ledger.h"
#include "tests/e2e/served.h"
#include "tests/testing/golden.h"

namespace fulmen::testing {
namespace {

constexpr Prices kPrices = {.text = {10}, .cached = {1}, .image = {20}, .output = {100}};
constexpr const char* kChatPath = "/v1/chat/completions";
constexpr int64_t kForever = INT64_MAX;

class Accounts : public ::testing::Test {
 protected:
  Accounts() {
    Open();
    EXPECT_TRUE(ledger_->AddOrganisation("acme", "CNY"));
    EXPECT_TRUE(ledger_->SetPrices(kServedModel, "CNY", kPrices));
  }

  // The file is open for the server or for the test, never for both.
  void Open() { ledger_ = Ledger::Open({.database = path_}).value(); }
  void Serve(const Words& more = {}) {
    ledger_.reset();
    Words options = {"--accounts", path_};
    options.insert(options.end(), more.begin(), more.end());
    server_ = std::make_unique<Served>(folder_.path(), options);
  }
  void EndServer() {
    EXPECT_EQ(server_->End(SIGTERM), 0);
    Open();
  }

  std::string AddKey(const KeyLimits& limits = {}, const std::string& organisation = "acme") {
    const NewKey made =
        ledger_->AddKey(organisation, {.name = "of a test", .limits = limits}).value();
    return Bearer(made.secret.Reveal());
  }
  void Deposit(int64_t nanos) {
    EXPECT_TRUE(ledger_->Deposit("acme", {nanos}, fmt::format("ref {}", ++deposits_)).value());
  }
  int64_t Left() { return ledger_->BalanceOf("acme").value().balance.nanos; }
  UsageLine Used() {
    const auto lines = ledger_->Usage("acme", UsageGroup::kModel, 0, kForever).value();
    return lines.empty() ? UsageLine() : lines.front();
  }
  Json Error(const std::string& path, const Json& body, const std::string& headers, int status) {
    const RawAnswer answer = server_->Ask("POST " + path, body.dump(), headers);
    EXPECT_EQ(answer.status, status) << answer.body;
    EXPECT_EQ(answer.body.find("sk-fulmen-"), std::string::npos) << "no key is told again";
    last_ = answer;
    return Json::parse(answer.body);
  }

  const TemporaryFolder folder_;
  const std::string path_ = folder_ / "ledger.db";
  std::unique_ptr<Ledger> ledger_;
  std::unique_ptr<Served> server_;
  RawAnswer last_;
  int deposits_ = 0;
};

Json MessagesOf(const std::string& text) {
  return {{"model", kServedModel},
          {"max_tokens", 20},
          {"messages", {{{"role", "user"}, {"content", text}}}}};
}

TEST_F(Accounts, WhatTheClientIsToldIsWhatItsRowSays) {
  const std::string key = AddKey();
  Deposit(10'000'000);
  Serve();
  std::string text;
  for (int i = 0; i < 20; ++i) text += "Tom lives in Rome. ";
  const Json chat = server_->Post(kChatPath, ChatOf(text, 30), key);
  const Json again = server_->Post(kChatPath, ChatOf(text, 30), key);
  EndServer();
  const auto number = [&](const Json& answer, const char* name) {
    return answer["usage"][name].get<int64_t>();
  };
  const UsageLine used = Used();
  EXPECT_EQ(used.requests, 2);
  const int64_t prompt = number(chat, "prompt_tokens");
  const int64_t cached = again["usage"]["prompt_tokens_details"]["cached_tokens"].get<int64_t>();
  EXPECT_EQ(used.tokens.prompt, 2 * prompt);
  EXPECT_GT(cached, 0);
  EXPECT_EQ(used.tokens.cached, cached);
  EXPECT_EQ(used.tokens.text, 2 * prompt - cached);
  EXPECT_EQ(used.tokens.output,
            number(chat, "completion_tokens") + number(again, "completion_tokens"));
  EXPECT_EQ(used.charge.nanos,
            10 * used.tokens.text + 1 * used.tokens.cached + 100 * used.tokens.output);
  EXPECT_EQ(Left(), 10'000'000 - used.charge.nanos);
}

// With its usage, to the last 10^-9.
TEST_F(Accounts, EveryApiTellsWhatItCost) {
  const std::string key = AddKey();
  Deposit(10'000'000);
  Serve();
  const std::string text = "Tom lives in Rome.";
  const std::vector<std::pair<std::string, Json>> calls = {
      {kChatPath, ChatOf(text, 3)},
      {"/v1/completions", {{"prompt", {text, "Two"}}, {"max_tokens", 3}, {"n", 2}}},
      {"/v1/responses", {{"input", text}, {"max_output_tokens", 3}}},
      {"/v1/messages", MessagesOf(text)},
      {"/v1/text/chatcompletion_v2", MessagesOf(text)}};
  int64_t told = 0;
  for (const auto& [path, body] : calls) {
    const Json usage = server_->Post(path, body, key)["usage"];
    EXPECT_EQ(usage["currency"], "CNY") << path << usage;
    told += ParseMoney(usage["cost"].get<std::string>()).value().nanos;
  }
  Json stream = ChatOf(text, 3);
  stream["stream"] = true;
  stream["stream_options"] = {{"include_usage", true}};
  const std::string events =
      server_->Ask(std::string("POST ") + kChatPath, stream.dump(), key).body;
  const size_t cost = events.rfind(R"("cost":")");
  ASSERT_NE(cost, std::string::npos) << events;
  const size_t begin = cost + 8;
  told += ParseMoney(events.substr(begin, events.find('"', begin) - begin)).value().nanos;
  EndServer();
  EXPECT_EQ(told, 10'000'000 - Left());
}

TEST_F(Accounts, StrangersGetNothing) {
  const auto revoked = ledger_->AddKey("acme", {.name = "old"}).value();
  ASSERT_TRUE(ledger_->RevokeKey(revoked.key.id));
  Deposit(10'000'000);
  Serve();
  for (const std::string& headers :
       {std::string(), Bearer("sk-fulmen-wrong"), Bearer(revoked.secret.Reveal())}) {
    EXPECT_EQ(Error(kChatPath, ChatOf("Hi"), headers, 401)["error"]["code"], "invalid_api_key");
    EXPECT_EQ(Error("/v1/messages", MessagesOf("Hi"), headers, 401)["error"]["type"],
              "authentication_error");
    EXPECT_EQ(Error("/v1/text/chatcompletion_v2", MessagesOf("Hi"), headers,
                    200)["base_resp"]["status_code"],
              1004);
  }
  EXPECT_EQ(server_->Ask("GET /metrics").status, 401);
  EndServer();
  EXPECT_EQ(Used().requests, 0);
}

TEST_F(Accounts, WhoHasNothingLeftIsTold) {
  const std::string key = AddKey();
  Deposit(1'000);  // ten tokens
  Serve();
  EXPECT_EQ(Error(kChatPath, ChatOf("Hi"), key, 402)["error"]["code"], "insufficient_quota");
  EXPECT_EQ(Error("/v1/messages", MessagesOf("Hi"), key, 402)["error"]["type"], "billing_error");
  EXPECT_EQ(
      Error("/v1/text/chatcompletion_v2", MessagesOf("Hi"), key, 200)["base_resp"]["status_code"],
      1008);
  EndServer();
  EXPECT_EQ(Used().requests, 0);
  EXPECT_EQ(Left(), 1'000);
}

TEST_F(Accounts, AnAnswerEndsWhereTheBalanceDoes) {
  const std::string key = AddKey();
  Deposit(300 * 100);  // 300 tokens, less the prompt
  Serve();
  for (const bool stream : {false, true}) {
    const RawAnswer answer =
        server_->Ask("POST /v1/completions", LongText(1000, stream).dump(), key);
    if (stream) {
      EXPECT_EQ(answer.status, 402) << "what is left does not pay for 256 tokens";
      continue;
    }
    const Json text = Json::parse(answer.body);
    EXPECT_EQ(text["choices"][0]["finish_reason"], "length") << text;
    EXPECT_EQ(text["choices"][0]["stop_reason"], "insufficient_quota");
    EXPECT_GT(text["usage"]["completion_tokens"], 256);
  }
  EndServer();
  EXPECT_GE(Left(), 0);
  EXPECT_LT(Left(), 100 + 20);
  EXPECT_EQ(Left(), 300 * 100 - Used().charge.nanos);
}

TEST_F(Accounts, WhoLeavesPaysForWhatWasComputed) {
  const std::string key = AddKey();
  Deposit(10'000'000);
  Serve();
  {
    RawClient client = server_->Open("POST /v1/completions", LongText(3500, true).dump(), key);
    EXPECT_EQ(client.ReadHead().status, 200);
    std::string piece;
    for (int i = 0; i < 20; ++i) EXPECT_TRUE(client.ReadChunk(piece));
    client.Reset();
  }
  EXPECT_TRUE(
      Eventually([&] { return server_->Err().find("POST /v1/completions") != std::string::npos; }));
  EndServer();
  const UsageLine used = Used();
  EXPECT_EQ(used.requests, 1);
  EXPECT_GE(used.tokens.output, 19);
  EXPECT_LT(used.tokens.output, 3500);
  EXPECT_EQ(ledger_->BalanceOf("acme").value().held.nanos, 0);
}

TEST_F(Accounts, ManyAtOnceStayWithinTheirLimits) {
  const std::string key = AddKey({.requests_per_minute = 3, .tokens_per_minute = 2'000});
  Deposit(1'000'000'000);
  Serve();
  int passed = 0;
  for (int i = 0; i < 5; ++i) {
    const RawAnswer answer =
        server_->Ask(std::string("POST ") + kChatPath, ChatOf("Hi", 4).dump(), key);
    passed += answer.status == 200 ? 1 : 0;
    EXPECT_EQ(answer.Header("x-ratelimit-limit-requests"), "3") << answer.head;
    EXPECT_EQ(answer.Header("x-ratelimit-limit-tokens"), "2000");
    if (answer.status == 200) {
      EXPECT_EQ(answer.Header("x-ratelimit-remaining-requests"), std::to_string(2 - i));
      continue;
    }
    EXPECT_EQ(answer.status, 429);
    EXPECT_EQ(Json::parse(answer.body)["error"]["code"], "rate_limit_exceeded");
    EXPECT_GT(std::stoi(answer.Header("retry-after-ms")), 10'000);
  }
  EXPECT_EQ(passed, 3);
  const RawAnswer anthropic = server_->Ask("POST /v1/messages", MessagesOf("Hi").dump(), key);
  EXPECT_EQ(anthropic.status, 429);
  EXPECT_EQ(anthropic.Header("anthropic-ratelimit-requests-remaining"), "0");
  EXPECT_EQ(
      Error("/v1/text/chatcompletion_v2", MessagesOf("Hi"), key, 200)["base_resp"]["status_code"],
      1002);
  std::string words;
  for (int i = 0; i < 2000; ++i) words += "word ";
  EXPECT_EQ(Error(kChatPath, ChatOf(words, 4), key, 429)["error"]["type"], "requests");
  EndServer();
  EXPECT_EQ(Used().requests, 3);
}

TEST_F(Accounts, WhatIsTooLargeForALimitIsNotTriedAgain) {
  const std::string key = AddKey({.tokens_per_minute = 1'000});
  Deposit(1'000'000'000);
  Serve();
  std::string words;
  for (int i = 0; i < 1500; ++i) words += "word ";
  const Json error = Error(kChatPath, ChatOf(words, 4), key, 429);
  EXPECT_EQ(error["error"]["type"], "tokens");
  EXPECT_EQ(last_.Header("x-should-retry"), "false");
  EXPECT_NE(error["error"]["message"].get<std::string>().find("1000"), std::string::npos) << error;
  EXPECT_EQ(
      Error("/v1/text/chatcompletion_v2", MessagesOf(words), key, 200)["base_resp"]["status_code"],
      1039);
  EndServer();
}

// Nobody of another organisation finds what one keeps, by any route.
TEST_F(Accounts, OrganisationsSeeNothingOfEachOther) {
  const std::string key = AddKey();
  const std::string same = AddKey();
  ASSERT_TRUE(ledger_->AddOrganisation("other", "CNY"));
  ASSERT_TRUE(ledger_->Deposit("other", {1'000'000'000}, "of the other"));
  const std::string other = AddKey({}, "other");
  Deposit(1'000'000'000);
  Serve();
  const std::string text = "Tom lives in Rome. Where does Tom live?";
  const Json response =
      server_->Post("/v1/responses", {{"model", kServedModel}, {"input", text}}, key);
  server_->Post(kChatPath, ChatOf(text), key + "Session: tom\r\n");
  const std::string id = response["id"];
  EXPECT_EQ(server_->Ask("GET /v1/responses/" + id, "", same).status, 200);
  EXPECT_EQ(server_->Ask("GET /v1/sessions/tom", "", same).status, 200);
  for (const std::string& line : std::vector<std::string>{
           "GET /v1/responses/" + id, "DELETE /v1/responses/" + id,
           "POST /v1/responses/" + id + "/cancel", "GET /v1/responses/" + id + "/input_items",
           "GET /v1/sessions/tom", "GET /v1/sessions/tom/export", "DELETE /v1/sessions/tom"}) {
    EXPECT_EQ(server_->Ask(line, "", other).status, 404) << line;
  }
  EXPECT_EQ(server_->Get("/v1/sessions", other)["data"].size(), 0U);
  const Json goes_on = {
      {"model", kServedModel}, {"input", "And now?"}, {"previous_response_id", id}};
  EXPECT_EQ(Error("/v1/responses", goes_on, other, 404)["error"]["code"], "not_found");
  const Json refers = {{"model", kServedModel},
                       {"input",
                        {{{"type", "item_reference"}, {"id", response["output"][0]["id"]}},
                         {{"role", "user"}, {"content", "And now?"}}}}};
  EXPECT_EQ(server_->Ask("POST /v1/responses", refers.dump(), same).status, 200);
  EXPECT_NE(server_->Ask("POST /v1/responses", refers.dump(), other).status, 200);
  // What one has read is new to the other, so its time tells nothing.
  const auto cached = [&](const std::string& headers) {
    return server_
        ->Post(kChatPath, ChatOf(text, 1),
               headers)["usage"]["prompt_tokens_details"]["cached_tokens"]
        .get<int64_t>();
  };
  EXPECT_GT(cached(same), 0);
  EXPECT_EQ(cached(other), 0);
  EXPECT_GT(cached(other), 0);
  EXPECT_EQ(server_->Ask("GET /metrics", "", key).status, 403);
  EndServer();
}

}  // namespace
}  // namespace fulmen::testing
