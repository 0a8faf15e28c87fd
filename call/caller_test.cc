#include "call/caller.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <string>
#include <vector>

#include "call/testing/scripted_server.h"

namespace fulmen {
namespace {

using testing::JsonAnswer;
using testing::ScriptedAnswer;
using testing::ScriptedServer;
using testing::StreamAnswer;

constexpr const char* kHello =
    R"({"choices":[{"message":{"content":"Hello."},"finish_reason":"stop"}]})";
constexpr const char* kBegun = "data: {\"choices\":[{\"delta\":{\"content\":\"Hel\"}}]}\n\n";

// A caller of a server, and what it told.
struct Called {
  explicit Called(std::vector<ScriptedAnswer> answers) : server(std::move(answers)) {}

  CallResult<Reply> Ask(Api api = Api::kOpenai) {
    ApiCaller caller(
        {.api = api, .url = server.url(), .key = "secret"},
        {.most = 2, .first_pause = std::chrono::milliseconds(40)},
        {.on_piece = [this](bool, std::string_view piece) -> Status {
           text += piece;
           if (stop_after_piece) stopped = true;
           return {};
         },
         .on_retry = [this](const CallError&,
                            std::chrono::milliseconds pause) { pauses.push_back(pause.count()); },
         .stopped = [this] { return stopped.load(); }});
    return caller.Ask({.model = "m", .messages = Json::array({UserMessage("Hi", {})})});
  }

  ScriptedServer server;
  std::string text;
  std::vector<int64_t> pauses;
  bool stop_after_piece = false;
  std::atomic<bool> stopped = false;
};

TEST(ApiCaller, TriesAgainAfterLongerWaits) {
  Called called({JsonAnswer(429, "{}"), JsonAnswer(503, "{}"), JsonAnswer(200, kHello)});
  const auto reply = called.Ask();
  ASSERT_TRUE(reply) << reply.error().error.message;
  EXPECT_EQ(called.text, "Hello.");
  ASSERT_EQ(called.pauses.size(), 2U);
  EXPECT_GE(called.pauses[0], 30);
  EXPECT_LE(called.pauses[0], 50);
  EXPECT_GE(called.pauses[1], 60);
  EXPECT_EQ(called.server.requests().size(), 3U);
}

TEST(ApiCaller, GivesUpAtLast) {
  Called called({JsonAnswer(429, R"({"error":{"message":"slow down"}})")});
  const auto reply = called.Ask();
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().kind, CallError::Kind::kLimit);
  EXPECT_NE(reply.error().error.message.find("slow down"), std::string::npos);
  EXPECT_EQ(called.server.requests().size(), 3U);
}

TEST(ApiCaller, DoesWhatTheServerAsks) {
  Called waits({JsonAnswer(429, "{}", "retry-after-ms: 120\r\n"), JsonAnswer(200, kHello)});
  EXPECT_TRUE(waits.Ask());
  EXPECT_EQ(waits.pauses, (std::vector<int64_t>{120}));
  Called long_wait({JsonAnswer(429, "{}", "Retry-After: 3600\r\n"), JsonAnswer(200, kHello)});
  const auto reply = long_wait.Ask();
  ASSERT_FALSE(reply);
  EXPECT_NE(reply.error().error.message.find("3600 s"), std::string::npos);
  Called never({JsonAnswer(500, "{}", "x-should-retry: false\r\n"), JsonAnswer(200, kHello)});
  EXPECT_FALSE(never.Ask());
  EXPECT_EQ(never.server.requests().size(), 1U);
}

TEST(ApiCaller, TriesNothingAgainThatCannotHelp) {
  for (const int status : {400, 401, 402, 403, 404, 413}) {
    Called called({JsonAnswer(status, "{}"), JsonAnswer(200, kHello)});
    EXPECT_FALSE(called.Ask());
    EXPECT_EQ(called.server.requests().size(), 1U) << status;
  }
}

// MiniMax's own way to say it, as documented: status 200.
TEST(ApiCaller, TriesAgainAfterAnErrorInsideAnAnswer) {
  Called called({JsonAnswer(200, R"({"base_resp":{"status_code":1002,"status_msg":"busy"}})"),
                 JsonAnswer(200, kHello)});
  EXPECT_TRUE(called.Ask(Api::kMinimax));
  EXPECT_EQ(called.pauses.size(), 1U);
}

TEST(ApiCaller, TakesNothingBackThatWasShown) {
  Called called({StreamAnswer(kBegun), JsonAnswer(200, kHello)});
  EXPECT_FALSE(called.Ask());
  EXPECT_EQ(called.text, "Hel");
  EXPECT_EQ(called.server.requests().size(), 1U);
  Called nothing({StreamAnswer(": wait\n\n"), JsonAnswer(200, kHello)});
  EXPECT_TRUE(nothing.Ask());
}

TEST(ApiCaller, FollowsNoRedirect) {
  ScriptedServer elsewhere({JsonAnswer(200, kHello)});
  for (const int status : {301, 302, 303, 307, 308}) {
    Called called({JsonAnswer(status, "", "Location: " + elsewhere.url() + "/x\r\n")});
    const auto reply = called.Ask();
    ASSERT_FALSE(reply);
    EXPECT_NE(reply.error().error.message.find(elsewhere.url()), std::string::npos);
    EXPECT_EQ(reply.error().error.message.find("secret"), std::string::npos);
  }
  EXPECT_TRUE(elsewhere.requests().empty());
}

TEST(ApiCaller, StopsInTheMiddleOfAnAnswer) {
  Called called({StreamAnswer(kBegun, /*holds=*/true)});
  called.stop_after_piece = true;
  const auto reply = called.Ask();
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().error.code, ErrorCode::kCancelled);
  for (int i = 0; i < 500 && called.server.left() == 0; ++i) usleep(10'000);
  EXPECT_EQ(called.server.left(), 1);
}

TEST(ApiCaller, HidesTheKeyFromWhoLooks) {
  const ApiCaller caller({.api = Api::kAnthropic, .url = "http://h", .key = "secret"}, {},
                         {.on_piece = {}, .on_retry = {}, .stopped = [] { return false; }});
  const std::string shown = caller.Shown({.model = "m"}).dump();
  EXPECT_EQ(shown.find("secret"), std::string::npos);
  EXPECT_NE(shown.find("x-api-key: (hidden)"), std::string::npos);
}

TEST(ApiCaller, FindsTheFirstModel) {
  Called called({JsonAnswer(200, R"({"data":[{"id":"one"},{"id":"two"}]})")});
  ApiCaller caller({.api = Api::kOpenai, .url = called.server.url()}, {},
                   {.on_piece = {}, .on_retry = {}, .stopped = [] { return false; }});
  EXPECT_EQ(caller.FirstModel().value(), "one");
  EXPECT_TRUE(called.server.requests().at(0).starts_with("GET /v1/models "));
  Called none({JsonAnswer(200, R"({"data":[]})")});
  ApiCaller other({.api = Api::kOpenai, .url = none.server.url()}, {},
                  {.on_piece = {}, .on_retry = {}, .stopped = [] { return false; }});
  EXPECT_FALSE(other.FirstModel());
}

}  // namespace
}  // namespace fulmen
