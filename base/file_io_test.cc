#include "base/file_io.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <filesystem>
#include <string>

#include "base/mapped_file.h"
#include "tests/testing/golden.h"

namespace fulmen {
namespace {

namespace fs = std::filesystem;

size_t FileCount(const std::string& folder) {
  return static_cast<size_t>(
      std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
}

TEST(FileIo, WritesAndReadsBack) {
  const testing::TemporaryFolder folder;
  std::string contents(200'000, 'x');
  contents[1000] = '\0';
  ASSERT_TRUE(WriteFileAtomically(folder / "a", contents));
  EXPECT_EQ(ReadFile(folder / "a").value(), contents);
  ASSERT_TRUE(WriteFileAtomically(folder / "a", "shorter"));
  EXPECT_EQ(ReadFile(folder / "a").value(), "shorter");
  EXPECT_EQ(FileCount(folder.path()), 1U);
}

TEST(FileIo, WithoutCommitNothingChanges) {
  const testing::TemporaryFolder folder;
  ASSERT_TRUE(WriteFileAtomically(folder / "a", "old"));
  {
    Result<AtomicFile> file = AtomicFile::Create(folder / "a");
    ASSERT_TRUE(file);
    ASSERT_TRUE(file->Write("new"));
    const AtomicFile moved = std::move(*file);
  }
  EXPECT_EQ(ReadFile(folder / "a").value(), "old");
  EXPECT_EQ(FileCount(folder.path()), 1U);
}

TEST(FileIo, FailuresNameTheFile) {
  const testing::TemporaryFolder folder;
  const Result<std::string> missing = ReadFile(folder / "none");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().message, (folder / "none") + ": No such file or directory");
  EXPECT_FALSE(ReadFile(folder.path()));
  const Status nowhere = WriteFileAtomically(folder / "none/a", "x");
  ASSERT_FALSE(nowhere);
  EXPECT_EQ(nowhere.error().code, ErrorCode::kIo);
}

// The limit on file sizes stands in for a full disk.
TEST(FileIo, FailedWriteLeavesNothing) {
  const testing::TemporaryFolder folder;
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit small{4096, before.rlim_max};
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const Status status = WriteFileAtomically(folder / "a", std::string(10'000, 'x'));
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  ASSERT_FALSE(status);
  EXPECT_EQ(FileCount(folder.path()), 0U);
}

TEST(MappedFile, MapsWholeFiles) {
  const testing::TemporaryFolder folder;
  ASSERT_TRUE(WriteFileAtomically(folder / "a", "contents"));
  Result<MappedFile> file = MappedFile::Open(folder / "a");
  ASSERT_TRUE(file);
  MappedFile moved = std::move(*file);
  const auto* text = reinterpret_cast<const char*>(moved.bytes().data());
  EXPECT_EQ(std::string(text, moved.bytes().size()), "contents");
  EXPECT_EQ(moved.path(), folder / "a");

  ASSERT_TRUE(WriteFileAtomically(folder / "empty", ""));
  EXPECT_EQ(MappedFile::Open(folder / "empty").value().bytes().size(), 0U);
}

TEST(MappedFile, RefusesFoldersAndMissingFiles) {
  const testing::TemporaryFolder folder;
  ASSERT_FALSE(MappedFile::Open(folder.path()));
  const Result<MappedFile> missing = MappedFile::Open(folder / "none");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().message, (folder / "none") + ": No such file or directory");
}

}  // namespace
}  // namespace fulmen
