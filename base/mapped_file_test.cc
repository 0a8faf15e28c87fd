#include "base/mapped_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <string>
#include <vector>

#include "base/file_io.h"
#include "base/memory.h"
#include "tests/testing/golden.h"

namespace fulmen {
namespace {

using testing::TemporaryFolder;

constexpr size_t kBytes = 1 << 16;

TEST(MappedFile, MapsWholeFiles) {
  const TemporaryFolder folder;
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

// Whether every page of a mapped file is in memory.
bool IsResident(const MappedFile& file) {
  std::vector<unsigned char> pages(file.bytes().size() / 4096);
  EXPECT_EQ(mincore(const_cast<std::byte*>(file.bytes().data()), file.bytes().size(), pages.data()),
            0);
  return std::ranges::all_of(pages, [](unsigned char page) { return (page & 1) != 0; });
}

TEST(MappedFile, FetchesPagesThatAreNotInMemory) {
  const TemporaryFolder folder;
  const std::string path = folder / "a";
  ASSERT_TRUE(WriteFileAtomically(path, std::string(64 << 20, 'x')));
  const int file = open(path.c_str(), O_RDONLY);
  ASSERT_EQ(posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED), 0);
  close(file);
  const MappedFile mapped = *MappedFile::Open(path);
  if (IsResident(mapped)) GTEST_SKIP() << "this file system keeps its files in memory";
  FetchMappedPages(mapped.bytes().data() + 1, mapped.bytes().size() - 1);
  for (int i = 0; i < 1000 && !IsResident(mapped); ++i) usleep(10'000);
  EXPECT_TRUE(IsResident(mapped));
  const std::vector<std::byte> other(10);
  FetchMappedPages(other.data(), other.size());  // of no file
}

TEST(MappedFile, RefusesFoldersAndMissingFiles) {
  const TemporaryFolder folder;
  ASSERT_FALSE(MappedFile::Open(folder.path()));
  const Result<MappedFile> missing = MappedFile::Open(folder / "none");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().message, (folder / "none") + ": No such file or directory");
}

TEST(MappedFileDeathTest, CutShortIsToldByName) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const TemporaryFolder folder;
  const std::string path = folder / "file";
  const auto cut_and_read = [&] {
    EndWhenMappedFilesShrink();
    if (!WriteFileAtomically(path, std::string(kBytes, 'x'))) return;
    // Others come and go, and files that were moved are known still.
    const auto other = MappedFile::Open(path);
    { const auto third = MappedFile::Open(path); }
    MappedFile file = *MappedFile::Open(path);
    MappedFile moved = std::move(file);
    std::filesystem::resize_file(path, 1);
    volatile std::byte last = moved.bytes()[kBytes - 1];
    (void)last;
  };
  EXPECT_EXIT(cut_and_read(), ::testing::ExitedWithCode(EXIT_FAILURE),
              "file: the file was cut short");
}

TEST(MappedFileDeathTest, OtherBusErrorsStayWhatTheyAre) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto send = [] {
    std::signal(SIGBUS, SIG_DFL);  // sanitizers have handlers of their own
    EndWhenMappedFilesShrink();
    raise(SIGBUS);
  };
  EXPECT_EXIT(send(), ::testing::KilledBySignal(SIGBUS), "");
  const TemporaryFolder folder;
  const std::string path = folder / "file";
  const auto read_beyond_the_end = [&] {
    if (!WriteFileAtomically(path, std::string(kBytes, 'x'))) return;
    std::signal(SIGBUS, SIG_DFL);
    EndWhenMappedFilesShrink();
    FILE* file = std::fopen(path.c_str(), "re");
    void* data = mmap(nullptr, kBytes, PROT_READ, MAP_SHARED, fileno(file), 0);
    std::filesystem::resize_file(path, 1);
    volatile std::byte last = static_cast<std::byte*>(data)[kBytes - 1];
    (void)last;
  };
  EXPECT_EXIT(read_beyond_the_end(), ::testing::KilledBySignal(SIGBUS), "");
}

// Of the file, never of other memory, whose bytes would be lost.
TEST(MappedFile, ReturnedPagesAreReadAgain) {
  const TemporaryFolder folder;
  const std::string text(100'000, 'x');
  ASSERT_TRUE(WriteFileAtomically(folder / "file", text));
  const Result<MappedFile> file = MappedFile::Open(folder / "file");
  ASSERT_TRUE(file);
  ReturnMappedPages(file->bytes().data() + 5000, 50'000);
  const auto* data = reinterpret_cast<const char*>(file->bytes().data());
  EXPECT_EQ(std::string(data, file->bytes().size()), text);

  const std::vector<std::byte, AlignedAllocator<std::byte>> memory(100'000, std::byte{7});
  ReturnMappedPages(memory.data(), memory.size());
  EXPECT_EQ(memory[50'000], std::byte{7});
}

}  // namespace
}  // namespace fulmen
