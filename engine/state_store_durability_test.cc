// What a store of states promises when something goes wrong: files that are damaged or not where
// they belong, a full disk, processes killed in the middle.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "base/random.h"
#include "engine/state_store.h"
#include "engine/testing/stored_states.h"
#include "engine/testing/tagged_state.h"
#include "tests/testing/golden.h"

namespace fulmen {
namespace {

namespace fs = std::filesystem;
using testing::kPlenty;
using testing::RandomKeys;
using testing::StoredStates;

class StateStoreDurability : public ::testing::Test {
 protected:
  // Two states with two pages each, the first of which they share.
  void Fill() {
    const auto store = states_.MustOpen(kPlenty);
    own_ = store->folder();
    ASSERT_TRUE(states_.Write(*store, "s", long_));
    ASSERT_TRUE(states_.Write(*store, "s", other_));
    ASSERT_EQ(store->stats().pages, 3);
  }
  std::vector<std::string> Files() const {
    std::vector<std::string> files;
    for (const auto& entry : fs::directory_iterator(own_)) {
      if (entry.path().extension() == ".page" || entry.path().extension() == ".state") {
        files.push_back(entry.path().string());
      }
    }
    std::ranges::sort(files);
    return files;
  }
  // Loads both, each of which is right or a miss; HoldsTags ends the program otherwise. Then both
  // are stored once more and have to be there. Returns how many were missed.
  int64_t MissAndMend(int64_t found_wrong) {
    const auto store = states_.MustOpen(kPlenty);
    int64_t missed = 0;
    for (const auto& keys : {long_, other_}) missed += states_.Loads(*store, "s", keys) ? 0 : 1;
    const StateStoreStats stats = store->stats();
    EXPECT_EQ(stats.damaged + stats.foreign + stats.unreadable > 0, found_wrong > 0);
    for (const auto& keys : {long_, other_}) EXPECT_TRUE(states_.Write(*store, "s", keys));
    for (const auto& keys : {long_, other_}) EXPECT_TRUE(states_.Loads(*store, "s", keys));
    EXPECT_EQ(Files().size(), 5U);
    EXPECT_EQ(testing::BytesOfFiles(own_), store->stats().bytes);
    return missed;
  }

  const testing::TemporaryFolder folder_;
  StoredStates states_{folder_.path()};
  std::string own_;
  const std::vector<PrefixKey> long_ = RandomKeys(1, 600);
  const std::vector<PrefixKey> other_ =
      testing::Joined(std::span(long_).first(300), RandomKeys(2, 300));
};

TEST_F(StateStoreDurability, EveryFlippedByteCostsAMiss) {
  Fill();
  RandomStream random(3);
  for (const std::string& file : Files()) {
    const std::string whole = testing::ReadFileOrDie(file);
    for (size_t round = 0; round < 150; ++round) {
      const size_t offset = round < 50 ? round * 5 % whole.size() : random.Next() % whole.size();
      SCOPED_TRACE(file + " " + std::to_string(offset));
      std::string changed = whole;
      changed[offset] = static_cast<char>(changed[offset] ^ (1 << random.Next() % 8));
      std::ofstream(file, std::ios::binary) << changed;
      EXPECT_GE(MissAndMend(1), 1);
      if (HasFailure()) return;
    }
  }
}

TEST_F(StateStoreDurability, CutLongerAndEmptyFilesCostAMiss) {
  Fill();
  RandomStream random(4);
  for (const std::string& file : Files()) {
    const std::string whole = testing::ReadFileOrDie(file);
    for (size_t round = 0; round < 40; ++round) {
      const size_t size = round < 4   ? round
                          : round < 8 ? whole.size() - round + 3
                                      : random.Next() % whole.size();
      SCOPED_TRACE(file + " " + std::to_string(size));
      if (size == whole.size()) {
        std::ofstream(file, std::ios::binary | std::ios::app) << '\0';
      } else {
        fs::resize_file(file, size);
      }
      EXPECT_GE(MissAndMend(1), 1);
      if (HasFailure()) return;
    }
  }
}

TEST_F(StateStoreDurability, FilesInEachOthersPlaceCostAMiss) {
  Fill();
  const std::vector<std::string> files = Files();
  for (const std::string& from : files) {
    for (const std::string& to : files) {
      if (from == to) continue;
      SCOPED_TRACE(fmt::format("{} as {}", from, to));
      fs::copy_file(from, to, fs::copy_options::overwrite_existing);
      EXPECT_GE(MissAndMend(1), 1);
      if (HasFailure()) return;
    }
  }
}

TEST_F(StateStoreDurability, FilesOfAnotherIdentityCostAMiss) {
  Fill();
  const std::string ours = own_;
  const StateIdentity identity = states_.identity();
  states_.identity().model = "another";
  Fill();
  const std::string theirs = own_;
  states_.identity() = identity;
  own_ = ours;
  ASSERT_NE(ours, theirs);
  for (const std::string& file : Files()) {
    SCOPED_TRACE(file);
    const fs::path name = fs::path(file).filename();
    fs::copy_file(theirs / name, file, fs::copy_options::overwrite_existing);
    EXPECT_GE(MissAndMend(1), 1);
  }
}

TEST_F(StateStoreDurability, MissingFilesCostAMiss) {
  Fill();
  for (const std::string& file : Files()) {
    SCOPED_TRACE(file);
    fs::remove(file);
    const bool page = file.ends_with(".page");
    EXPECT_GE(MissAndMend(page ? 1 : 0), 1);
  }
}

TEST_F(StateStoreDurability, FilesThatVanishWhileItIsOpenCostAMiss) {
  Fill();
  for (const std::string& file : Files()) {
    SCOPED_TRACE(file);
    const auto store = states_.MustOpen(kPlenty);
    fs::remove(file);
    int64_t missed = 0;
    for (const auto& keys : {long_, other_}) missed += states_.Loads(*store, "s", keys) ? 0 : 1;
    EXPECT_GE(missed, 1);
    EXPECT_EQ(store->stats().unreadable, 1);
    for (const auto& keys : {long_, other_}) EXPECT_TRUE(states_.Write(*store, "s", keys));
    for (const auto& keys : {long_, other_}) EXPECT_TRUE(states_.Loads(*store, "s", keys));
  }
}

TEST_F(StateStoreDurability, RemovesWhatNobodyNeeds) {
  Fill();
  const std::string digits(32, 'a');
  for (const char* ending : {".page", ".state.0123456789abcdef"}) {
    std::ofstream(own_ + "/" + digits + ending) << "x";
  }
  std::ofstream(own_ + "/README") << "x";
  states_.MustOpen(kPlenty).reset();
  EXPECT_EQ(Files().size(), 5U);
  EXPECT_FALSE(fs::exists(own_ + "/" + digits + ".state.0123456789abcdef"));
  EXPECT_TRUE(fs::exists(own_ + "/README"));  // not ours
}

TEST_F(StateStoreDurability, AFullDiskCostsWhatDidNotFit) {
  const auto store = states_.MustOpen(kPlenty);
  own_ = store->folder();
  const auto few = RandomKeys(5, 100);
  ASSERT_TRUE(states_.Write(*store, "", few));
  const int64_t bytes = store->stats().bytes;
  const auto previous = std::signal(SIGXFSZ, SIG_IGN);  // as the program does
  rlimit limit{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &limit), 0);
  const rlimit before = limit;
  std::vector<Status> statuses;
  // So that the first page, or none of them but the state, is more than the disk takes.
  for (const int64_t most : {10, 100, 3000, 17'000, 30'000}) {
    limit.rlim_cur = static_cast<rlim_t>(most);
    setrlimit(RLIMIT_FSIZE, &limit);
    statuses.push_back(states_.Write(*store, "s", long_));
    setrlimit(RLIMIT_FSIZE, &before);
    EXPECT_EQ(Files().size(), 1U) << most;
  }
  std::signal(SIGXFSZ, previous);
  for (const Status& status : statuses) {
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code, ErrorCode::kIo) << status.error().message;
  }
  EXPECT_EQ(store->stats().refused, std::ssize(statuses));
  EXPECT_EQ(store->stats().bytes, bytes);
  EXPECT_TRUE(states_.Loads(*store, "", few));
  EXPECT_TRUE(states_.Write(*store, "s", long_));  // there is room again
  EXPECT_TRUE(states_.Loads(*store, "s", long_));
}

