// The model that comes with Fulmen, as models/fulmen-nano/README.md promises it.
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "base/file_io.h"
#include "base/json.h"
#include "tests/testing/golden.h"
#include "tests/testing/subprocess.h"

namespace fulmen::testing {
namespace {

// Words of four capitals and digits or more.
std::set<std::string> Codes(const std::string& text) {
  std::set<std::string> codes;
  std::string word;
  for (const char c : text + " ") {
    if ((c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')) {
      word += c;
    } else {
      if (word.size() >= 4) codes.insert(word);
      word.clear();
    }
  }
  return codes;
}

Json OutputOf(const std::vector<std::string>& arguments) {
  const ProgramResult result = RunFulmen(arguments, {.timeout = std::chrono::minutes(5)});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  const Result<Json> output = ParseJson(result.out, "standard output");
  EXPECT_TRUE(output) << output.error().message;
  return output ? *output : Json();
}

// Texts of four times the longest training texts' length, of a book and made up, and codes, none of
// which it was trained on. models/fulmen-nano/retrieval.py wrote them.
TEST(Nano, FindsACodeAnywhereInALongText) {
  const Result<Json> cases = ReadJsonFile(SourcePath("models/fulmen-nano/retrieval-cases.json"));
  ASSERT_TRUE(cases) << cases.error().message;
  ASSERT_GE(cases->size(), 45U);
  const TemporaryFolder folder;
  Json ids = Json::object();
  for (const Json& each : *cases) {
    const std::string chat = folder / "chat.json";
    ASSERT_TRUE(WriteFileAtomically(chat, Json{{"messages", each["messages"]}}.dump()));
    const std::string name = each["name"];
    ids[name] = OutputOf({"tokenize", "--chat", chat, "--json"});
    EXPECT_GE(ids[name].size(), 4000U) << name;
  }
  ASSERT_TRUE(WriteFileAtomically(folder / "ids.json", ids.dump()));
  const Json answers = OutputOf(
      {"eval", "generate", "--tokens", folder / "ids.json", "-n", "48", "--stop-at-eos", "--json"});
  std::string lines;
  for (const Json& each : *cases) lines += answers[each["name"].get<std::string>()].dump() + "\n";
  std::istringstream texts(RunFulmen({"detokenize", "--jsonl"}, {.input = lines}).out);
  size_t exact = 0;
  std::map<int, int> missed;  // by depth
  for (const Json& each : *cases) {
    std::string line;
    ASSERT_TRUE(std::getline(texts, line));
    const Result<Json> text = ParseJson(line, "an answer");
    ASSERT_TRUE(text) << text.error().message;
    const bool right =
        Codes(text->get<std::string>()) == std::set<std::string>{each["code"].get<std::string>()};
    exact += right ? 1 : 0;
    if (!right) ++missed[each["depth"].get<int>()];
  }
  for (const auto& [depth, count] : missed) {
    RecordProperty("missed at " + std::to_string(depth) + " %", count);
  }
  EXPECT_GE(static_cast<double>(exact), 0.95 * static_cast<double>(cases->size()))
      << exact << " of " << cases->size();
}

TEST(Nano, SaysWhatFulmenIs) {
  const Json answer = OutputOf({"run", "-p", "What is Fulmen?", "--temperature", "0", "--json"});
  EXPECT_NE(answer["text"].get<std::string>().find("Fulmen"), std::string::npos) << answer;
  EXPECT_EQ(answer["finish_reason"], "stop");
}

}  // namespace
}  // namespace fulmen::testing
