// What the machine cannot give is an error in one sentence, and nothing is left behind.
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <string>
#include <vector>

#include "base/file_io.h"
#include "tests/testing/golden.h"
#include "tests/testing/subprocess.h"

namespace fulmen::testing {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;  // a sanitizer maps terabytes
#else
constexpr bool kSanitized = false;
#endif

// Runs the command where its address space ends after so many kibibytes.
ProgramResult RunWithin(int64_t kibibytes, std::vector<std::string> arguments) {
  std::vector<std::string> command{
      "sh", "-c", fmt::format("ulimit -v {}; exec \"$0\" \"$@\"", kibibytes), FulmenBinary()};
  command.insert(command.end(), arguments.begin(), arguments.end());
  return RunProgram(command);
}

void ExpectSentence(const ProgramResult& result, const std::string& words) {
  EXPECT_EQ(result.exit_code, 1) << "signal " << result.signal;
  EXPECT_EQ(result.out, "");
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  EXPECT_TRUE(result.err.starts_with("fulmen: ")) << result.err;
  EXPECT_NE(result.err.find(words), std::string::npos) << result.err;
}

TEST(Limits, InputWithoutAnEndIsRefused) {
  ExpectSentence(RunFulmen({"run", "-f", "/dev/zero"}), "/dev/zero: at most ");
  const TemporaryFolder folder;
  ExpectSentence(RunFulmen({"train", "data", "/dev/zero", "--out", folder / "data"}),
                 "/dev/zero: expected a regular file");
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(Limits, MemoryThatIsNotThereIsTold) {
  if (kSanitized) GTEST_SKIP();
  const TemporaryFolder folder;
  std::string text;
  while (text.size() < 50'000'000) text += "aaaaaaaaa\n";
  ASSERT_TRUE(WriteFileAtomically(folder / "long.txt", text));
  constexpr int64_t kSmall = 130'000;
  ExpectSentence(RunWithin(kSmall, {"run", "--threads", "1", "-f", folder / "long.txt"}),
                 "out of memory");
  ExpectSentence(RunWithin(kSmall, {"tokenize", "-f", folder / "long.txt"}), "out of memory");
}

TEST(Limits, ThreadsThatCannotStartAreTold) {
  if (kSanitized) GTEST_SKIP();
  ExpectSentence(RunWithin(1'000'000, {"run", "--threads", "1000", "-p", "Alice", "-n", "2"}),
                 "cannot start 1000 threads");
  const TemporaryFolder folder;
  ExpectSentence(
      RunWithin(1'000'000, {"synth", folder / "model", "--type", "f32", "--threads", "1000"}),
      "cannot start 1000 threads");
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

// Sends the signal once the folder holds something, and waits for the end.
constexpr const char* kSignalWhenBegun = R"sh(
folder=$1
shift
"$0" "$@" &
program=$!
while [ -z "$(ls -A "$folder")" ] && kill -0 $program; do sleep 0.01; done
kill -HUP $program
wait $program)sh";

TEST(Limits, SignalsLeaveNothingBehind) {
  const TemporaryFolder folder;
  const ProgramResult result =
      RunProgram({"sh", "-c", kSignalWhenBegun, FulmenBinary(), folder.path(), "synth",
                  folder / "model", "--type", "f32"});
  EXPECT_EQ(result.exit_code, 128 + SIGHUP) << result.err;
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

}  // namespace
}  // namespace fulmen::testing
