// What `fulmen serve` has acknowledged is there when it runs again, however it ended.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <map>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/file_io.h"
#include "tests/e2e/served.h"
#include "tests/testing/golden.h"

namespace fulmen::testing {
namespace {

std::string TextOf(const Json& completion) {
  return completion["choices"][0]["message"]["content"];
}

Json ResponseTo(const std::string& text) {
  return {{"model", "fulmen-nano"}, {"input", text}, {"max_output_tokens", 40}, {"temperature", 0}};
}

TEST(ServeRestart, SessionsGoOn) {
  const TemporaryFolder folder;
  const std::string session = "Session: tom\r\n";
  Json first;
  {
    Served server(folder.path());
    first = server.Post("/v1/chat/completions", ChatOf("Tom lives in Rome."), session);
    EXPECT_EQ(server.End(SIGTERM), 0);
  }
  Served server(folder.path());
  Json body = ChatOf("Where does Tom live?");
  body["session"] = 7;
  EXPECT_EQ(server.Ask("POST /v1/chat/completions", body.dump()).status, 400);
  body["session"] = "tom";  // as the header
  const Json second = server.Post("/v1/chat/completions", body);
  // The prompt has the first turn's tokens.
  EXPECT_GT(second["usage"]["prompt_tokens"], first["usage"]["total_tokens"]);
  const Json kept = server.Get("/v1/sessions/tom");
  EXPECT_EQ(kept["messages"].size(), 4U) << kept;
  EXPECT_EQ(kept["messages"][1]["content"], TextOf(first));
  EXPECT_EQ(kept["messages"][3]["content"], TextOf(second));
}

TEST(ServeRestart, ResponsesAreStored) {
  const TemporaryFolder folder;
  Json first;
  {
    Served server(folder.path());
    first = server.Post("/v1/responses", ResponseTo("Tom lives in Rome."));
    EXPECT_EQ(server.End(SIGTERM), 0);
  }
  Served server(folder.path());
  const std::string id = first["id"];
  EXPECT_EQ(server.Get("/v1/responses/" + id), first);
  Json next = ResponseTo("Where does Tom live?");
  next["previous_response_id"] = id;
  const Json second = server.Post("/v1/responses", next);
  EXPECT_GT(second["usage"]["input_tokens"], first["usage"]["total_tokens"]);
}

// Thoughts and a call as no tokenizer would encode them again: spaces on their own, and a call's
// JSON with spaces that a client does not keep.
constexpr const char* kScript =
    R"({"when": "weather in", "answer": "<think>\nLet  me look.\n</think>\n\n<tool_calls>\n)"
    R"({\"name\":   \"weather\", \"arguments\":  {\"city\" :   \"Rome\"}}\n</tool_calls>"})"
    "\n"
    R"({"answer": "It is   sunny."})"
    "\n";

Json WeatherTool(bool anthropic) {
  const Json schema = {{"type", "object"}, {"properties", {{"city", {{"type", "string"}}}}}};
  if (anthropic) return {{{"name", "weather"}, {"input_schema", schema}}};
  return {{{"type", "function"}, {"function", {{"name", "weather"}, {"parameters", schema}}}}};
}

class ServeHandles : public ::testing::Test {
 protected:
  ServeHandles() { EXPECT_TRUE(WriteFileAtomically(script_, kScript)); }
  Words Options() const {
    return {"--chat-format", "m1", "--script", script_, "--cache", folder_ / "cache"};
  }

  // Asks, has the server run again, and asks once more with the answer sent back. Returns the first
  // answer and the second.
  template <class Next>
  std::pair<Json, Json> AcrossRestart(const std::string& path, const Json& ask, Next next) const {
    Json first;
    {
      Served server(folder_.path(), Options());
      first = server.Post(path, ask);
      EXPECT_TRUE(Eventually([&] { return server.Metric("fulmen:spill_bytes") > 0; }));
      EXPECT_EQ(server.End(SIGTERM), 0);
    }
    Served server(folder_.path(), Options());
    Json second = server.Post(path, next(ask, first));
    return {std::move(first), std::move(second)};
  }

  const TemporaryFolder folder_;
  const std::string script_ = folder_ / "script";
};

