// `fulmen serve` and clients that are many, slow, gone or wrong; and how it ends.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <csignal>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/ascii.h"
#include "tests/e2e/served.h"
#include "tests/testing/golden.h"

namespace fulmen::testing {
namespace {

constexpr const char* kCompletions = "POST /v1/completions";
constexpr int kLong = 3500;  // tokens, which take seconds

class Serve : public ::testing::Test {
 protected:
  ~Serve() override {
    if (IsSkipped()) return;
    // Whatever was done to it, it answers, and ends as it should.
    EXPECT_EQ(server_.Ask("GET /health").status, 200);
    EXPECT_EQ(server_.End(SIGTERM), 0);
    EXPECT_EQ(server_.Err().find("failed"), std::string::npos) << server_.Err();
  }
  double Running() const { return server_.Metric("fulmen:num_requests_running"); }

  const TemporaryFolder folder_;
  Served server_{folder_.path()};
};

TEST_F(Serve, NothingRunsForAClientThatLeft) {
  for (const bool stream : {true, false}) {
    RawClient client = server_.Open(kCompletions, LongText(kLong, stream).dump());
    std::string piece;
    if (stream) {
      EXPECT_EQ(client.ReadHead().status, 200);
      EXPECT_TRUE(client.ReadChunk(piece));
    }
    EXPECT_TRUE(Eventually([&] { return Running() == 1; }));
    stream ? client.Reset() : client.Close();
    EXPECT_TRUE(Eventually([&] { return Running() == 0; }));
  }
}

TEST_F(Serve, ASlowReaderHoldsUpNobody) {
  RawClient slow(server_.port(), 2048);
  slow.Send(server_.Request(kCompletions, LongText(1500, true).dump()));
  EXPECT_EQ(server_.Post("/v1/chat/completions", ChatOf("Hi"))["object"], "chat.completion");
  std::string piece;
  std::string last;
  int pieces = 0;
  EXPECT_EQ(slow.ReadHead().status, 200);
  for (; slow.ReadChunk(piece) && !piece.empty(); ++pieces) {
    if (pieces < 50) std::this_thread::sleep_for(std::chrono::milliseconds(2));
    last = piece;
  }
  EXPECT_TRUE(last.ends_with("data: [DONE]\n\n")) << last;
}

TEST_F(Serve, GarbageIsRefused) {
  std::mt19937 random(1);
  for (int round = 0; round < 200; ++round) {
    RawClient client(server_.port());
    std::string bytes = round % 2 == 0 ? "" : server_.Request(kCompletions, "{}");
    for (auto size = random() % 200; size > 0; --size) {
      bytes.insert(bytes.begin() + static_cast<int64_t>(random() % (bytes.size() + 1)),
                   static_cast<char>(random()));
    }
    client.Send(bytes);
    client.HalfClose();
    const int status = client.Read().status;
    EXPECT_TRUE(status == 0 || (status >= 400 && status < 500)) << status << "\n" << bytes;
  }
}

// Bodies that are no requests.
TEST_F(Serve, BadBodiesAreRefused) {
  const std::vector<std::string> bodies = {
      "{", "[]", "null", "\xff", "{\"messages\": 1}", "{\"model\": {}}", std::string(100'000, '[')};
  for (const std::string path : {"/v1/chat/completions", "/v1/completions", "/v1/responses"}) {
    for (const std::string& body : bodies) {
      const RawAnswer answer = server_.Ask("POST " + path, body);
      EXPECT_EQ(answer.status, 400) << path << body.substr(0, 20);
      const Json error = Json::parse(answer.body)["error"];
      EXPECT_EQ(error["type"], "invalid_request_error");
      EXPECT_NE(error["message"], "");
      EXPECT_TRUE(error.contains("param") && error.contains("code"));
    }
  }
  for (const std::string path : {"/v1/messages", "/anthropic/v1/messages/count_tokens"}) {
    for (const std::string& body : bodies) {
      const RawAnswer answer = server_.Ask("POST " + path, body);
      EXPECT_EQ(answer.status, 400) << path << body.substr(0, 20);
      const Json json = Json::parse(answer.body);
      EXPECT_EQ(json["type"], "error");
      EXPECT_EQ(json["error"]["type"], "invalid_request_error");
      EXPECT_EQ(LowerCase(json["request_id"].get<std::string>()), answer.Header("request-id"));
    }
  }
  for (const std::string& body : bodies) {
    const RawAnswer answer = server_.Ask("POST /v1/text/chatcompletion_v2", body);
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(Json::parse(answer.body)["base_resp"]["status_code"], 2013);
  }
}

TEST_F(Serve, UnknownRoutesAreToldInTheShapeOfTheirAPI) {
  for (const std::string line : {"GET /v1/chat", "POST /v1/embeddings", "GET /%2e%2e/etc/passwd"}) {
    const RawAnswer answer = server_.Ask(line);
    EXPECT_EQ(answer.status, 404) << line;
    EXPECT_EQ(Json::parse(answer.body)["error"]["code"], "not_found");
  }
  const RawAnswer anthropic = server_.Ask("POST /v1/messages/batches", "{}");
  EXPECT_EQ(anthropic.status, 404);
  EXPECT_EQ(Json::parse(anthropic.body)["error"]["type"], "not_found_error");
  const RawAnswer minimax = server_.Ask("POST /v1/text/chatcompletion_pro", "{}");
  EXPECT_EQ(minimax.status, 404);
  EXPECT_TRUE(Json::parse(minimax.body).contains("base_resp"));
  const RawAnswer method = server_.Ask("GET /v1/messages");
  EXPECT_EQ(method.status, 405);
  EXPECT_EQ(method.Header("allow"), "post");  // the head is in lower case here
  EXPECT_EQ(Json::parse(method.body)["type"], "error");
}

TEST_F(Serve, ABodyOf64MegabytesIsRead) {
  const std::string text(size_t{63} << 20, ' ');
  Json chat = ChatOf("Hi", 1);
  chat["metadata"] = {{"text", text}};
  EXPECT_EQ(server_.Post("/v1/chat/completions", chat)["object"], "chat.completion");
  chat["metadata"]["text"] = text + std::string(size_t{2} << 20, ' ');
  EXPECT_EQ(server_.Ask("POST /v1/chat/completions", chat.dump()).status, 413);
  // A prompt far longer than the context.
  const Json words = ChatOf(std::string(size_t{8} << 20, 'a'), 1);
  const RawAnswer answer = server_.Ask("POST /v1/chat/completions", words.dump());
  EXPECT_EQ(answer.status, 400);
  EXPECT_EQ(Json::parse(answer.body)["error"]["code"], "context_length_exceeded");
}

TEST_F(Serve, ManyClientsAtOnceAllHaveTheirAnswer) {
  constexpr int kClients = 64;
  const std::string whole = server_.Post(
      "/v1/chat/completions", ChatOf("What is Fulmen?"))["choices"][0]["message"]["content"];
  std::vector<std::string> answers(kClients);
  {
    std::vector<std::jthread> clients;
    for (std::string& answer : answers) {
      clients.emplace_back([&] {
        answer = server_.Post("/v1/chat/completions",
                              ChatOf("What is Fulmen?"))["choices"][0]["message"]["content"];
      });
    }
  }
  EXPECT_EQ(answers, std::vector<std::string>(kClients, whole));
}

TEST_F(Serve, ASessionAnswersOneRequestAtATime) {
  Json endless = ChatOf("Tell me a story.", 3000);
  endless["ignore_eos"] = true;
  endless["stream"] = true;
  const std::string session = "Session: mine\r\n";
  RawClient first = server_.Open("POST /v1/chat/completions", endless.dump(), session);
  EXPECT_EQ(first.ReadHead().status, 200);
  const std::string hi = ChatOf("Hi", 1).dump();
  const RawAnswer openai = server_.Ask("POST /v1/chat/completions", hi, session);
  EXPECT_EQ(openai.status, 409) << openai.body;
  EXPECT_EQ(Json::parse(openai.body)["error"]["param"], "session");
  Json messages = ChatOf("Hi", 1);
  messages["model"] = "fulmen-nano";
  const RawAnswer anthropic = server_.Ask("POST /v1/messages", messages.dump(), session);
  EXPECT_EQ(anthropic.status, 409) << anthropic.body;
  EXPECT_EQ(Json::parse(anthropic.body)["error"]["type"], "conflict_error");
  EXPECT_EQ(server_.Ask("POST /v1/chat/completions", hi, "Session: other\r\n").status, 200);
  first.Close();
  EXPECT_TRUE(Eventually(
      [&] { return server_.Ask("POST /v1/chat/completions", hi, session).status == 200; }));
}

// The end, told while streams run; `again` tells a second time.
void EndWhileStreaming(bool again) {
  const TemporaryFolder folder;
  Served server(folder.path());
  constexpr int kStreams = 4;
  std::vector<RawClient> streams;
  const RawClient idle(server.port());
  for (int i = 0; i < kStreams; ++i) {
    streams.push_back(server.Open(kCompletions, LongText(again ? kLong : 300, true).dump()));
  }
  std::string piece;
  for (RawClient& stream : streams) {
    EXPECT_EQ(stream.ReadHead().status, 200);
    EXPECT_TRUE(stream.ReadChunk(piece));
  }
  server.Signal(SIGTERM);
  if (again) {
    EXPECT_TRUE(Eventually([&] { return server.Err().find("finishing") != std::string::npos; }));
    server.Signal(SIGTERM);
  }
  for (RawClient& stream : streams) {
    std::string last;
    while (stream.ReadChunk(piece) && !piece.empty()) last = piece;
    EXPECT_EQ(last.ends_with("data: [DONE]\n\n"), !again) << last;
  }
  EXPECT_EQ(server.Wait(), 0) << server.Err();
}

TEST(ServeEnd, WaitsForStreams) { EndWhileStreaming(false); }
TEST(ServeEnd, ASecondSignalCutsThemOff) { EndWhileStreaming(true); }

TEST(ServeEnd, IsNotReadyWhileItEnds) {
  const TemporaryFolder folder;
  Served server(folder.path());
  const std::string request = server.Request("GET /ready");
  RawClient late(server.port());
  late.Send(request.substr(0, request.size() - 2));  // on its way, so it is waited for
  RawClient kept = server.Open("GET /ready");
  EXPECT_EQ(kept.Read().status, 200);
  server.Signal(SIGTERM);
  EXPECT_TRUE(kept.IsAtEnd());
  late.Send(request.substr(request.size() - 2));
  const RawAnswer answer = late.Read();
  EXPECT_EQ(answer.status, 503);
  EXPECT_EQ(answer.Header("connection"), "close");
  EXPECT_EQ(server.Wait(), 0);
}

TEST(ServeEnd, EverySignalEndsIt) {
  for (const int signal : {SIGINT, SIGHUP}) {
    const TemporaryFolder folder;
    EXPECT_EQ(Served(folder.path()).End(signal), 0);
  }
}

}  // namespace
}  // namespace fulmen::testing
