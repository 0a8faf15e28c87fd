#include "base/temporaries.h"

#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>

#include "base/file_io.h"
#include "tests/testing/golden.h"

namespace fulmen {
namespace {

namespace fs = std::filesystem;
using testing::TemporaryFolder;

// A folder with a folder in it, and more files than one reading of its entries gives.
void Fill(const std::string& path) {
  fs::create_directories(path + "/train");
  for (int i = 0; i < 200; ++i) std::ofstream(fmt::format("{}/train/tokens-{:08}", path, i)) << i;
  fs::create_symlink("/", path + "/link");
}

TEST(Temporary, IsRemovedWithAllInIt) {
  const TemporaryFolder folder;
  const std::string path = folder / "some";
  {
    Temporary temporary(path);
    Temporary moved = std::move(temporary);
    Fill(path);
  }
  EXPECT_FALSE(fs::exists(path));
}

TEST(Temporary, KeptOnesStay) {
  const TemporaryFolder folder;
  {
    Temporary file(folder / "kept");
    ASSERT_TRUE(WriteFileAtomically(file.path(), "x"));
    file.Keep();
  }
  EXPECT_TRUE(fs::exists(folder / "kept"));
  RemoveTemporaries();
  EXPECT_TRUE(fs::exists(folder / "kept"));
}

TEST(TemporaryDeathTest, GoesOnEverySignal) {
  GTEST_FLAG_SET(death_test_style, "fast");
  for (const int signal : {SIGHUP, SIGINT, SIGTERM, SIGABRT, SIGSEGV, SIGALRM}) {
    const TemporaryFolder folder;
    const auto die = [&] {
      std::signal(SIGSEGV, SIG_DFL);  // a sanitizer handles some
      std::signal(SIGABRT, SIG_DFL);
      RemoveTemporariesOnSignals();
      const Temporary first(folder / "folder");
      const Temporary second(folder / "file");
      Fill(first.path());
      std::ofstream(second.path()) << "x";
      raise(signal);
    };
    EXPECT_EXIT(die(), ::testing::KilledBySignal(signal), "");
    EXPECT_TRUE(fs::is_empty(folder.path())) << signal;
  }
}

TEST(TemporaryDeathTest, IgnoredSignalsStayIgnored) {
  GTEST_FLAG_SET(death_test_style, "fast");
  const auto ignore = [] {
    std::signal(SIGHUP, SIG_IGN);
    RemoveTemporariesOnSignals();
    raise(SIGHUP);
    _exit(7);
  };
  EXPECT_EXIT(ignore(), ::testing::ExitedWithCode(7), "");
}

}  // namespace
}  // namespace fulmen