// Enough tokens to be worth keeping on disk.
std::string Question() {
  std::string text;
  for (int i = 0; i < 20; ++i) text += fmt::format("Tom has {} apples. ", i);
  return text + "What is the weather in Rome?";
}

TEST_F(ServeHandles, OfOpenAisCallsLeadToTheSameTokens) {
  Json ask = ChatOf(Question(), 200);
  ask["tools"] = WeatherTool(false);
  const auto [first, second] =
      AcrossRestart("/v1/chat/completions", ask, [](Json next, const Json& answer) {
        const Json message = answer["choices"][0]["message"];
        next["messages"].push_back(message);
        next["messages"].push_back({{"role", "tool"},
                                    {"tool_call_id", message["tool_calls"][0]["id"]},
                                    {"content", "Sunny."}});
        return next;
      });
  EXPECT_EQ(first["choices"][0]["finish_reason"], "tool_calls") << first;
  EXPECT_EQ(TextOf(second), "It is   sunny.") << second;
  // All of the first turn was read before, and the restart has not forgotten it.
  EXPECT_GE(second["usage"]["prompt_tokens_details"]["cached_tokens"].get<int>() + 1,
            first["usage"]["total_tokens"].get<int>())
      << second;
}

TEST_F(ServeHandles, OfAnthropicsThoughtsLeadToTheSameTokens) {
  Json ask = ChatOf(Question(), 200);
  ask["model"] = "fulmen-nano";
  ask["tools"] = WeatherTool(true);
  const auto [first, second] =
      AcrossRestart("/v1/messages", ask, [](Json next, const Json& answer) {
        const Json& blocks = answer["content"];
        next["messages"].push_back({{"role", "assistant"}, {"content", blocks}});
        next["messages"].push_back({{"role", "user"},
                                    {"content",
                                     {{{"type", "tool_result"},
                                       {"tool_use_id", blocks.back()["id"]},
                                       {"content", "Sunny."}}}}});
        return next;
      });
  EXPECT_EQ(first["content"][0]["type"], "thinking") << first;
  EXPECT_NE(first["content"][0]["signature"], "");
  EXPECT_EQ(first["stop_reason"], "tool_use");
  EXPECT_EQ(second["content"][0]["text"], "It is   sunny.") << second;
  EXPECT_GE(second["usage"]["cache_read_input_tokens"].get<int>() + 1,
            first["usage"]["input_tokens"].get<int>() + first["usage"]["output_tokens"].get<int>())
      << second;
}

// A client of each API that goes on until its server is gone, and knows what it was told.
struct Promised {
  std::mutex mutex;
  std::map<std::string, std::vector<std::string>> sessions;  // texts of answers, by name
  std::map<std::string, Json> responses;                     // by id

  void Keep(const std::string& session, std::string text) {
    const std::lock_guard lock(mutex);
    sessions[session].push_back(std::move(text));
  }
};

std::string TextOfStream(const std::string& stream) {
  std::string text;
  for (size_t at = stream.find("data: {"); at != std::string::npos;
       at = stream.find("data: {", at + 1)) {
    const size_t begin = at + 6;
    const Json chunk = Json::parse(stream.substr(begin, stream.find('\n', begin) - begin));
    for (const Json& choice : chunk["choices"]) text += choice["delta"].value("content", "");
  }
  return text;
}

using ClientCall = bool (*)(const Served& server, const std::string& session, Promised& promised);

// Each returns whether it had a whole answer.
bool AskChat(const Served& server, const std::string& session, Promised& promised) {
  const RawAnswer answer = server.Ask("POST /v1/chat/completions", ChatOf("Hi", 8).dump(),
                                      "Session: " + session + "\r\n");
  if (!answer.whole || answer.status != 200) return false;
  promised.Keep(session, TextOf(Json::parse(answer.body)));
  return true;
}

bool AskChatStream(const Served& server, const std::string& session, Promised& promised) {
  Json ask = ChatOf("Hello", 8);
  ask["stream"] = true;
  const RawAnswer answer =
      server.Ask("POST /v1/chat/completions", ask.dump(), "Session: " + session + "\r\n");
  // What comes after the reason to end acknowledges nothing more.
  if (answer.body.find("\"finish_reason\":\"") == std::string::npos) return false;
  if (!answer.body.ends_with("\n\n")) return false;
  promised.Keep(session, TextOfStream(answer.body));
  return answer.whole;
}

