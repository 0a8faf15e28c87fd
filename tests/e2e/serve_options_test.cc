// Each option of `fulmen serve` is shown to have an effect, by what a client sees or by how it
// ends.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "base/base64.h"
#include "base/file_io.h"
#include "tests/e2e/serve_options.h"
#include "tests/e2e/served.h"
#include "tests/e2e/tiny_model.h"
#include "tests/testing/bmp.h"
#include "tests/testing/command_table.h"
#include "tests/testing/golden.h"
#include "tests/testing/subprocess.h"

namespace fulmen::testing {
namespace {

namespace fs = std::filesystem;

std::string Models(const Served& server) {
  std::string names;
  const Json list = server.Get("/v1/models");
  for (const Json& model : list["data"]) {
    names += model["id"].get<std::string>() + " ";
  }
  return names;
}

std::string Tokens(const Served& server) {
  Json chat = ChatOf("What is Fulmen?");
  chat.erase("max_tokens");
  return server.Post("/v1/chat/completions", chat)["usage"]["completion_tokens"].dump();
}

// Whether its prompts are as M1 has them.
std::string IsM1(const Served& server) {
  const std::string prompt = server.Post("/apply-template", ChatOf("Hi"))["prompt"];
  return prompt.starts_with("<begin_of_document>") ? "yes" : "no";
}

std::string Answer(const Served& server) {
  return server.Post("/v1/chat/completions", ChatOf("Sing."))["choices"][0]["message"]["content"];
}

// Among so many unlikely tokens a small difference shows.
std::string Chance(const Served& server) {
  Json request = LongText(200, false);
  request["temperature"] = 2;
  request["seed"] = 7;
  return server.Post("/v1/completions", request)["choices"][0]["text"];
}

std::string EndOfLongText(const Served& server) {
  const Json answer = server.Post("/v1/completions", LongText(600, false));
  return answer["usage"]["completion_tokens"] == 600 ? "600 tokens" : "fewer";
}

// Another model than the one that comes with Fulmen.
std::string OtherModel() { return SourcePath("tests/golden/text/hybrid-bf16"); }

void ShowModels() {
  EXPECT_EQ(Models(Plain()), "fulmen-nano ");
  const Served server(NewFolder(), {"-m", "one=" + OtherModel(), "--model", OtherModel()});
  EXPECT_EQ(Models(server), "one hybrid-bf16 ");
  ExpectRefused({"-m", "a=" + OtherModel(), "-m", "a=" + OtherModel()},
                "two models have the name a", 1);
  ExpectRefused({"-m", "/no/model"}, "/no/model", 1);
}

void ShowMmproj() {
  const std::string folder = NewFolder();
  const std::string model = folder + "/vl.gguf";
  const std::string mmproj = folder + "/vision.gguf";
  const ProgramResult synth = RunFulmen(Split("synth " + TinyVision(model, "Q8_0")));
  EXPECT_EQ(synth.exit_code, 0) << synth.err;
  fs::rename(folder + "/mmproj-vl.gguf", mmproj);
  const std::string url = "data:image/bmp;base64," + EncodeBase64(BlackDot());
  Json chat = ChatOf("Hi", 1);
  chat["messages"][0]["content"] = Json::array(
      {{{"type", "image_url"}, {"image_url", {{"url", url}}}}, {{"type", "text"}, {"text", "Hi"}}});
  const auto status = [&](const Words& more) {
    Words words = {"-m", model};
    words.insert(words.end(), more.begin(), more.end());
    return Served(NewFolder(), words).Ask("POST /v1/chat/completions", chat.dump()).status;
  };
  EXPECT_EQ(status({}), 400);
  EXPECT_EQ(status({"--mmproj", mmproj}), 200);
  ExpectRefused({"-m", "a=" + model, "-m", "b=" + model, "--mmproj", mmproj},
                "--mmproj belongs to one model, found 2");
}

void ShowAliases() {
  const Served server(NewFolder(),
                      {"--alias", "gpt-4o=fulmen-nano", "--alias", "claude=fulmen-nano"});
  EXPECT_EQ(Models(server), "fulmen-nano gpt-4o claude ");
  Json chat = ChatOf("Hi", 1);
  chat["model"] = "claude";
  EXPECT_EQ(server.Post("/v1/chat/completions", chat)["model"], "fulmen-nano");
  EXPECT_EQ(Plain().Ask("POST /v1/chat/completions", chat.dump()).status, 404);
  ExpectRefused({"--alias", "gpt-4o"}, "--alias should be ALIAS=NAME, found \"gpt-4o\"");
  ExpectRefused({"--alias", "gpt-4o=nano"}, "--alias gpt-4o=nano: there is no model nano", 1);
  ExpectRefused({"--alias", "a=fulmen-nano", "--alias", "a=fulmen-nano"},
                "two models have the name a", 1);
}

void ShowKernels() {
  const Words no_target = {"FULMEN_CPU_TARGET=none"};
  ProgramResult cpu =
      RunProgram({"env", no_target[0], FulmenBinary(), "serve", "--port", "0", "--kernels", "cpu"});
  EXPECT_EQ(cpu.exit_code, 1);
  EXPECT_NE(cpu.err.find("FULMEN_CPU_TARGET"), std::string::npos) << cpu.err;
  Served server(NewFolder(), {"--kernels", "ref"}, no_target);
  EXPECT_EQ(server.End(SIGTERM), 0);
}

void ShowThreads() {
  const auto threads = [](const Served& server) {
    const fs::directory_iterator tasks(fmt::format("/proc/{}/task", server.pid()));
    return std::distance(begin(tasks), end(tasks));
  };
  const Served server(NewFolder(), {"--threads", "3"});
  EXPECT_EQ(threads(server), threads(Plain()) + 2);
}

void ShowQuiet() {
  Served server(NewFolder(), {"--quiet", "--log", "none", "--port", FreePort()});
  const auto answers = [&] {
    return RunProgram({"curl", "-s", fmt::format("http://localhost:{}/health", server.port())})
               .exit_code == 0;
  };
  EXPECT_TRUE(Eventually(answers));
  EXPECT_EQ(server.End(SIGTERM), 0);
  EXPECT_EQ(server.Err(), "");
}

void ShowLog() {
  const auto logged = [](const std::string& format) {
    Served server(NewFolder(), {"--log", format});
    const size_t greeting = server.Err().size();
    EXPECT_EQ(server.Ask("POST /v1/chat/completions", ChatOf("A secret", 1).dump()).status, 200);
    EXPECT_EQ(server.End(SIGTERM), 0);
    EXPECT_EQ(server.Err().find("secret"), std::string::npos);
    std::istringstream lines(server.Err().substr(greeting));
    std::string text;
    for (std::string line; std::getline(lines, line);) {
      if (!line.starts_with("fulmen: ")) text += line;
    }
    return text;
  };
  EXPECT_NE(logged("text").find(" 200 POST /v1/chat/completions "), std::string::npos);
  const Json line = Json::parse(logged("json"));
  EXPECT_EQ(line["status"], 200);
  EXPECT_EQ(line["route"], "/v1/chat/completions");
  EXPECT_EQ(logged("none"), "");
}

void ShowDrain() {
  for (const bool finishes : {false, true}) {
    Served server(NewFolder(), {"--drain-seconds", finishes ? "50" : "0.05"});
    RawClient stream = server.Open("POST /v1/completions", LongText(1000, true).dump());
    std::string piece;
    EXPECT_EQ(stream.ReadHead().status, 200);
    EXPECT_TRUE(stream.ReadChunk(piece));
    server.Signal(SIGTERM);
    std::string last;
    while (stream.ReadChunk(piece) && !piece.empty()) last = piece;
    EXPECT_EQ(last.ends_with("data: [DONE]\n\n"), finishes) << last;
    EXPECT_EQ(server.Wait(), 0);
  }
}

// As many as may run, and as many as may wait for them; one more is refused.
void ShowLimits() {
  const std::string stream = LongText(3000, true).dump();
  const auto open = [&](const Served& server) {
    RawClient client = server.Open("POST /v1/completions", stream);
    EXPECT_EQ(client.ReadHead().status, 200);
    return client;
  };
  const auto running = [](const Served& server) {
    return server.Metric("fulmen:num_requests_running");
  };
  Served server(NewFolder(), {"--most-running", "1", "--most-waiting", "1"});
  std::vector<RawClient> clients;
  clients.push_back(open(server));
  EXPECT_TRUE(Eventually([&] { return running(server) == 1; }));
  clients.push_back(open(server));
  EXPECT_TRUE(Eventually([&] { return server.Metric("fulmen:num_requests_waiting") == 1; }));
  EXPECT_EQ(running(server), 1);
  const RawAnswer refused = server.Ask("POST /v1/completions", stream);
  EXPECT_EQ(refused.status, 429) << refused.body;
  EXPECT_NE(refused.Header("retry-after"), "");
  clients.clear();
  for (int i = 0; i < 3; ++i) clients.push_back(open(Plain()));
  EXPECT_TRUE(Eventually([&] { return running(Plain()) == 3; }));
}

void ShowScript() {
  const std::string script = InFolder("script", R"({"when": "Sing", "answer": "La la."})");
  const Served server(NewFolder(), {"--script", script});
  EXPECT_NE(Answer(Plain()), "La la.");
  EXPECT_EQ(Answer(server), "La la.");
  const std::string bad = InFolder("bad", "{}\n");
  ExpectRefused({"--script", bad}, bad + ", line 1", 1);
}

void ShowKvType() {
  const Served server(NewFolder(), {"--kv-type", "bf16"});
  const std::string text = Chance(Plain());
  EXPECT_EQ(text, Chance(Plain()));
  EXPECT_NE(text, Chance(server));
}

void ShowNoRepack() {
  // Of a quantized model, whose weights are in the file's memory otherwise.
  const std::string model = NewFolder() + "/small.gguf";
  const ProgramResult made =
      RunFulmen({"quantize", SourcePath("models/fulmen-nano"), model, "Q4_0"});
  ASSERT_EQ(made.exit_code, 0) << made.err;
  const auto own_bytes = [](const Served& server) {
    const std::string status = ReadFileOrDie(fmt::format("/proc/{}/status", server.pid()));
    constexpr std::string_view kName = "RssAnon:";
    return 1024 * std::stoll(status.substr(status.find(kName) + kName.size()));
  };
  const Served repacked(NewFolder(), {"-m", model});
  const Served stored(NewFolder(), {"-m", model, "--no-repack"});
  EXPECT_GT(own_bytes(repacked),
            own_bytes(stored) + static_cast<int64_t>(fs::file_size(model)) / 2);
}

void ShowSessions() {
  const std::string folder = NewFolder();
  const Served server(folder, {"--sessions", "other.db"});
  EXPECT_TRUE(fs::exists(folder + "/other.db"));
  EXPECT_TRUE(fs::exists(folder + "/other-responses.db"));
  EXPECT_FALSE(fs::exists(folder + "/sessions.db"));
  const auto keeps = [](const Served& each) {
    each.Post("/v1/chat/completions", ChatOf("Hi", 1), "Session: there\r\n");
    return each.Get("/v1/sessions")["data"].size();
  };
  EXPECT_EQ(keeps(server), 1U);
  EXPECT_EQ(Plain().Ask("GET /v1/sessions/there").status, 404);
}

void ShowNoSessions() {
  const std::string folder = NewFolder();
  Served server(folder, {"--no-sessions"});
  const std::string ask = ChatOf("Hi", 1).dump();
  EXPECT_EQ(Plain().Ask("POST /v1/chat/completions", ask, "Session: a\r\n").status, 200);
  EXPECT_EQ(server.Ask("POST /v1/chat/completions", ask, "Session: a\r\n").status, 400);
  EXPECT_EQ(server.Ask("POST /v1/chat/completions", ask).status, 200);
  EXPECT_EQ(server.Ask("GET /v1/sessions").status, 404);
  const Json response = server.Post("/v1/responses", {{"model", "fulmen-nano"}, {"input", "Hi"}});
  EXPECT_EQ(response["store"], false);
  EXPECT_EQ(server.Ask("GET /v1/responses/" + response["id"].get<std::string>()).status, 404);
  EXPECT_FALSE(fs::exists(folder + "/sessions.db"));
  ExpectRefused({"--no-sessions", "--sessions", "a"}, "--");
}

// A prompt of some hundred tokens.
std::string LongPrompt() {
  std::string text;
  for (int i = 0; i < 40; ++i) text += fmt::format("Tom has {} apples. ", i);
  return text;
}

int64_t BytesIn(const std::string& folder) {
  int64_t bytes = 0;
  for (const auto& each : fs::recursive_directory_iterator(folder)) {
    if (each.is_regular_file()) bytes += static_cast<int64_t>(each.file_size());
  }
  return bytes;
}

// Both options: a folder that takes what was read, and one too small for it.
void ShowCache() {
  const auto kept = [](const Words& more) {
    const std::string folder = NewFolder();
    Words words = {"--cache", folder};
    words.insert(words.end(), more.begin(), more.end());
    Served server(NewFolder(), words);
    server.Post("/v1/chat/completions", ChatOf(LongPrompt(), 4));
    const char* outcome = more.empty() ? "fulmen:spill_bytes" : "fulmen:spill_refused_total";
    EXPECT_TRUE(Eventually([&] { return server.Metric(outcome) > 0; })) << outcome;
    EXPECT_EQ(server.End(SIGTERM), 0);
    return BytesIn(folder);
  };
  constexpr int64_t kState = 10000;  // bytes, much less than one takes
  EXPECT_GT(kept({}), kState);
  EXPECT_LT(kept({"--cache-size", "0.000001"}), kState);
  ExpectRefused({"--cache-size", "1"}, "--cache-size does nothing without --cache");
}

void ShowConfig() {
  const std::string config = InFolder("a.toml",
                                      "port = 0\nalias = [\"a=fulmen-nano\", \"b=fulmen-nano\"]\n"
                                      "no-sessions = true\nquiet = false\nmax-tokens = 3\n"
                                      "drain-seconds = 0.5\n");
  const Served server(NewFolder(), {"--config", config});
  EXPECT_EQ(Models(server), "fulmen-nano a b ");
  EXPECT_EQ(Tokens(server), "3");
  EXPECT_EQ(server.Ask("GET /v1/sessions").status, 404);
  // What the command line gives goes before it, however often the file has it.
  const Served other(NewFolder(), {"--alias", "c=fulmen-nano", "--config", config, "-n", "2"});
  EXPECT_EQ(Models(other), "fulmen-nano c ");
  EXPECT_EQ(Tokens(other), "2");
  const std::string bad = InFolder("bad.toml", "");
  for (const auto& [text, sentence] : std::vector<std::pair<std::string, std::string>>{
           {"prot = 1", bad + ": there is no option prot"},
           {"config = \"a.toml\"", bad + ": there is no option config"},
           {"help = true", bad + ": there is no option help"},
           {"port = \"http\"", "--port should be "},
           {"port = 1.5", "--port should be "},
           {"port = [1, 2]", "--port may be given once, found "},
           {"port = true", bad + ": port has no value"},
           {"anyone = 1", bad + ": anyone is true or false"},
           {"anyone = \"yes\"", bad + ": anyone is true or false"},
           {"log = \"xml\"", "--log should be "},
           {"[port]\nhttp = 1", bad + ", line 1: port should be a text, "},
           {"port = 2026-01-01", bad + ", line 1: port should be a text, "},
           {"\nport = ", bad + ", line 2: "},
       }) {
    SCOPED_TRACE(text);
    InFolder("bad.toml", text);
    const ProgramResult result = RunFulmen({"serve", "--config", bad});
    EXPECT_NE(result.exit_code, 0);
    EXPECT_TRUE(result.err.starts_with("fulmen: " + sentence)) << result.err;
  }
}

std::vector<Shown> AllShown() {
  std::vector<Shown> all = {
      {{"--model"}, ShowModels},
      {{"--mmproj"}, ShowMmproj},
      {{"--alias"}, ShowAliases},
      {{"--kernels"}, ShowKernels},
      {{"--threads"}, ShowThreads},
      {{"--quiet"}, ShowQuiet},
      {{"--log"}, ShowLog},
      {{"--config"}, ShowConfig},
      {{"--drain-seconds"}, ShowDrain},
      {{"--chat-format"}, Differs({"--chat-format", "m1"}, IsM1, "no", "yes")},
      {{"--max-tokens"}, Differs({"--max-tokens", "3"}, Tokens, "31", "3")},
      {{"--answer-seconds"},
       Differs({"--answer-seconds", "0.05"}, EndOfLongText, "600 tokens", "fewer")},
      {{"--most-running", "--most-waiting"}, ShowLimits},
      {{"--script"}, ShowScript},
      {{"--kv-type"}, ShowKvType},
      {{"--no-repack"}, ShowNoRepack},
      {{"--sessions"}, ShowSessions},
      {{"--no-sessions"}, ShowNoSessions},
      {{"--cache", "--cache-size"}, ShowCache},
  };
  for (const std::vector<Shown>& more : {NetworkOptions(), ImageOptions()}) {
    all.insert(all.end(), more.begin(), more.end());
  }
  return all;
}

class ServeOption : public ::testing::TestWithParam<Shown> {};

TEST_P(ServeOption, HasAnEffect) { GetParam().show(); }

INSTANTIATE_TEST_SUITE_P(All, ServeOption, ::testing::ValuesIn(AllShown()), [](const auto& each) {
  std::string name = each.param.options.front();
  std::erase(name, '-');
  return name;
});

TEST(ServeOptions, AllAreInTheTable) {
  std::set<std::string> shown = {"--help"};
  for (const Shown& each : AllShown()) shown.insert(each.options.begin(), each.options.end());
  const CommandHelp help = HelpOf({"serve"});
  EXPECT_EQ(shown, std::set<std::string>(help.options.begin(), help.options.end()));
}

}  // namespace
}  // namespace fulmen::testing
