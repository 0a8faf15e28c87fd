#include "train/run_lock.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "base/file_io.h"
#include "tests/testing/golden.h"

namespace fulmen {
namespace {

namespace fs = std::filesystem;

TEST(RunLock, HoldsAFolderForOneAndSaysWho) {
  const testing::TemporaryFolder folder;
  const std::string run = folder / "runs/first";
  std::string warning;
  {
    const auto lock = RunLock::Acquire(run, warning);
    ASSERT_TRUE(lock) << lock.error().message;
    // A lock belongs to the open file, not to the process, so the same process can ask again.
    const auto second = RunLock::Acquire(run, warning);
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, ErrorCode::kUnavailable);
    EXPECT_TRUE(second.error().message.starts_with(
        fmt::format("{} is being trained in by process {} on ", run, getpid())))
        << second.error().message;
    EXPECT_NE(second.error().message.find(" since 20"), std::string::npos);
    EXPECT_TRUE(fs::exists(run + "/lock")) << "the second leaves the first one's file";
    ASSERT_TRUE(WriteFileAtomically(run + "/metrics.jsonl", ""));
  }
  EXPECT_FALSE(fs::exists(run + "/lock"));
  EXPECT_TRUE(fs::exists(run + "/metrics.jsonl"));
  EXPECT_TRUE(RunLock::Acquire(run, warning)) << "given up";
  EXPECT_EQ(warning, "");
}

TEST(RunLock, TakesOverAFileThatADeadProcessLeft) {
  const testing::TemporaryFolder folder;
  ASSERT_TRUE(WriteFileAtomically(folder / "lock", "{\"process\": 1, and then cut off"));
  std::string warning;
  const auto lock = RunLock::Acquire(folder.path(), warning);
  ASSERT_TRUE(lock) << lock.error().message;
  const auto second = RunLock::Acquire(folder.path(), warning);
  ASSERT_FALSE(second);
  EXPECT_NE(second.error().message.find(fmt::format("process {}", getpid())), std::string::npos);
}

TEST(RunLock, LeavesNoFolderThatNothingWasPutInto) {
  const testing::TemporaryFolder folder;
  std::string warning;
  ASSERT_TRUE(RunLock::Acquire(folder / "runs/a/b/", warning));
  EXPECT_FALSE(fs::exists(folder / "runs"));
  ASSERT_TRUE(fs::create_directory(folder / "mine"));
  ASSERT_TRUE(RunLock::Acquire(folder / "mine", warning));
  EXPECT_TRUE(fs::exists(folder / "mine")) << "it was there before";
}

TEST(RunLock, SaysWhatIsInTheWay) {
  const testing::TemporaryFolder folder;
  ASSERT_TRUE(WriteFileAtomically(folder / "file", ""));
  std::string warning;
  const auto lock = RunLock::Acquire(folder / "file", warning);
  ASSERT_FALSE(lock);
  EXPECT_TRUE(lock.error().message.starts_with("cannot write " + folder / "file"))
      << lock.error().message;
}

}  // namespace
}  // namespace fulmen
