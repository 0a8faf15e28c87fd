// The completion scripts in the shells they are for, and the manual page in groff.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "base/file_io.h"
#include "tests/testing/command_table.h"
#include "tests/testing/golden.h"
#include "tests/testing/subprocess.h"

namespace fulmen::testing {
namespace {

using Lines = std::set<std::string>;

Lines LinesOf(const std::string& text) {
  Lines lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    if (!line.empty()) lines.insert(line.substr(0, line.find('\t')));
  }
  return lines;
}

bool Has(const std::string& program) {
  return RunProgram({"sh", "-c", "command -v " + program}).exit_code == 0;
}

// A folder with a file, a folder and the scripts.
class ShellCompletion : public ::testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::create_directory(folder_ / "a folder");
    ASSERT_TRUE(WriteFileAtomically(folder_ / "a file", ""));
    for (const char* shell : {"bash", "zsh", "fish"}) {
      const ProgramResult script = RunFulmen({"completion", shell});
      ASSERT_EQ(script.exit_code, 0) << script.err;
      ASSERT_TRUE(WriteFileAtomically(folder_ / fmt::format(".{}", shell), script.out));
    }
  }

  // What bash offers for the last of `words`.
  Lines Bash(Words words) const {
    const std::string call =
        R"(source .bash; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); set -u; )"
        R"(_fulmen fulmen "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"; )"
        R"(printf '%s\n' "${COMPREPLY[@]}")";
    words.insert(words.begin(), {"bash", "--norc", "-c", call, "bash", "fulmen"});
    const ProgramResult result = RunProgram(words, {.folder = folder_.path()});
    EXPECT_EQ(result.err, "");
    return LinesOf(result.out);
  }

  TemporaryFolder folder_;
};

Lines CommandNames(const Words& above) {
  Lines names;
  for (const Words& command : AllCommands()) {
    if (command.size() == above.size() + 1 &&
        std::equal(above.begin(), above.end(), command.begin())) {
      names.insert(command.back());
    }
  }
  return names;
}

TEST_F(ShellCompletion, BashKnowsCommandsOptionsAndValues) {
  EXPECT_EQ(Bash({""}), CommandNames({}));
  EXPECT_EQ(Bash({"in"}), Lines{"inspect"});
  EXPECT_EQ(Bash({"eval", ""}), CommandNames({"eval"}));
  for (const Words& command : AllCommands()) {
    Words words = command;
    words.emplace_back("--");
    const std::vector<std::string> options = HelpOf(command).options;
    EXPECT_EQ(Bash(words), Lines(options.begin(), options.end()));
  }
  EXPECT_EQ(Bash({"run", "--kernels", ""}), (Lines{"ref", "cpu"}));
  EXPECT_EQ(Bash({"run", "--kernels", "=", "c"}), Lines{"cpu"});
  EXPECT_EQ(Bash({"run", "--kernels", "="}), (Lines{"ref", "cpu"}));
  EXPECT_EQ(Bash({"run", "--seed", ""}), Lines{});
  EXPECT_EQ(Bash({"completion", "f"}), Lines{"fish"});
}

TEST_F(ShellCompletion, BashOffersFilesAndFolders) {
  EXPECT_EQ(Bash({"run", "-f", "a"}), (Lines{"a file", "a folder"}));
  EXPECT_EQ(Bash({"run", "-m", "a"}), (Lines{"a file", "a folder"}));
  EXPECT_EQ(Bash({"inspect", "a"}), (Lines{"a file", "a folder"}));
  EXPECT_EQ(Bash({"synth", "a"}), (Lines{"a file", "a folder"}));
  EXPECT_EQ(Bash({"train", "a"}), (Lines{"a file", "a folder"}));
  const Lines train = Bash({"train", ""});
  EXPECT_TRUE(train.contains("a file") && train.contains("data") && train.contains("sweep"));
}

