#include "tests/testing/subprocess.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <csignal>
#include <cstring>
#include <filesystem>
#include <string>

#include "tests/testing/golden.h"

namespace fulmen::testing {
namespace {

using std::chrono::milliseconds;

ProgramResult Shell(const std::string& script, const ProgramOptions& options = {}) {
  return RunProgram({"sh", "-c", script}, options);
}

TEST(Subprocess, KeepsStreamsAndExitCodeApart) {
  const ProgramResult result = Shell("echo out; echo err >&2; exit 7");
  EXPECT_EQ(result.exit_code, 7);
  EXPECT_EQ(result.signal, 0);
  EXPECT_FALSE(result.timed_out);
  EXPECT_EQ(result.out, "out\n");
  EXPECT_EQ(result.err, "err\n");
}

TEST(Subprocess, InputLargerThanThePipesComesBackWhole) {
  const std::string text(1 << 20, 'x');
  const ProgramResult result = RunProgram({"cat"}, {.input = text});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(result.out, text);
}

TEST(Subprocess, ProgramThatReadsNothingDoesNotEndTheTest) {
  const ProgramResult result = RunProgram({"true"}, {.input = std::string(1 << 20, 'x')});
  EXPECT_EQ(result.exit_code, 0);
}

TEST(Subprocess, ArgumentsAreNotInterpreted) {
  EXPECT_EQ(RunProgram({"printf", "%s|", "a b", "", "$HOME"}).out, "a b||$HOME|");
}

TEST(Subprocess, ReportsTheSignal) {
  const ProgramResult result = Shell("kill -TERM $$");
  EXPECT_EQ(result.exit_code, -1);
  EXPECT_EQ(result.signal, SIGTERM);
  EXPECT_FALSE(result.timed_out);
}

TEST(Subprocess, TimeoutKillsChildrenToo) {
  const ProgramResult result =
      Shell("echo before; sleep 60 & sleep 60", {.timeout = milliseconds(200)});
  EXPECT_TRUE(result.timed_out);
  EXPECT_EQ(result.signal, SIGKILL);
  EXPECT_EQ(result.out, "before\n");
}

TEST(Subprocess, TimeoutHoldsWhenTheOutputIsClosed) {
  const ProgramResult result = Shell("exec sleep 60 >&- 2>&-", {.timeout = milliseconds(200)});
  EXPECT_TRUE(result.timed_out);
}

TEST(Subprocess, MeasuresTheMemoryOfTheProgramAlone) {
  constexpr size_t kBytes = size_t{1} << 28;
  void* mine = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(mine, MAP_FAILED);
  std::memset(mine, 1, kBytes);
  munmap(mine, kBytes);
  EXPECT_LT(RunProgram({"true"}).peak_bytes, int64_t{kBytes});
}

TEST(Subprocess, RunsInTheFolder) {
  const TemporaryFolder folder;
  EXPECT_EQ(std::filesystem::canonical(folder.path()).string() + "\n",
            RunProgram({"pwd", "-P"}, {.folder = folder.path()}).out);
}

TEST(Subprocess, InterruptsAfterEachMarkerInTurn) {
  const ProgramResult result = Shell(
      "n=0; trap 'n=$((n+1)); echo got $n; [ $n = 2 ] && exit 3; echo ready >&2' INT; "
      "echo ready; while :; do sleep 0.01; done",
      {.interrupt_after = {"ready", "ready"}, .timeout = milliseconds(20'000)});
  EXPECT_EQ(result.out, "ready\ngot 1\ngot 2\n");
  EXPECT_EQ(result.err, "ready\n");
  EXPECT_EQ(result.exit_code, 3);
}

}  // namespace
}  // namespace fulmen::testing
