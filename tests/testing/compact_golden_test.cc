// The compact goldens in this repository are copies, byte for byte, of files of the full set.
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/testing/golden.h"

namespace fulmen {
namespace {

namespace fs = std::filesystem;

constexpr uintmax_t kLimit = 12'000'000;

TEST(CompactGoldens, AreCopiesOfTheFullSet) {
  const std::string shared = testing::SharedRoot();
  if (shared.empty()) GTEST_SKIP() << "the full set is not here";
  const fs::path root = fs::path(testing::SourcePath("tests/golden"));
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(root)) {
    if (!entry.is_regular_file()) continue;
    const fs::path original = fs::path(shared) / "golden" / fs::relative(entry.path(), root);
    ASSERT_TRUE(fs::exists(original)) << original;
    EXPECT_EQ(testing::ReadFileOrDie(entry.path()), testing::ReadFileOrDie(original)) << original;
  }
}

TEST(CompactGoldens, StaySmall) {
  uintmax_t bytes = 0;
  for (const fs::directory_entry& entry :
       fs::recursive_directory_iterator(fs::path(testing::SourcePath("tests/golden")))) {
    if (entry.is_regular_file()) bytes += entry.file_size();
  }
  EXPECT_LE(bytes, kLimit);
}

}  // namespace
}  // namespace fulmen
