// No option of `fulmen call` is read and then ignored: for each there are two command lines that
// differ in little else, and what is sent, said or done differs. call_test.cc tells what comes of
// them.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "base/file_io.h"
#include "call/testing/scripted_server.h"
#include "tests/e2e/call_command.h"
#include "tests/testing/command_table.h"
#include "tests/testing/golden.h"
#include "tests/testing/subprocess.h"

namespace fulmen::testing {
namespace {

struct CallEffect {
  std::string option;
  std::string one;
  std::string other;
};

// What `--dry-run` shows of them, or a server that is busy once and then calls a tool.
std::vector<CallEffect> CallEffects() {
  const std::string dry = "--dry-run -m m --url http://127.0.0.1:1 Hi";
  const std::string ask = "-m m Hi --url ";
  const std::string tools = "-m m Hi --tools tools.json --tool-program ";
  return {
      {"--system", dry, dry + " -s Briefly."},
      {"--attachment", dry, dry + " -a tools.json"},
      {"--continue", ask + "URL", ask + "URL -c"},
      {"--chat", ask + "URL", ask + "URL --chat"},
      {"--max-tokens", dry, dry + " -n 5"},
      {"--option", dry, dry + " -o seed=1"},
      {"--schema", dry, dry + " --schema schema.json"},
      {"--no-stream", dry, dry + " --no-stream"},
      {"--json", ask + "URL", ask + "URL --json"},
      {"--price", ask + "URL", ask + "URL --price 1,8"},
      {"--dry-run", ask + "URL", ask + "URL --dry-run"},
      {"--quiet", ask + "URL", ask + "URL -q"},
      {"--url", ask + "URL", ask + "URL/v1/v1"},
      {"--api", dry, dry + " --api anthropic"},
      {"--key", dry, dry + " --key k"},
      {"--key-file", dry, dry + " --key-file key"},
      {"--model", "--dry-run -m m Hi", "--dry-run -m n Hi"},
      {"--retries", ask + "BUSY --retries 0", ask + "BUSY --retries 1"},
      {"--tools", dry, dry + " --tools tools.json --tool-program cat"},
      {"--tool-program", tools + "cat --yes --url CALLS", tools + "printf --yes --url CALLS"},
      {"--yes", tools + "cat --url CALLS", tools + "cat --yes --url CALLS"},
  };
}

// All there is to see of a command line: what it says, and what it sends.
std::string See(const std::string& line) {
  const TemporaryFolder folder;
  for (const auto& [name, text] :
       {std::pair("tools.json", R"([{"name": "a"}])"), std::pair("schema.json", R"({"enum": [1]})"),
        std::pair("key", "k"),
        std::pair("state/fulmen/call.json",
                  R"({"url":"http://127.0.0.1:1","api":"openai","model":"m","system":"",)"
                  R"("messages":[{"role":"user","content":"Before."}]})")}) {
    std::filesystem::create_directories(std::filesystem::path(folder / name).parent_path());
    EXPECT_TRUE(WriteFileAtomically(folder / name, text));
  }
  const ScriptedAnswer hello =
      JsonAnswer(200, R"({"choices":[{"message":{"content":"Hello."},"finish_reason":"stop"}],)"
                      R"("usage":{"prompt_tokens":1,"completion_tokens":2}})");
  const ScriptedAnswer calls = JsonAnswer(
      200, R"({"choices":[{"message":{"content":"","tool_calls":[{"id":"c","function":)"
           R"({"name":"/dev/null","arguments":"{}"}}]},"finish_reason":"tool_calls"}]})");
  const ScriptedServer server({hello});
  const ScriptedServer busy({JsonAnswer(429, "{}"), hello});
  const ScriptedServer calling({calls, hello});
  Words words = WithoutKeys(folder / "state");
  words.insert(words.end(), {"setsid", "-w", FulmenBinary(), "call"});
  for (std::string word : Split(line)) {
    for (const auto& [name, url] : {std::pair("URL", server.url()), std::pair("BUSY", busy.url()),
                                    std::pair("CALLS", calling.url())}) {
      if (word.starts_with(name)) word.replace(0, std::string(name).size(), url);
    }
    words.push_back(word);
  }
  const ProgramResult result = RunProgram(words, {.folder = folder.path()});
  EXPECT_TRUE(result.exit_code == 0 || result.exit_code == 1 || result.exit_code == 4)
      << line << ": " << result.exit_code << result.err;
  std::string seen = fmt::format("{}\n{}\n{}\n", result.exit_code, result.out, result.err);
  for (const auto* each : {&server, &busy, &calling}) {
    for (const std::string& request : each->requests()) {
      seen += request.substr(0, request.find("Host: ")) + request.substr(request.find("\r\n\r\n"));
    }
  }
  // The ports, which are others each time.
  for (const auto* each : {&server, &busy, &calling}) {
    for (size_t at = seen.find(each->url()); at != std::string::npos; at = seen.find(each->url())) {
      seen.replace(at, each->url().size(), "SERVER");
    }
  }
  return seen;
}

TEST(CallOptions, EachHasAnEffect) {
  for (const CallEffect& effect : CallEffects()) {
    SCOPED_TRACE(fmt::format("{}\n{}\n{}", effect.option, effect.one, effect.other));
    EXPECT_NE(See(effect.one), See(effect.other));
  }
}

// Else the test above could not fail.
TEST(CallOptions, NothingElseHasAnEffect) {
  EXPECT_EQ(See("-m m Hi --url URL"), See("-m m Hi --url URL"));
  EXPECT_EQ(See("-m m Hi --dry-run"), See("-m m Hi --dry-run"));
}

TEST(CallOptions, AllAreInTheTable) {
  std::set<std::string> known = {"--help"};
  for (const CallEffect& effect : CallEffects()) known.insert(effect.option);
  for (const std::string& option : HelpOf({"call"}).options) {
    EXPECT_TRUE(known.contains(option)) << option;
  }
}

}  // namespace
}  // namespace fulmen::testing