TEST_F(ShellCompletion, ZshKnowsCommandsOptionsAndValues) {
  if (!Has("zsh")) GTEST_SKIP() << "zsh is not installed";
  // The functions of its completion system print what they are given.
  const std::string call =
      R"(_arguments() { print -rl -- "$@" }; _describe() { print -rl -- "${(P@)2}" }; )"
      R"(compdef() { print -r -- "$@" }; source ./.zsh; )"
      R"(words=("$@"); CURRENT=$#; _fulmen)";
  const auto zsh = [&](Words words) {
    words.insert(words.begin(), {"zsh", "-f", "-c", call, "zsh", "fulmen"});
    const ProgramResult result = RunProgram(words, {.folder = folder_.path()});
    EXPECT_EQ(result.err, "");
    EXPECT_TRUE(result.out.starts_with("_fulmen fulmen\n")) << result.out;
    return result.out;
  };
  const std::string all = zsh({""});
  for (const std::string& name : CommandNames({})) {
    EXPECT_NE(all.find("\n" + name + ":"), std::string::npos) << all;
  }
  for (const Words& command : AllCommands()) {
    Words words = command;
    words.emplace_back("-");
    const std::string offered = zsh(words);
    for (const std::string& option : HelpOf(command).options) {
      EXPECT_TRUE(std::regex_search(offered, std::regex("\n[*]?" + option + "=?\\[")))
          << option << "\n"
          << offered;
    }
  }
  const std::string run = zsh({"run", "-"});
  EXPECT_NE(run.find(":NAME:(ref cpu)\n"), std::string::npos) << run;
  EXPECT_NE(run.find(":MODEL:_files\n"), std::string::npos) << run;
  const std::string data = zsh({"train", "data", "-"});
  EXPECT_NE(data.find(":FOLDER:_files -/\n"), std::string::npos) << data;
}

TEST_F(ShellCompletion, FishKnowsCommandsOptionsAndValues) {
  if (!Has("fish")) GTEST_SKIP() << "fish is not installed";
  const auto fish = [&](const std::string& line) {
    const ProgramResult result = RunProgram({"env", "HOME=" + folder_.path(), "fish", "--no-config",
                                             "-c", "source .fish; complete -C '" + line + "'"},
                                            {.folder = folder_.path()});
    EXPECT_EQ(result.err, "");
    return LinesOf(result.out);
  };
  EXPECT_EQ(fish("fulmen "), CommandNames({}));
  EXPECT_EQ(fish("fulmen eval "), CommandNames({"eval"}));
  EXPECT_EQ(fish("fulmen run --kernels "), (Lines{"ref", "cpu"}));
  EXPECT_EQ(fish("fulmen completion f"), Lines{"fish"});
  EXPECT_EQ(fish("fulmen run -m a"), (Lines{"a file", "a folder/"}));
  EXPECT_EQ(fish("fulmen train data --out a"), Lines{"a folder/"});
  EXPECT_EQ(fish("fulmen run -f a"), (Lines{"a file", "a folder/"}));
  const std::vector<std::string> options = HelpOf({"train", "bench"}).options;
  EXPECT_EQ(fish("fulmen train bench --"), Lines(options.begin(), options.end()));
}

TEST(Manual, IsGoodRoffAndTellsOfEveryOption) {
  const ProgramResult manual = RunFulmen({"manual"});
  ASSERT_EQ(manual.exit_code, 0) << manual.err;
  if (!Has("groff")) GTEST_SKIP() << "groff is not installed";
  const ProgramResult shown =
      RunProgram({"groff", "-man", "-ww", "-Tascii", "-P-cbou"}, {.input = manual.out});
  EXPECT_EQ(shown.exit_code, 0);
  EXPECT_EQ(shown.err, "");
  for (const Words& command : AllCommands()) {
    for (const std::string& option : HelpOf(command).options) {
      EXPECT_NE(shown.out.find(option), std::string::npos) << option;
    }
  }
  EXPECT_EQ(manual.out.find(", here "), std::string::npos) << "what holds on this machine only";
}

}  // namespace
}  // namespace fulmen::testing
