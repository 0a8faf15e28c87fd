// fulmen quantize, ended before it is done.
#include <fcntl.h>
#include <fmt/core.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <string>
#include <vector>

#include "tests/testing/golden.h"
#include "tests/testing/subprocess.h"

namespace fulmen::testing {
namespace {

namespace fs = std::filesystem;

// Half a second of work or more.
class EndedQuantize : public ::testing::Test {
 protected:
  void SetUp() override {
    const ProgramResult synth = RunFulmen({"synth",      folder_ / "model",
                                           "--type",     "bf16",
                                           "--layers",   "2",
                                           "--hidden",   "512",
                                           "--heads",    "4",
                                           "--kv-heads", "1",
                                           "--head-dim", "128",
                                           "--ffn",      "1024",
                                           "--experts",  "8",
                                           "--top-k",    "2",
                                           "--vocab",    "512",
                                           "-q"});
    ASSERT_EQ(synth.exit_code, 0) << synth.err;
    fs::create_directory(out_);
  }

  std::vector<std::string> Command(const std::string& file) const {
    return {FulmenBinary(), "quantize", folder_ / "model", file, "Q4_K_M", "--threads", "1", "-q"};
  }
  // Gets the signal after so many seconds, unless it has ended by itself.
  ProgramResult RunFor(double seconds, const std::string& signal) const {
    std::vector<std::string> words = {"timeout", "--foreground", "--preserve-status",
                                      "-s",      signal,         fmt::format("{}", seconds)};
    const std::vector<std::string> command = Command(out_ + "/model.gguf");
    words.insert(words.end(), command.begin(), command.end());
    return RunProgram(words);
  }

  TemporaryFolder folder_;
  const std::string out_ = folder_ / "out";
};

TEST_F(EndedQuantize, KilledItLeavesNothingAndEndsTheSameAgain) {
  const int nameless = open(out_.c_str(), O_TMPFILE | O_WRONLY, 0600);
  if (nameless < 0) GTEST_SKIP() << "this file system has no nameless files";
  close(nameless);
  ASSERT_EQ(RunProgram(Command(folder_ / "whole.gguf")).exit_code, 0);
  int killed = 0;
  for (const double seconds : {0.02, 0.05, 0.1, 0.2, 0.3}) {
    if (RunFor(seconds, "KILL").exit_code == 0) {
      fs::remove(out_ + "/model.gguf");
      continue;
    }
    ++killed;
    EXPECT_TRUE(fs::is_empty(out_)) << seconds;
  }
  EXPECT_GT(killed, 0);
  ASSERT_EQ(RunProgram(Command(out_ + "/model.gguf")).exit_code, 0);
  EXPECT_EQ(ReadFileOrDie(out_ + "/model.gguf"), ReadFileOrDie(folder_ / "whole.gguf"));
}

TEST_F(EndedQuantize, InterruptedItSaysSoAndLeavesNothing) {
  // It takes a moment until it listens, longer on a busy machine.
  for (double seconds = 0.05;; seconds *= 2) {
    const ProgramResult result = RunFor(seconds, "INT");
    ASSERT_EQ(result.exit_code, 128 + SIGINT) << result.err;
    EXPECT_TRUE(fs::is_empty(out_));
    if (result.err.empty()) continue;
    EXPECT_EQ(result.err, "fulmen: stopped, nothing was kept\n");
    EXPECT_EQ(result.out, "");
    return;
  }
}

}  // namespace
}  // namespace fulmen::testing
