// `fulmen call` against `fulmen serve`, through each API, and against servers that misbehave.
#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "base/file_io.h"
#include "base/json.h"
#include "call/testing/scripted_server.h"
#include "tests/e2e/call_command.h"
#include "tests/e2e/served.h"
#include "tests/e2e/tiny_model.h"
#include "tests/testing/bmp.h"
#include "tests/testing/golden.h"
#include "tests/testing/subprocess.h"
#include "tests/testing/terminal.h"

namespace fulmen::testing {
namespace {

constexpr std::array kNames = {"minimax", "openai", "anthropic"};

// A folder of its own for what is kept, and no key but those a test gives.
class Call : public ::testing::Test {
 protected:
  ProgramResult Ask(const std::string& url, const Words& words, const ProgramOptions& options = {},
                    const Words& variables = {}) const {
    return RunProgram(Command(url, words, variables), options);
  }
  Words Command(const std::string& url, const Words& words, const Words& variables = {}) const {
    Words command = WithoutKeys(folder_.path());
    command.insert(command.end(), variables.begin(), variables.end());
    command.insert(command.end(), {FulmenBinary(), "call"});
    if (!url.empty()) command.insert(command.end(), {"--url", url});
    command.insert(command.end(), words.begin(), words.end());
    return command;
  }
  std::string Write(const std::string& name, const std::string& text) const {
    EXPECT_TRUE(WriteFileAtomically(folder_ / name, text));
    return folder_ / name;
  }

