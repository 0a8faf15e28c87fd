// Sessions as the page uses them, through a server without accounts: begun empty, answered under an
// Idempotency-Key, left and read along with, cancelled and gone on from, forked and searched.
#include <gtest/gtest.h>

#include <csignal>
#include <memory>
#include <regex>
#include <string>
#include <vector>

#include "base/file_io.h"
#include "serve/testing/openai_stream.h"
#include "tests/e2e/served.h"
#include "tests/testing/golden.h"

namespace fulmen::testing {
namespace {

// One turn as the page asks for it.
Json TurnOf(const std::string& session, const std::string& text, int max_tokens) {
  Json body = ChatOf(text, max_tokens);
  body["session"] = session;
  body["stream"] = true;
  body["stream_options"] = {{"include_usage", true}};
  body["return_progress"] = true;
  return body;
}
Json LongTurnOf(const std::string& session, const std::string& text) {
  Json body = TurnOf(session, text, 3500);
  body["ignore_eos"] = true;
  return body;
}

class PageSessions : public ::testing::Test {
 protected:
  Json Session(const std::string& name) const { return server_->Get("/v1/sessions/" + name); }
  // Reads a stream until it has some text.
  static void ReadSomeText(RawClient& client) {
    EXPECT_EQ(client.ReadHead().status, 200);
    const std::regex text(R"("content":"[^"])");
    std::string chunk;
    while (client.ReadChunk(chunk) && !chunk.empty() && !std::regex_search(chunk, text)) {
    }
  }

  const TemporaryFolder folder_;
  std::unique_ptr<Served> server_ = std::make_unique<Served>(folder_.path());
};

TEST_F(PageSessions, BeginEmptyAndKeepTheirAnswers) {
  const Json made = {
      {"name", "a"}, {"system", "Be brief."}, {"metadata", {{"chat", "c1"}, {"title", "First"}}}};
  const RawAnswer created = server_->Ask("POST /v1/sessions", made.dump());
  EXPECT_EQ(created.status, 201) << created.body;
  EXPECT_EQ(Json::parse(created.body)["turns"], Json::array());
  EXPECT_EQ(server_->Ask("POST /v1/sessions", made.dump()).status, 409);
  EXPECT_EQ(server_->Ask("POST /v1/sessions", R"({"name":"b","metadata":{"":"x"}})").status, 400);
  EXPECT_EQ(server_->Ask("POST /v1/sessions", R"({"name":"b","model":"none"})").status, 404);

  const RawAnswer answer =
      server_->Ask(kPostChat, TurnOf("a", "What is Fulmen?", 100).dump(), IdempotencyKey("k"));
  const std::vector<Json> chunks = ChunksIn(answer.body);
  ASSERT_FALSE(chunks.empty()) << answer.body;
  const Json& last = chunks.back();
  const Json session = Session("a");
  ASSERT_EQ(session["turns"].size(), 1U);
  const Json& turn = session["turns"][0];
  EXPECT_EQ(turn["messages"], 2);
  EXPECT_GT(turn["tokens"], 10);
  EXPECT_EQ(turn["answer"]["id"], last["id"]);
  EXPECT_EQ(turn["answer"]["created"], last["created"]);
  EXPECT_EQ(turn["answer"]["model"], last["model"]);
  EXPECT_EQ(turn["answer"]["finish_reason"], "stop");
  EXPECT_EQ(turn["answer"]["usage"], last["usage"]);
  EXPECT_EQ(turn["answer"]["timings"], last["timings"]);
  EXPECT_EQ(session["system"], "Be brief.");
  EXPECT_EQ(session["metadata"], made["metadata"]);
  EXPECT_EQ(session["under_way"], nullptr);
  EXPECT_EQ(Json::parse(created.body)["model"], session["model"]);

  // A file takes all of it along.
  const std::string file = server_->Ask("GET /v1/sessions/a/export").body;
  EXPECT_EQ(server_->Ask("PUT /v1/sessions/b", file).status, 201);
  EXPECT_EQ(Session("b")["turns"], session["turns"]);
  EXPECT_EQ(Session("b")["metadata"], session["metadata"]);

  const Json changes = {{"metadata", {{"title", nullptr}, {"settings", "{}"}}}};
  EXPECT_EQ(server_->Ask("PATCH /v1/sessions/a", changes.dump()).status, 200);
  EXPECT_EQ(Session("a")["metadata"], Json({{"chat", "c1"}, {"settings", "{}"}}));
}

TEST_F(PageSessions, TheirProgressIsTold) {
  std::string text;
  for (int i = 0; i < 200; ++i) text += "All work and no play makes a dull boy. ";
  const std::vector<Json> chunks =
      ChunksIn(server_->Ask(kPostChat, TurnOf("a", text, 5).dump()).body);
  std::vector<Json> told;
  for (const Json& chunk : chunks) {
    if (!chunk.contains("prompt_progress")) continue;
    EXPECT_EQ(chunk["choices"], Json::array());
    told.push_back(chunk["prompt_progress"]);
  }
  ASSERT_GE(told.size(), 2U);
  EXPECT_EQ(told.front()["cache"], told.front()["processed"]);
  EXPECT_EQ(told.back()["processed"], told.back()["total"]);
  EXPECT_EQ(told.back()["total"], chunks.back()["usage"]["prompt_tokens"]);
  const Json& timings = chunks.back()["timings"];
  EXPECT_EQ(timings["predicted_n"], chunks.back()["usage"]["completion_tokens"]);
  EXPECT_EQ(timings["cache_n"].get<int>() + timings["prompt_n"].get<int>(),
            told.back()["total"].get<int>());
  EXPECT_GT(timings["prompt_ms"], 0);
  EXPECT_GE(timings["queue_ms"], 0);
}

TEST_F(PageSessions, WhoLeftReadsAlongAndWhatIsCancelledIsGoneOnFrom) {
  ASSERT_EQ(server_->Ask("POST /v1/sessions", R"({"name":"a"})").status, 201);
  {
    RawClient client =
        server_->Open(kPostChat, LongTurnOf("a", "Tell me a story").dump(), IdempotencyKey("k"));
    ReadSomeText(client);
    client.Reset();
  }
  const Json under_way = Session("a")["under_way"];
  ASSERT_TRUE(under_way.is_object()) << under_way;
  EXPECT_EQ(under_way["idempotency_key"], "k");
  EXPECT_EQ(under_way["messages"][0]["content"], "Tell me a story");
  EXPECT_GT(under_way["started"], 1'700'000'000);
  EXPECT_EQ(server_->Get("/v1/sessions")["data"][0]["under_way"], under_way);
  EXPECT_EQ(server_->Ask(kPostChat, LongTurnOf("a", "Another").dump(), IdempotencyKey("k")).status,
            409);
  EXPECT_EQ(server_->Ask(kPostChat, TurnOf("a", "Another", 5).dump()).status, 409);

  // Several read along, and one of them leaves: that stops nothing.
  RawClient reader = server_->Open("GET /v1/idempotency/k");
  {
    RawClient leaves = server_->Open("GET /v1/idempotency/k");
    ReadSomeText(leaves);
    leaves.Reset();
  }
  EXPECT_TRUE(Session("a")["under_way"].is_object());
  EXPECT_EQ(server_->Ask("POST /v1/idempotency/k/cancel").status, 200);
  const RawAnswer read = reader.Read();
  ASSERT_TRUE(read.whole);
  const std::vector<Json> chunks = ChunksIn(read.body);
  ASSERT_GE(chunks.size(), 3U) << read.body;
  const int64_t sampled = chunks.back()["usage"]["completion_tokens"];
  EXPECT_GT(sampled, 0);
  EXPECT_LT(sampled, 3500);

  const Json session = Session("a");
  EXPECT_EQ(session["under_way"], nullptr);
  ASSERT_EQ(session["turns"].size(), 1U);
  EXPECT_EQ(session["turns"][0]["answer"]["finish_reason"], "cancelled");
  EXPECT_EQ(session["turns"][0]["answer"]["usage"], chunks.back()["usage"]);
  std::string said;
  for (const Json& chunk : chunks) {
    for (const Json& choice : chunk["choices"]) said += choice["delta"].value("content", "");
  }
  EXPECT_EQ(session["messages"][1]["content"], said);

  // The name is free again, and the conversation goes on from what was sampled.
  EXPECT_EQ(server_->Ask("GET /v1/idempotency/k").status, 404);
  EXPECT_EQ(server_->Ask("POST /v1/idempotency/k/cancel").status, 404);
  const std::vector<Json> next =
      ChunksIn(server_->Ask(kPostChat, TurnOf("a", "Go on", 5).dump(), IdempotencyKey("k")).body);
  ASSERT_FALSE(next.empty());
  EXPECT_GE(next.back()["usage"]["prompt_tokens_details"]["cached_tokens"],
            session["turns"][0]["tokens"].get<int64_t>() - 1);
  EXPECT_EQ(Session("a")["turns"].size(), 2U);
}

TEST_F(PageSessions, AnswersAreKeptForAWhile) {
  const std::string body = TurnOf("a", "What is Fulmen?", 50).dump();
  const RawAnswer first = server_->Ask(kPostChat, body, IdempotencyKey("k"));
  const RawAnswer along = server_->Ask("GET /v1/idempotency/k");
  EXPECT_EQ(along.body, first.body);
  EXPECT_EQ(along.Header("content-type"), first.Header("content-type"));
  EXPECT_EQ(along.Header("idempotent-replayed"), "true");
  EXPECT_EQ(server_->Ask(kPostChat, body, IdempotencyKey("k")).body, first.body);
  EXPECT_EQ(server_->Ask(kPostChat, TurnOf("a", "Else", 50).dump(), IdempotencyKey("k")).status,
            409);
  EXPECT_EQ(Session("a")["turns"].size(), 1U);
  // What was refused is not kept.
  EXPECT_EQ(server_->Ask(kPostChat, "{", IdempotencyKey("bad")).status, 400);
  EXPECT_EQ(server_->Ask("GET /v1/idempotency/bad").status, 404);
}

TEST_F(PageSessions, OnlyItsOwnerReads) {
  ASSERT_TRUE(WriteFileAtomically(folder_ / "keys",
                                  std::string(40, 'a') + "\n" + std::string(40, 'b') + "\n"));
  server_.reset();
  server_ = std::make_unique<Served>(folder_.path(), Words{"--api-key-file", folder_ / "keys"});
  const std::string mine = "x-api-key: " + std::string(40, 'a') + "\r\n";
  const std::string others = "x-api-key: " + std::string(40, 'b') + "\r\n";
  RawClient client = server_->Open(kPostChat, LongTurnOf("a", "Tell me a story").dump(),
                                   mine + IdempotencyKey("k"));
  ReadSomeText(client);
  EXPECT_EQ(server_->Ask("GET /v1/idempotency/k").status, 401);
  EXPECT_EQ(server_->Ask("GET /v1/idempotency/k", "", others).status, 404);
  EXPECT_EQ(server_->Ask("POST /v1/idempotency/k/cancel", "", others).status, 404);
  EXPECT_EQ(server_->Get("/v1/sessions", others)["data"], Json::array());
  EXPECT_EQ(server_->Ask("POST /v1/idempotency/k/cancel", "", mine).status, 200);
}

// A request without a key is nobody else's: it ends with its client, and nothing is kept.
TEST_F(PageSessions, WhatWasLeftWithoutAKeyIsNotKept) {
  ASSERT_EQ(server_->Ask("POST /v1/sessions", R"({"name":"a"})").status, 201);
  {
    RawClient client = server_->Open(kPostChat, LongTurnOf("a", "Tell me a story").dump());
    ReadSomeText(client);
    client.Reset();
  }
  EXPECT_TRUE(Eventually([&] { return Session("a")["under_way"].is_null(); }));
  EXPECT_EQ(Session("a")["turns"], Json::array());
}

TEST_F(PageSessions, ThoughtsAreToldApart) {
  const std::string script = folder_ / "script";
  ASSERT_TRUE(WriteFileAtomically(
      script, R"({"when": "why", "answer": "<think>\nHm, hm.\n</think>\nFor this."})"
              "\n"));
  const TemporaryFolder other;
  const Served server(other.path(), {"--chat-format", "m1", "--script", script});
  Json body = ChatOf("Say why", 100);
  body["session"] = "a";
  const Json told = server.Post("/v1/chat/completions", body)["choices"][0]["message"];
  EXPECT_EQ(told["reasoning_content"], "Hm, hm.");
  const Json kept = server.Get("/v1/sessions/a")["messages"][1];
  EXPECT_EQ(kept["reasoning_content"], told["reasoning_content"]);
  EXPECT_EQ(kept["content"], told["content"]);
}

TEST_F(PageSessions, ForkAtATurnAndAreSearched) {
  for (const char* text : {"Was ist ein BLITZ? Ü", "And thunder?"}) {
    ASSERT_EQ(server_->Ask(kPostChat, TurnOf("a", text, 30).dump()).status, 200);
  }
  const Json original = Session("a");
  const Json fork = {{"name", "b"}, {"turns", 1}, {"metadata", {{"title", "A branch"}}}};
  server_->Post("/v1/sessions/a/fork", fork);
  const Json branch = Session("b");
  ASSERT_EQ(branch["turns"].size(), 1U);
  EXPECT_EQ(branch["turns"][0], original["turns"][0]);
  EXPECT_EQ(branch["metadata"], fork["metadata"]);
  EXPECT_EQ(server_->Ask(kPostChat, TurnOf("b", "And rain?", 30).dump()).status, 200);
  EXPECT_EQ(Session("b")["turns"].size(), 2U);
  EXPECT_EQ(Session("a"), original);
  EXPECT_EQ(server_->Ask("POST /v1/sessions/a/fork", R"({"name":"c","turns":3})").status, 400);

  using Names = std::vector<std::string>;
  const auto listed = [&](const std::string& query) {
    Names names;
    const Json list = server_->Get("/v1/sessions?" + query);
    for (const Json& each : list["data"]) names.push_back(each["name"]);
    return names;
  };
  // Both were used in one second, or in two.
  const Names all = listed("");
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(listed("search=blitz"), all);
  EXPECT_EQ(listed("search=%C3%BC&limit=1"), Names{all[0]});
  EXPECT_EQ(listed("limit=1"), Names{all[0]});
  EXPECT_EQ(listed("limit=1&after=" + all[0]), Names{all[1]});
  EXPECT_EQ(listed("search=thunder"), Names{"a"});
  EXPECT_EQ(listed("search=BRANCH"), Names{"b"});
  EXPECT_EQ(listed("search=%25"), Names());
  EXPECT_EQ(server_->Ask("GET /v1/sessions?limit=x").status, 400);
  EXPECT_EQ(server_->Ask("GET /v1/sessions?after=none").status, 404);
  const Json match = server_->Get("/v1/sessions?search=thunder")["data"][0]["match"];
  EXPECT_EQ(match["turn"], 1);
  EXPECT_EQ(match["excerpt"], "And thunder?");
  EXPECT_EQ(server_->Get("/v1/sessions?search=branch")["data"][0]["match"]["turn"], nullptr);
}

}  // namespace
}  // namespace fulmen::testing