bool AskMessages(const Served& server, const std::string& session, Promised& promised) {
  Json ask = ChatOf("Who are you?", 8);
  ask["model"] = "fulmen-nano";
  const RawAnswer answer =
      server.Ask("POST /v1/messages", ask.dump(), "Session: " + session + "\r\n");
  if (!answer.whole || answer.status != 200) return false;
  promised.Keep(session, Json::parse(answer.body)["content"][0]["text"]);
  return true;
}

bool AskMiniMax(const Served& server, const std::string& session, Promised& promised) {
  Json ask = ChatOf("Sing.", 8);
  ask["model"] = "fulmen-nano";
  ask["temperature"] = 0.01;
  const RawAnswer answer =
      server.Ask("POST /v1/text/chatcompletion_v2", ask.dump(), "Session: " + session + "\r\n");
  if (!answer.whole || answer.status != 200) return false;
  promised.Keep(session, TextOf(Json::parse(answer.body)));
  return true;
}

bool AskResponses(const Served& server, const std::string&, Promised& promised) {
  Json ask = ResponseTo("Hi");
  ask["max_output_tokens"] = 8;
  ask["stream"] = true;
  const RawAnswer answer = server.Ask("POST /v1/responses", ask.dump());
  constexpr std::string_view kData = "data: ";
  for (const std::string last : {"event: response.completed\n", "event: response.incomplete\n"}) {
    const size_t event = answer.body.find(last);
    if (event == std::string::npos || !answer.body.ends_with("\n\n")) continue;
    const size_t begin = answer.body.find(kData, event) + kData.size();
    const Json json = Json::parse(answer.body.substr(begin, answer.body.find('\n', begin) - begin));
    const std::lock_guard lock(promised.mutex);
    promised.responses[json["response"]["id"]] = json["response"];
    return answer.whole;
  }
  return false;
}

void ExpectKept(const Served& server, const Promised& promised) {
  for (const auto& [name, texts] : promised.sessions) {
    const Json session = server.Get("/v1/sessions/" + name);
    std::vector<std::string> kept;
    for (const Json& message : session["messages"]) {
      if (message["role"] == "assistant") kept.push_back(message["content"]);
    }
    // One more may have been kept whose client never heard so.
    EXPECT_LE(kept.size(), texts.size() + 1) << session;
    kept.resize(std::min(kept.size(), texts.size()));
    EXPECT_EQ(kept, texts) << session;
  }
  for (const auto& [id, response] : promised.responses) {
    EXPECT_EQ(server.Get("/v1/responses/" + id), response);
  }
}

TEST(ServeRestart, AKillLosesNothingThatWasAcknowledged) {
  const char* variable = std::getenv("FULMEN_KILL_ROUNDS");
  const int rounds = variable == nullptr ? 10 : std::atoi(variable);
  const TemporaryFolder folder;
  Promised promised;
  std::mt19937 random(static_cast<unsigned>(rounds));
  const std::vector<std::pair<std::string, ClientCall>> clients = {{"chat", AskChat},
                                                                   {"stream", AskChatStream},
                                                                   {"messages", AskMessages},
                                                                   {"minimax", AskMiniMax},
                                                                   {"responses", AskResponses}};
  size_t acknowledged = 0;
  for (int round = 0; round < rounds; ++round) {
    SCOPED_TRACE(fmt::format("round {}", round));
    Served server(folder.path(), {"--cache", folder / "cache"});
    ExpectKept(server, promised);
    promised.sessions.clear();  // those of this round are others
    std::vector<std::jthread> threads;
    for (const auto& [name, ask] : clients) {
      threads.emplace_back([&, session = fmt::format("{}-{}", name, round), ask = ask] {
        while (ask(server, session, promised)) {
        }
      });
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(100 + random() % 500));
    server.Signal(SIGKILL);
    threads.clear();
    EXPECT_EQ(server.Wait(), 128 + SIGKILL);
    for (const auto& [name, texts] : promised.sessions) acknowledged += texts.size();
  }
  EXPECT_GT(acknowledged, 0U);
  EXPECT_FALSE(promised.responses.empty());
  ExpectKept(Served(folder.path()), promised);
}

}  // namespace
}  // namespace fulmen::testing
