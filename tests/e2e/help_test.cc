#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include "tests/testing/subprocess.h"

namespace fulmen::testing {
namespace {

class Help : public ::testing::TestWithParam<std::string> {};

TEST_P(Help, ShowsAnExample) {
  std::istringstream words(GetParam());
  std::vector<std::string> arguments{std::istream_iterator<std::string>(words), {}};
  arguments.emplace_back("--help");
  const ProgramResult result = RunFulmen(arguments);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.out.find("Example"), std::string::npos) << result.out;
  EXPECT_NE(result.out.find("fulmen " + GetParam()), std::string::npos) << result.out;
  EXPECT_EQ(result.out.find('\x1b'), std::string::npos) << "colour codes in a pipe";
}

INSTANTIATE_TEST_SUITE_P(Commands, Help,
                         ::testing::Values("run", "inspect", "eval", "eval logits", "eval generate",
                                           "eval perplexity", "train", "train data",
                                           "train gradients", "train sweep", "tokenize",
                                           "detokenize", "synth", "bench"),
                         [](const auto& command) {
                           std::string name = command.param;
                           std::replace(name.begin(), name.end(), ' ', '_');
                           return name;
                         });

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
