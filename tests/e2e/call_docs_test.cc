// What docs/calling.md and calling.zh.md mark as to be run is run, against a server of this
// machine.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <regex>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "base/file_io.h"
#include "tests/e2e/served.h"
#include "tests/testing/golden.h"
#include "tests/testing/subprocess.h"

namespace fulmen::testing {
namespace {

struct Snippet {
  std::string language;
  std::string text;
};

// Those between ```LANGUAGE run and ```.
std::vector<Snippet> SnippetsOf(const std::string& document) {
  std::vector<Snippet> snippets;
  std::istringstream lines(document);
  bool inside = false;
  for (std::string line; std::getline(lines, line);) {
    if (inside && line == "```") {
      inside = false;
    } else if (inside) {
      snippets.back().text += line + "\n";
    } else if (line.starts_with("```") && line.ends_with(" run")) {
      inside = true;
      snippets.push_back({line.substr(3, line.size() - 7), ""});
    }
  }
  return snippets;
}

class CallDocs : public ::testing::TestWithParam<std::string> {};

TEST_P(CallDocs, SnippetsWork) {
  const TemporaryFolder folder;
  const Served server(folder.path());
  const std::string path = FulmenBinary().substr(0, FulmenBinary().rfind('/'));
  const bool has_node = RunProgram({"sh", "-c", "command -v node"}).exit_code == 0;
  const auto snippets = SnippetsOf(ReadFileOrDie(SourcePath("docs/" + GetParam())));
  EXPECT_GE(snippets.size(), 8U);
  for (const auto& [language, snippet] : snippets) {
    SCOPED_TRACE(snippet);
    if (language == "javascript" && !has_node) continue;
    std::string text =
        std::regex_replace(snippet, std::regex("http://127.0.0.1:8080"), server.url());
    text = std::regex_replace(text, std::regex("/tmp/"), folder.path() + "/");
    ASSERT_TRUE(WriteFileAtomically(folder / "snippet", text));
    const std::string interpreter = language == "javascript" ? "node -"
                                    : language == "python"   ? "python3 -"
                                                             : "bash -e snippet";
    const std::string script = fmt::format(
        "unset MINIMAX_API_KEY OPENAI_API_KEY ANTHROPIC_API_KEY; export XDG_STATE_HOME={}; "
        "PATH={}:$PATH; {} {}",
        folder.path(), path, interpreter, language == "bash" ? "</dev/null" : "<snippet");
    const ProgramResult result = RunProgram({"bash", "-c", script}, {.folder = folder.path()});
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_NE(result.out, "");
  }
}

INSTANTIATE_TEST_SUITE_P(In, CallDocs, ::testing::Values("calling.md", "calling.zh.md"),
                         [](const auto& each) {
                           return each.param == "calling.md" ? "English" : "Chinese";
                         });

}  // namespace
}  // namespace fulmen::testing
