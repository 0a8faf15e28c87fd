// Requests with an Idempotency-Key are computed and charged once.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <csignal>
#include <future>
#include <memory>
#include <string>

#include "accounts/ledger.h"
#include "tests/e2e/served.h"
#include "tests/testing/golden.h"

namespace fulmen::testing {
namespace {

constexpr const char* kText = "POST /v1/completions";

class Idempotent : public ::testing::Test {
 protected:
  Idempotent() {
    Open();
    EXPECT_TRUE(ledger_->SetPrices("fulmen-nano", "CNY",
                                   {.text = {10}, .cached = {1}, .image = {10}, .output = {100}}));
    for (const std::string name : {"one", "other"}) {
      EXPECT_TRUE(ledger_->AddOrganisation(name, "CNY"));
      EXPECT_TRUE(ledger_->Deposit(name, {1'000'000'000}, "of " + name));
    }
    key_ = Bearer("one");
    other_ = Bearer("other");
    Serve();
  }

  void Open() { ledger_ = Ledger::Open({.database = folder_ / "ledger.db"}).value(); }
  void Serve() {
    ledger_.reset();
    server_ = std::make_unique<Served>(folder_.path(), Words{"--accounts", "ledger.db"});
  }
  // The rows of an organisation; the server has to start again for more.
  std::vector<UsageRow> Rows(const std::string& organisation = "one") {
    server_->Signal(SIGKILL);
    server_->Wait();
    Open();
    auto rows = ledger_->Rows(organisation, 0, INT64_MAX, 100).value();
    EXPECT_EQ(ledger_->BalanceOf(organisation).value().held.nanos, 0);
    return rows;
  }
  std::string Bearer(const std::string& organisation) {
    const NewKey made = ledger_->AddKey(organisation, {.name = "of a test"}).value();
    return "Authorization: Bearer " + made.secret.Reveal() + "\r\n";
  }

  const TemporaryFolder folder_;
  std::unique_ptr<Ledger> ledger_;
  std::unique_ptr<Served> server_;
  std::string key_;
  std::string other_;
};

TEST_F(Idempotent, TheSecondGetsTheAnswerOfTheFirstAlsoAfterARestart) {
  const std::string body = ChatOf("What is Fulmen?").dump();
  Json stream = ChatOf("What is Fulmen?");
  stream["stream"] = true;
  const RawAnswer first = server_->Ask(kPostChat, body, key_ + IdempotencyKey("a"));
  const RawAnswer streamed = server_->Ask(kPostChat, stream.dump(), key_ + IdempotencyKey("b"));
  EXPECT_EQ(first.status, 200);
  EXPECT_EQ(first.Header("idempotent-replayed"), "");
  EXPECT_TRUE(streamed.body.ends_with("data: [DONE]\n\n")) << streamed.body;
  for (const bool restarted : {false, true}) {
    const RawAnswer again = server_->Ask(kPostChat, body, key_ + IdempotencyKey("a"));
    EXPECT_EQ(again.status, 200);
    EXPECT_EQ(again.body, first.body);
    EXPECT_EQ(again.Header("content-type"), first.Header("content-type"));
    EXPECT_EQ(again.Header("idempotent-replayed"), "true");
    const RawAnswer once_more = server_->Ask(kPostChat, stream.dump(), key_ + IdempotencyKey("b"));
    EXPECT_EQ(once_more.body, streamed.body);
    EXPECT_EQ(once_more.Header("content-type"), streamed.Header("content-type"));
    const RawAnswer along = server_->Ask("GET /v1/idempotency/b", "", key_);
    EXPECT_EQ(along.body, streamed.body);
    EXPECT_EQ(along.Header("content-type"), streamed.Header("content-type"));
    EXPECT_EQ(server_->Ask("GET /v1/idempotency/b", "", other_).status, 404);
    EXPECT_EQ(server_->Ask("GET /v1/idempotency/c", "", key_).status, 404);
    if (restarted) break;
    EXPECT_EQ(Rows().size(), 2U);
    Serve();
  }
  EXPECT_EQ(Rows().size(), 2U);
}

TEST_F(Idempotent, AnotherBodyIsAConflictAndAnotherOwnerAnother) {
  const std::string body = ChatOf("Hi").dump();
  EXPECT_EQ(server_->Ask(kPostChat, body, key_ + IdempotencyKey("a")).status, 200);
  EXPECT_EQ(server_->Ask(kPostChat, ChatOf("Ho").dump(), key_ + IdempotencyKey("a")).status, 409);
  EXPECT_EQ(server_->Ask(kPostChat, body, key_ + "Session: s\r\n" + IdempotencyKey("a")).status,
            409);
  const RawAnswer others = server_->Ask(kPostChat, body, other_ + IdempotencyKey("a"));
  EXPECT_EQ(others.status, 200);
  EXPECT_EQ(others.Header("idempotent-replayed"), "");
  EXPECT_EQ(server_->Ask(kPostChat, body, key_ + IdempotencyKey(std::string(300, 'x'))).status,
            400);
  EXPECT_EQ(Rows().size(), 1U);
}

TEST_F(Idempotent, GoesOnWhenItsClientLeavesAndWhoComesBackReadsAlong) {
  const std::string body = LongText(600, true).dump();
  {
    RawClient client = server_->Open(kText, body, key_ + IdempotencyKey("a"));
    EXPECT_EQ(client.ReadHead().status, 200);
    client.Reset();
  }
  auto twice = std::async(std::launch::async, [&] {
    return server_->Ask(kText, body, key_ + IdempotencyKey("a")).body;
  });
  const std::string whole = server_->Ask(kText, body, key_ + IdempotencyKey("a")).body;
  EXPECT_TRUE(whole.ends_with("data: [DONE]\n\n")) << whole;
  EXPECT_EQ(twice.get(), whole);
  const auto rows = Rows();
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_EQ(rows[0].outcome, "length");
  EXPECT_EQ(rows[0].tokens.output, 600);
}

TEST_F(Idempotent, OnlyItsOwnerStopsIt) {
  const std::string body = LongText(3500, true).dump();
  RawClient client = server_->Open(kText, body, key_ + IdempotencyKey("a"));
  EXPECT_EQ(client.ReadHead().status, 200);
  const std::string cancel = "POST /v1/idempotency/a/cancel";
  EXPECT_EQ(server_->Ask(cancel, "{}", other_).status, 404);
  EXPECT_EQ(server_->Ask(cancel, "{}", key_).status, 200);
  EXPECT_TRUE(Eventually([&] { return server_->Ask(cancel, "{}", key_).status == 404; }));
  const auto rows = Rows();
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_EQ(rows[0].outcome, "cancelled");
  EXPECT_LT(rows[0].tokens.output, 3500);
}

// It is paid for, and the session goes on from it.
TEST_F(Idempotent, ACancelledTurnOfASessionIsKeptWithItsCost) {
  Json body = ChatOf("Tell me a story", 3500);
  body["ignore_eos"] = true;
  body["stream"] = true;
  body["session"] = "s";
  RawClient client = server_->Open(kPostChat, body.dump(), key_ + IdempotencyKey("a"));
  EXPECT_EQ(client.ReadHead().status, 200);
  std::string chunk;
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(client.ReadChunk(chunk));
  EXPECT_EQ(server_->Ask("POST /v1/idempotency/a/cancel", "{}", key_).status, 200);
  while (client.ReadChunk(chunk) && !chunk.empty()) {
  }
  const Json session = server_->Get("/v1/sessions/s", key_);
  ASSERT_EQ(session["turns"].size(), 1U) << session;
  const Json answer = session["turns"][0]["answer"];
  EXPECT_EQ(answer["finish_reason"], "cancelled");
  const auto rows = Rows();
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_EQ(rows[0].outcome, "cancelled");
  EXPECT_EQ(answer["usage"]["completion_tokens"], rows[0].tokens.output);
  EXPECT_EQ(answer["usage"]["currency"], "CNY");
  EXPECT_NE(answer["usage"]["cost"], "0");
}

TEST_F(Idempotent, WhatCrashedRunsAnew) {
  const std::string body = LongText(3500, true).dump();
  RawClient client = server_->Open(kText, body, key_ + IdempotencyKey("a"));
  EXPECT_EQ(client.ReadHead().status, 200);
  EXPECT_EQ(Rows().size(), 1U);
  Serve();
  const RawAnswer again =
      server_->Ask(kText, LongText(10, true).dump(), key_ + IdempotencyKey("a"));
  EXPECT_EQ(again.status, 200) << "the name is free again";
  const auto rows = Rows();
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows[0].outcome, "crashed");
  EXPECT_EQ(rows[0].charge.nanos, 0);
  EXPECT_EQ(rows[1].tokens.output, 10);
}

TEST_F(Idempotent, ErrorsBeforeWorkAreNotKept) {
  EXPECT_EQ(server_->Ask(kPostChat, "{", key_ + IdempotencyKey("a")).status, 400);
  EXPECT_EQ(server_->Ask(kPostChat, R"({"messages": 1})", key_ + IdempotencyKey("a")).status, 400);
  const RawAnswer good = server_->Ask(kPostChat, ChatOf("Hi").dump(), key_ + IdempotencyKey("a"));
  EXPECT_EQ(good.status, 200);
  EXPECT_EQ(good.Header("idempotent-replayed"), "");
}

}  // namespace
}  // namespace fulmen::testing
