// `fulmen serve` and a crowd: clients of every API at once, some of which leave in the middle, and
// the end while they ask. Seconds long, or as long as FULMEN_CROWD_SECONDS says: under the thread
// sanitizer it is to be minutes.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "tests/e2e/served.h"
#include "tests/testing/golden.h"

namespace fulmen::testing {
namespace {

constexpr int kCrowd = 64;

double CrowdSeconds() {
  const char* variable = std::getenv("FULMEN_CROWD_SECONDS");
  return variable == nullptr ? 3 : std::atof(variable);
}

// One of the crowd, on a thread of its own.
class Client {
 public:
  Client(const Served& server, const std::atomic<bool>& ending, int number)
      : server_(server), ending_(ending), number_(number), random_(number) {}

  // Until the server has ended.
  void Ask() {
    while (!gone_) {
      switch (Below(6)) {
        case 0:
          Look();
          break;
        case 1:
          Count();
          break;
        default:
          Answer();
      }
    }
  }

 private:
  struct Call {
    std::string line;
    Json body;
    std::string headers = {};
  };

  int Below(int most) { return static_cast<int>(random_() % static_cast<uint32_t>(most)); }
  const std::string& OneOf(const std::vector<std::string>& all) {
    return all[static_cast<size_t>(Below(static_cast<int>(all.size())))];
  }

  void Look() {
    Take(server_.Ask("GET " + OneOf({"/metrics", "/health", "/ready", "/props", "/v1/models",
                                     "/v1/sessions", "/openapi.json", "/"})));
  }

  void Count() {
    const Json chat = ChatOf("What is Fulmen?");
    const std::vector<Call> calls = {
        {"POST /tokenize", {{"messages", chat["messages"]}}},
        {"POST /detokenize", {{"tokens", {60, 61, 62}}}},
        {"POST /v1/messages/count_tokens",
         {{"model", "fulmen-nano"}, {"messages", chat["messages"]}}},
        {"POST /v1/responses/input_tokens", {{"input", "What is Fulmen?"}}},
    };
    const Call& call = calls[static_cast<size_t>(Below(static_cast<int>(calls.size())))];
    Take(server_.Ask(call.line, call.body.dump()));
  }

  // One that others go on with, too, but none for so long that it fills the context.
  std::string Session() { return fmt::format("Session: {}-{}\r\n", Below(5), ++sessions_ / 3); }

  Call ACall(bool stream) {
    const std::string text =
        OneOf({"What is Fulmen?", "Who lives in Rome?", "Hi", "Tom lives in Rome. Where is Tom?"});
    const int tokens = 1 + Below(40);
    Json chat = ChatOf(text, tokens);
    chat["model"] = "fulmen-nano";
    chat["stream"] = stream;
    switch (Below(5)) {
      case 0:
        return {"POST /v1/completions", LongText(tokens, stream)};
      case 1:
        return {"POST /v1/messages", chat};
      case 2:
        chat["temperature"] = 0.5;
        return {"POST /v1/text/chatcompletion_v2", chat};
      case 3:
        return {"POST /v1/responses",
                {{"input", text}, {"max_output_tokens", 16 + tokens}, {"stream", stream}}};
      default:
        return {"POST /v1/chat/completions", chat, Below(3) == 0 ? Session() : ""};
    }
  }

  void Answer() {
    const bool stream = Below(2) == 0;
    const Call call = ACall(stream);
    RawClient client = server_.Open(call.line, call.body.dump(), call.headers);
    if (Below(4) != 0) {
      Take(client.Read());
      return;
    }
    // It leaves: before an answer, or within.
    std::string piece;
    if (stream && Below(3) != 0 && client.ReadHead().status == 200) {
      int pieces = Below(8);
      while (pieces-- > 0 && client.ReadChunk(piece) && !piece.empty()) {
      }
    }
    Below(2) == 0 ? client.Reset() : client.Close();
    if (ending_) gone_ = true;
  }

  // Whole, or told that there are too many, or that a session is answering somebody else; but
  // anything at all once the server ends.
  void Take(const RawAnswer& answer) {
    if (ending_) {
      gone_ = answer.status == 0;
      return;
    }
    const bool is_known = answer.status == 200 || answer.status == 409 || answer.status == 429 ||
                          answer.status == 529;
    EXPECT_TRUE(answer.whole && is_known) << number_ << "\n" << answer.head << answer.body;
  }

  const Served& server_;
  const std::atomic<bool>& ending_;
  const int number_;
  std::mt19937 random_;
  int sessions_ = 0;  // asked in
  bool gone_ = false;
};

TEST(ServeCrowd, IsAnsweredUntilTheEnd) {
  const TemporaryFolder folder;
  Served server(folder.path(), {"--threads", "2", "--most-running", "16", "--most-waiting", "40",
                                "--cache", folder / "cache", "--drain-seconds", "2"});
  std::atomic<bool> ending = false;
  {
    std::vector<std::jthread> crowd;
    for (int i = 0; i < kCrowd; ++i) {
      crowd.emplace_back([&server, &ending, i] { Client(server, ending, i).Ask(); });
    }
    const double end = SteadySeconds() + CrowdSeconds();
    while (SteadySeconds() < end && !HasFailure()) {
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    EXPECT_GT(server.Metric("fulmen:request_success_total"), 0);
    ending = true;
    EXPECT_EQ(server.End(SIGTERM), 0);
  }
  EXPECT_EQ(server.Err().find("failed"), std::string::npos) << server.Err();
  EXPECT_EQ(server.Err().find("Sanitizer"), std::string::npos) << server.Err();
}

}  // namespace
}  // namespace fulmen::testing