  const TemporaryFolder folder_;
};

const Served& Nano() {
  static const TemporaryFolder folder;
  static const Served server(folder.path());
  return server;
}

std::string Chat(std::string_view message, std::string_view finish) {
  return fmt::format(R"({{"model":"m","choices":[{{"message":{},"finish_reason":"{}"}}],)"
                     R"("usage":{{"prompt_tokens":10,"completion_tokens":5}}}})",
                     message, finish);
}

ScriptedAnswer Hello() { return JsonAnswer(200, Chat(R"({"content":"Hello."})", "stop")); }

TEST_F(Call, AnswersThroughEachApi) {
  const Json body = Nano().Post("/v1/chat/completions", ChatOf("What is Fulmen?"));
  const std::string expected = body["choices"][0]["message"]["content"];
  for (const char* api : kNames) {
    for (const Words& more : std::vector<Words>{{}, {"--no-stream"}}) {
      SCOPED_TRACE(api);
      Words words = {"--api", api, "-o", "temperature=0.001", "What is Fulmen?"};
      words.insert(words.end(), more.begin(), more.end());
      const ProgramResult result = Ask(Nano().url(), words);
      EXPECT_EQ(result.exit_code, 0);
      EXPECT_EQ(result.out, expected + "\n");
      EXPECT_TRUE(result.err.starts_with("[prompt: ")) << result.err;
    }
  }
}

TEST_F(Call, TheSystemTextReachesTheModel) {
  for (const char* api : kNames) {
    const auto tokens = [&](const Words& more) {
      Words words = {"--api", api, "--json", "-q", "-n", "1", "Hi"};
      words.insert(words.end(), more.begin(), more.end());
      const ProgramResult result = Ask(Nano().url(), words);
      return ParseJson(result.out, result.err)->at("usage").at("prompt_tokens").get<int>();
    };
    EXPECT_GT(tokens({"-s", "You are a patient teacher."}), tokens({}) + 4) << api;
  }
}

TEST_F(Call, StandardInputStandsBeforeTheArgument) {
  const std::string file = Write("note.txt", "Be kind.");
  const ProgramResult result =
      Ask("http://127.0.0.1:1", {"--dry-run", "-m", "m", "-a", file, "Well?"},
          {.input = "Tom lives in Rome."});
  const Json sent = ParseJson(result.out, result.err).value();
  EXPECT_EQ(sent["body"]["messages"][0]["content"],
            fmt::format("{}:\nBe kind.\n\nTom lives in Rome. Well?", file));
  const std::string lines(300'000, 'x');
  ScriptedServer server({Hello()});
  EXPECT_EQ(Ask(server.url(), {"-m", "m"}, {.input = lines}).out, "Hello.\n");
  EXPECT_NE(server.requests().at(0).find(lines), std::string::npos);
}

TEST_F(Call, PicturesAreSeen) {
  const ProgramResult made = RunFulmen(Split("synth " + TinyVision(folder_ / "vl", "BF16")));
  ASSERT_EQ(made.exit_code, 0) << made.err;
  const Served server(folder_.path(), {"-m", folder_ / "vl"});
  const std::string dot = Write("dot.bmp", BlackDot());
  for (const char* api : kNames) {
    const auto tokens = [&](const Words& more) {
      Words words = {"--api", api, "--json", "-q", "-n", "2", "Hi"};
      words.insert(words.end(), more.begin(), more.end());
      const ProgramResult result = Ask(server.url(), words);
      EXPECT_TRUE(result.exit_code == 0 || result.exit_code == 5) << result.err;
      return ParseJson(result.out, result.err)->at("usage").at("prompt_tokens").get<int>();
    };
    EXPECT_GT(tokens({"-a", dot}), tokens({}) + 10) << api;
  }
}

TEST_F(Call, GoesOnWithTheLastConversation) {
  EXPECT_EQ(Ask("", {"-c", "Hi"}).exit_code, 1);
  ASSERT_EQ(Ask(Nano().url(), {"-q", "Tom lives in Rome."}).exit_code, 0);
  struct stat status = {};
  ASSERT_EQ(stat((folder_ / "fulmen/call.json").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0600U);
  // At the same server, which has read it before.
  const ProgramResult result = Ask("", {"-c", "--json", "Where does Tom live?"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_GT(ParseJson(result.out, "")->at("usage").at("cached_tokens").get<int>(), 0);
  const Json kept = ReadJsonFile(folder_ / "fulmen/call.json").value();
  EXPECT_EQ(kept["messages"].size(), 4U);
}

TEST_F(Call, AChatHasItsHistory) {
  const ProgramResult result = Ask(Nano().url(), {"--chat", "-q"},
                                   {.input = "Tom lives in Rome.\n/clear\nHi.\nWhat is Fulmen?\n"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  const Json kept = ReadJsonFile(folder_ / "fulmen/call.json").value();
  EXPECT_EQ(kept["messages"].size(), 4U) << kept;
  EXPECT_EQ(kept["messages"][0]["content"], "Hi.");
}

TEST_F(Call, AnswersAreHeldToASchema) {
  const std::string schema = Write("schema.json", R"({"type": "object", "properties":
      {"city": {"enum": ["Rome", "Paris"]}}, "required": ["city"],
      "additionalProperties": false})");
  for (const char* api : kNames) {
    const ProgramResult result = Ask(Nano().url(), {"--api", api, "--schema", schema,
                                                    "Tom lives in Rome. Where does Tom live?"});
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_TRUE(Json::parse(result.out).contains("city")) << result.out;
  }
  // A server that does not care.
  for (const char* answer :
       {R"({"content":"Rome."})", R"({"content":"{\"city\":\"Oslo\"}"})", R"({"content":"{}"})"}) {
    ScriptedServer server({JsonAnswer(200, Chat(answer, "stop"))});
    EXPECT_EQ(Ask(server.url(), {"-m", "m", "--schema", schema, "Hi"}).exit_code, 6) << answer;
  }
  ScriptedServer good({JsonAnswer(200, Chat(R"({"content":"{\"city\":\"Paris\"}"})", "stop"))});
  EXPECT_EQ(Ask(good.url(), {"-m", "m", "--schema", schema, "Hi"}).exit_code, 0);
}

class CallTools : public Call {
 protected:
  static std::vector<ScriptedAnswer> Answers() {
    return {JsonAnswer(200,
                       Chat(R"({"content":null,"tool_calls":[{"id":"c1","type":"function",)"
                            R"("function":{"name":"weather","arguments":"{\"city\":\"Rome\"}"}}]})",
                            "tool_calls")),
            Hello()};
  }
  Words Tools(const std::string& script) const {
    const std::string program = Write("tool", "#!/bin/sh\n" + script);
    chmod(program.c_str(), 0700);
    return {"-m",
            "m",
            "--tools",
            Write("tools.json", R"([{"name": "weather"}])"),
            "--tool-program",
            program,
            "Is it raining?"};
  }
};

TEST_F(CallTools, AreRunByTheProgram) {
  ScriptedServer server(Answers());
  Words words = Tools("echo \"$1: $(cat)\"");
  words.emplace_back("--yes");
  const ProgramResult result = Ask(server.url(), words);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out, "Hello.\n");
  ASSERT_EQ(server.requests().size(), 2U);
  const std::string second = server.requests()[1];
  EXPECT_NE(second.find(R"("tool_call_id":"c1")"), std::string::npos) << second;
  EXPECT_NE(second.find(R"(weather: {\"city\":\"Rome\"})"), std::string::npos) << second;
}

TEST_F(CallTools, TellTheModelWhatWentWrong) {
  ScriptedServer server(Answers());
  Words words = Tools("echo rain; exit 3");
  words.emplace_back("--yes");
  EXPECT_EQ(Ask(server.url(), words).exit_code, 0);
  EXPECT_NE(server.requests().at(1).find("failed with status 3.\\nrain"), std::string::npos);
}

TEST_F(CallTools, AreRunOnlyAfterAsking) {
  for (const bool agrees : {true, false}) {
    ScriptedServer server(Answers());
    Words command = Command(server.url(), Tools("touch \"$0.ran\"; echo rain"));
    Terminal terminal(command);
    terminal.WaitFor("[y/N] ");
    EXPECT_FALSE(agrees && access((folder_ / "tool.ran").c_str(), F_OK) == 0);
    unlink((folder_ / "tool.ran").c_str());
    terminal.Type(agrees ? "y\n" : "\n");
    terminal.WaitFor("Hello.");
    EXPECT_EQ(terminal.WaitForEnd(), 0);
    EXPECT_EQ(access((folder_ / "tool.ran").c_str(), F_OK) == 0, agrees);
    EXPECT_NE(server.requests().at(1).find(agrees ? "rain" : "did not allow"), std::string::npos);
  }
  ScriptedServer server(Answers());
  Words command = {"setsid", "-w"};  // without a terminal
  for (const std::string& word : Command(server.url(), Tools("echo rain"))) command.push_back(word);
  const ProgramResult result = RunProgram(command);
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_NE(result.err.find("--yes"), std::string::npos) << result.err;
}

const char* const kEndless =
    "data: {\"choices\":[{\"delta\":{\"content\":\"Once upon a time\"}}]}\n\n";

void ExpectLeft(const ScriptedServer& server) {
  for (int i = 0; i < 500 && server.left() == 0; ++i) usleep(10'000);
  EXPECT_EQ(server.left(), 1);
}

TEST_F(Call, AClosedPipeCancels) {
  for (const auto& [begun, reader] :
       {std::pair(kEndless, "head -c 4"), std::pair(": nothing yet\n\n", "sleep 1")}) {
    ScriptedServer server({StreamAnswer(begun, /*holds=*/true)});
    Words command = {"bash", "-c",
                     fmt::format("\"$@\" </dev/null | {}; exit ${{PIPESTATUS[0]}}", reader), "-"};
    for (const std::string& word : Command(server.url(), {"-m", "m", "-q", "Hi"})) {
      command.push_back(word);
    }
    const ProgramResult result = RunProgram(command);
    EXPECT_EQ(result.exit_code, 141) << result.err;
    EXPECT_EQ(result.err, "");
    ExpectLeft(server);
  }
}

TEST_F(Call, CtrlCEndsIt) {
  ScriptedServer server({StreamAnswer(kEndless, /*holds=*/true)});
  Words command = {"sh", "-c", "exec \"$@\" </dev/null", "-"};
  for (const std::string& word : Command(server.url(), {"-m", "m", "Tell a story."})) {
    command.push_back(word);
  }
  const ProgramResult result = RunProgram(command, {.interrupt_after = {"Once upon"}});
  EXPECT_EQ(result.exit_code, 130);
  EXPECT_TRUE(result.out.starts_with("Once upon a time")) << result.out;
  ExpectLeft(server);
}

// The server of ours stops computing, too.
TEST_F(Call, TheServersRequestEnds) {
  Words command = {"bash", "-c", "\"$@\" </dev/null | head -c 4", "-"};
  for (const std::string& word :
       Command(Nano().url(), {"-n", "2000", "-o", "ignore_eos=true", "Tell a story."})) {
    command.push_back(word);
  }
  EXPECT_EQ(RunProgram(command).out.size(), 4U);
  const auto running = [] { return Nano().Metric("fulmen:num_requests_running"); };
  for (int i = 0; i < 500 && running() > 0; ++i) usleep(10'000);
  EXPECT_EQ(running(), 0);
}

TEST_F(Call, ExitStatusesTellWhatWentWrong) {
  const Served server(folder_.path(), {"--api-key", "right"});
  EXPECT_EQ(Ask(server.url(), {"Hi"}).exit_code, 3);
  for (const char* api : kNames) {
    EXPECT_EQ(Ask(server.url(), {"--api", api, "--key", "wrong", "Hi"}).exit_code, 3) << api;
    EXPECT_EQ(Ask(server.url(), {"--api", api, "-q", "-n", "1", "--key", "right", "Hi"}).exit_code,
              5);
  }
  const auto status = [&](const ScriptedAnswer& answer) {
    ScriptedServer scripted({answer});
    return Ask(scripted.url(), {"-m", "m", "--api", "minimax", "--retries", "0", "Hi"}).exit_code;
  };
  EXPECT_EQ(status(JsonAnswer(402, "{}")), 4);
  EXPECT_EQ(status(JsonAnswer(429, "{}")), 4);
  EXPECT_EQ(status(JsonAnswer(200, R"({"base_resp":{"status_code":1008,"status_msg":"no"}})")), 4);
  EXPECT_EQ(status(JsonAnswer(200, R"({"base_resp":{"status_code":1004,"status_msg":"no"}})")), 3);
  EXPECT_EQ(status(JsonAnswer(400, "{}")), 1);
  EXPECT_EQ(Ask("", {}).exit_code, 2);
  EXPECT_EQ(Ask("", {"--url", "nowhere", "Hi"}).exit_code, 2);
}

TEST_F(Call, TriesABusyServerAgain) {
  ScriptedServer server({JsonAnswer(429, "{}"), Hello()});
  const ProgramResult result = Ask(server.url(), {"-m", "m", "Hi"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out, "Hello.\n");
  EXPECT_NE(result.err.find("trying again in "), std::string::npos) << result.err;
}

TEST_F(Call, TheKeyIsNowhereButInItsHeader) {
  const std::string key_file = Write("key", "sk-secret\n");
  ScriptedServer elsewhere({Hello()});
  ScriptedServer redirects({JsonAnswer(307, "", "Location: " + elsewhere.url() + "\r\n")});
  ScriptedServer server({Hello()});
  for (const Words& key :
       std::vector<Words>{{"--key", "sk-secret"}, {"--key-file", key_file}, {}}) {
    const auto ask = [&](const std::string& url, const Words& more) {
      Words words = {"-m", "m", "Hi"};
      words.insert(words.end(), key.begin(), key.end());
      words.insert(words.end(), more.begin(), more.end());
      ProgramResult result = Ask(url, words, {}, {"OPENAI_API_KEY=sk-secret"});
      EXPECT_EQ((result.out + result.err).find("sk-secret"), std::string::npos);
      EXPECT_EQ(result.err.find("shows in the list of processes") != std::string::npos,
                !key.empty() && key[0] == "--key");
      return result.exit_code;
    };
    EXPECT_EQ(ask(server.url(), {"--dry-run"}), 0);
    EXPECT_EQ(ask(redirects.url(), {}), 1);
    EXPECT_EQ(ask(server.url(), {}), 0);
    EXPECT_NE(server.requests().back().find("Authorization: Bearer sk-secret\r\n"),
              std::string::npos);
  }
  EXPECT_TRUE(elsewhere.requests().empty());
}

TEST_F(Call, TheEnvironmentNamesTheService) {
  const auto url = [&](const std::string& variable, const Words& more) {
    Words words = {"--dry-run", "-m", "m", "Hi"};
    words.insert(words.end(), more.begin(), more.end());
    const ProgramResult result = Ask("", words, {}, {variable});
    return ParseJson(result.out, result.err)->at("url").get<std::string>();
  };
  EXPECT_EQ(url("A=1", {}), "http://127.0.0.1:8080/v1/chat/completions");
  EXPECT_EQ(url("A=1", {"--api", "anthropic"}), "http://127.0.0.1:8080/v1/messages");
  EXPECT_EQ(url("MINIMAX_API_KEY=k", {}), "https://api.minimax.io/v1/text/chatcompletion_v2");
  EXPECT_EQ(url("OPENAI_API_KEY=k", {}), "https://api.openai.com/v1/chat/completions");
  EXPECT_EQ(url("ANTHROPIC_API_KEY=k", {}), "https://api.anthropic.com/v1/messages");
  EXPECT_EQ(url("OPENAI_API_KEY=k", {"--api", "minimax"}),
            "http://127.0.0.1:8080/v1/text/chatcompletion_v2");
}

TEST_F(Call, ReasoningAndCostGoToStandardError) {
  ScriptedServer server(
      {JsonAnswer(200, Chat(R"({"reasoning_content":"Hm.","content":"Hello."})", "stop")),
       JsonAnswer(200, R"({"choices":[{"message":{"content":"Hello."},"finish_reason":"stop"}],)"
                       R"("usage":{"prompt_tokens":1,"completion_tokens":1,"cost":0.5}})")});
  const ProgramResult priced = Ask(server.url(), {"-m", "m", "--price", "1,8,CNY", "Hi"});
  EXPECT_EQ(priced.out, "Hello.\n");
  EXPECT_EQ(priced.err, "Hm.\n\n[prompt: 10 tokens; answer: 5 tokens; stop; 0.00005 CNY]\n");
  const ProgramResult told = Ask(server.url(), {"-m", "m", "--price", "1,8,CNY", "Hi"});
  EXPECT_EQ(told.err, "[prompt: 1 tokens; answer: 1 tokens; stop; 0.5]\n");
}

TEST_F(Call, ColourIsForTerminalsThatWantIt) {
  for (const char* no_color : {"NO_COLOR=", "NO_COLOR=1"}) {
    ScriptedServer server({JsonAnswer(
        200, Chat(R"({"reasoning_content":"Hm.","content":"He\u001b[2mllo."})", "stop"))});
    Terminal terminal(Command(server.url(), {"-m", "m", "Hi"}, {no_color}));
    terminal.WaitFor("llo.");
    EXPECT_EQ(terminal.WaitForEnd(), 0);
    EXPECT_EQ(terminal.shown().find("\x1b[2mHm.") != std::string::npos,
              std::string(no_color) == "NO_COLOR=");
    EXPECT_NE(terminal.shown().find("He\\x1b[2mllo."), std::string::npos) << terminal.shown();
  }
}

}  // namespace
}  // namespace fulmen::testing
