#include "base/file_io.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <filesystem>
#include <string>

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

// Even of a program that is killed nothing stays, since the file has no name until it is whole.
TEST(FileIo, NothingIsSeenBeforeItIsWhole) {
  const testing::TemporaryFolder folder;
  const int nameless = open(folder.path().c_str(), O_TMPFILE | O_WRONLY, 0666);
  if (nameless < 0) GTEST_SKIP() << "this file system has no nameless files";
  close(nameless);
  Result<AtomicFile> file = AtomicFile::Create(folder / "a");
  ASSERT_TRUE(file);
  ASSERT_TRUE(file->Write(std::string(200'000, 'x')));
  EXPECT_EQ(FileCount(folder.path()), 0U);
  ASSERT_TRUE(file->Commit());
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

TEST(FileIo, SymbolicLinksStay) {
  const testing::TemporaryFolder folder;
  fs::create_directory(folder / "below");
  fs::create_symlink("below/file", folder / "link");
  fs::create_symlink("link", folder / "second");
  ASSERT_TRUE(WriteFileAtomically(folder / "second", "new"));  // what they name is made
  ASSERT_TRUE(WriteFileAtomically(folder / "second", "newer"));
  EXPECT_TRUE(fs::is_symlink(folder / "link"));
  EXPECT_TRUE(fs::is_symlink(folder / "second"));
  EXPECT_EQ(ReadFile(folder / "below/file").value(), "newer");
  EXPECT_EQ(FileCount(folder / "below"), 1U);
  fs::create_symlink("circle", folder / "circle");
  const Status circle = WriteFileAtomically(folder / "circle", "x");
  ASSERT_FALSE(circle);
  EXPECT_EQ(circle.error().message,
            fmt::format("cannot write {}: {}", folder / "circle", ErrnoMessage(ELOOP)));
}

TEST(FileIo, PermissionsStay) {
  const testing::TemporaryFolder folder;
  ASSERT_TRUE(WriteFileAtomically(folder / "a", "old"));
  const mode_t mask = umask(0);
  umask(mask);
  struct stat info {};
  ASSERT_EQ(stat((folder / "a").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0666 & ~mask);
  ASSERT_EQ(chmod((folder / "a").c_str(), 0640), 0);
  ASSERT_TRUE(WriteFileAtomically(folder / "a", "new"));
  ASSERT_EQ(stat((folder / "a").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0640U);
}

TEST(FileIo, WritesIntoAFifo) {
  const testing::TemporaryFolder folder;
  const std::string path = folder / "fifo";
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  const int reader = open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  ASSERT_GE(reader, 0);
  ASSERT_TRUE(WriteFileAtomically(path, "through it"));
  std::array<char, 64> buffer;
  const ssize_t count = read(reader, buffer.data(), buffer.size());
  close(reader);
  EXPECT_EQ(std::string(buffer.data(), static_cast<size_t>(std::max<ssize_t>(count, 0))),
            "through it");
  EXPECT_TRUE(fs::is_fifo(path));
  EXPECT_EQ(FileCount(folder.path()), 1U);
}

// Copies of /dev/null and /dev/full, which a mistake may destroy.
TEST(FileIo, WritesIntoDevices) {
  const testing::TemporaryFolder folder;
  const std::string null = folder / "null";
  const std::string full = folder / "full";
  if (mknod(null.c_str(), S_IFCHR | 0600, makedev(1, 3)) != 0 ||
      mknod(full.c_str(), S_IFCHR | 0600, makedev(1, 7)) != 0 ||
      close(open(null.c_str(), O_WRONLY | O_CLOEXEC)) != 0) {
    GTEST_SKIP() << "only root can make devices, where it is allowed to";
  }
  EXPECT_TRUE(WriteFileAtomically(null, "nothing"));
  const Status status = WriteFileAtomically(full, "nothing");
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().message, fmt::format("cannot write {}: {}", full, ErrnoMessage(ENOSPC)));
  EXPECT_TRUE(fs::is_character_file(null));
  EXPECT_TRUE(fs::is_character_file(full));
}

// As /dev/stdout does when standard output is a file: its name may not get another file.
TEST(FileIo, WritesThroughDescriptors) {
  const testing::TemporaryFolder folder;
  const int file = open((folder / "log").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  ASSERT_GE(file, 0);
  ASSERT_EQ(write(file, "before\n", 7), 7);
  ASSERT_TRUE(WriteFileAtomically(fmt::format("/dev/fd/{}", file), "after\n"));
  close(file);
  EXPECT_EQ(ReadFile(folder / "log").value(), "before\nafter\n");
  EXPECT_EQ(FileCount(folder.path()), 1U);
}

TEST(FileIo, FoldersAreNotReplaced) {
  const testing::TemporaryFolder folder;
  fs::create_directory(folder / "a");
  const Status status = WriteFileAtomically(folder / "a", "x");
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().message,
            fmt::format("cannot write {}: {}", folder / "a", ErrnoMessage(EISDIR)));
}

TEST(FileIo, WhatNeverEndsIsRefused) {
  const Result<std::string> zeros = ReadFile("/dev/zero");
  ASSERT_FALSE(zeros);
  EXPECT_TRUE(zeros.error().message.starts_with("/dev/zero: at most ")) << zeros.error().message;
}

TEST(FileIo, WhatMemoryCannotHoldIsRefused) {
  const testing::TemporaryFolder folder;
  ASSERT_TRUE(WriteFileAtomically(folder / "sparse", "x"));
  fs::resize_file(folder / "sparse", uintmax_t{1} << 42);
  const Result<std::string> sparse = ReadFile(folder / "sparse");
  ASSERT_FALSE(sparse);
  EXPECT_TRUE(sparse.error().message.starts_with(
      (folder / "sparse") + ": 4398046511104 bytes do not fit into a memory of "))
      << sparse.error().message;
}

}  // namespace
}  // namespace fulmen