TEST_F(StateStoreDurability, AFolderThatIsNoneIsTold) {
  std::ofstream(folder_ / "file") << "x";
  const auto store = StateStore::Open(folder_ / "file", states_.identity(), kPlenty);
  ASSERT_FALSE(store);
  EXPECT_EQ(store.error().code, ErrorCode::kIo);
}

// Writes and loads until it is killed, with a budget for about a third of what it writes.
void WriteForever(const std::string& folder, uint64_t seed) {
  StoredStates states(folder);
  const auto store = states.MustOpen(states.MostBytes(4000));
  RandomStream random(seed);
  for (;;) {
    const auto keys = RandomKeys(random.Next() % 12, 1 + static_cast<int64_t>(random.Next() % 900));
    if (random.Next() % 3 == 0) {
      const int64_t position = store->Find("", keys, std::ssize(keys));
      if (position == 0) continue;
      if (!states.Loads(*store, "", std::span(keys).first(position))) _exit(1);
    } else if (!states.Write(*store, "", keys)) {
      _exit(2);
    }
  }
}

TEST_F(StateStoreDurability, KilledProcessesLeaveNothingWrong) {
  constexpr int kRounds = 40;
  RandomStream random(9);
  int64_t found = 0;
  for (int round = 0; round < kRounds && !HasFailure(); ++round) {
    SCOPED_TRACE(round);
    const pid_t child = fork();
    if (child == 0) WriteForever(folder_.path(), static_cast<uint64_t>(round));
    std::this_thread::sleep_for(std::chrono::microseconds(1'000 + random.Next() % 40'000));
    kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFSIGNALED(status)) << "ended by itself with " << WEXITSTATUS(status);
    const auto store = states_.MustOpen(states_.MostBytes(4000));
    EXPECT_EQ(store->stats().damaged + store->stats().foreign + store->stats().unreadable, 0);
    EXPECT_EQ(testing::BytesOfFiles(store->folder()), store->stats().bytes);
    for (uint64_t seed = 0; seed < 12; ++seed) {
      const auto keys = RandomKeys(seed, 900);
      for (int64_t most = 900; (most = store->Find("", keys, most)) > 0; --most, ++found) {
        EXPECT_TRUE(states_.Loads(*store, "", std::span(keys).first(most)));
      }
    }
  }
  EXPECT_GT(found, kRounds);
}

}  // namespace
}  // namespace fulmen
