#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "tests/testing/subprocess.h"

namespace fulmen::testing {
namespace {

using Words = std::vector<std::string>;

// The commands that a help text lists: what follows the line "Subcommands:", each indented by two.
Words Listed(const std::string& help) {
  Words commands;
  std::istringstream lines(help);
  bool listing = false;
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("  ")) {
      listing = line == "Subcommands:";
    } else if (listing && line[2] != ' ') {
      commands.push_back(line.substr(2, line.find(' ', 2) - 2));
    }
  }
  return commands;
}

// Checks the help of `command` and of all commands below it; adds their names to `seen`.
void ExpectHelp(const Words& command, std::set<std::string>& seen) {
  const std::string name = fmt::format("{}", fmt::join(command, " "));
  SCOPED_TRACE(name);
  Words arguments = command;
  arguments.emplace_back("--help");
  const ProgramResult result = RunFulmen(arguments);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.out.find("Example"), std::string::npos) << result.out;
  EXPECT_NE(result.out.find("fulmen " + name), std::string::npos) << result.out;
  EXPECT_EQ(result.out.find('\x1b'), std::string::npos) << "colour codes in a pipe";
  seen.insert(name);
  for (const std::string& below : Listed(result.out)) {
    Words longer = command;
    longer.push_back(below);
    ExpectHelp(longer, seen);
  }
}

TEST(Help, OfEveryCommandShowsAnExample) {
  std::set<std::string> seen;
  ExpectHelp({}, seen);
  // So that a list that is not found cannot pass.
  for (const char* name : {"run", "bench", "eval perplexity", "train bench"}) {
    EXPECT_TRUE(seen.contains(name)) << name;
  }
}

TEST(CommandLine, WithoutACommandSaysWhatToGive) {
  const ProgramResult result = RunFulmen({});
  EXPECT_NE(result.exit_code, 0);
  EXPECT_EQ(result.out, "");
  EXPECT_NE(result.err, "");
}

TEST(CommandLine, TellsItsVersion) {
  const ProgramResult result = RunFulmen({"--version"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_TRUE(result.out.starts_with("fulmen ")) << result.out;
}

TEST(CommandLine, UnknownCommandIsRefused) {
  const ProgramResult result = RunFulmen({"fly"});
  EXPECT_NE(result.exit_code, 0);
  EXPECT_EQ(result.out, "");
  EXPECT_NE(result.err, "");
}

}  // namespace
}  // namespace fulmen::testing
