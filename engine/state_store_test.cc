#include "engine/state_store.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <list>
#include <map>
#include <string>
#include <vector>

#include "base/random.h"
#include "engine/testing/stored_states.h"
#include "engine/testing/tagged_state.h"
#include "tests/testing/golden.h"

namespace fulmen {
namespace {

using testing::HoldsTags;
using testing::kPlenty;
using testing::RandomKeys;
using testing::ReadTagged;

class StateStoreTest : public ::testing::Test {
 protected:
  const testing::TemporaryFolder folder_;
  testing::StoredStates states_{folder_.path()};
};

TEST_F(StateStoreTest, KeepsStatesOverARestart) {
  const auto keys = RandomKeys(1, 700);
  {
    const auto store = states_.MustOpen(kPlenty);
    for (const int64_t position : {1, 255, 256, 257, 512, 700}) {
      ASSERT_TRUE(states_.Write(*store, "space", std::span(keys).first(position)));
    }
    EXPECT_EQ(store->stats().states, 6);
    EXPECT_EQ(store->stats().pages, 2);
  }
  const auto store = states_.MustOpen(kPlenty);
  EXPECT_EQ(store->stats().states, 6);
  EXPECT_EQ(store->stats().pages, 2);
  for (const auto& [most, position] : std::map<int64_t, int64_t>{
           {0, 0}, {1, 1}, {254, 1}, {256, 256}, {511, 257}, {699, 512}, {700, 700}, {999, 700}}) {
    EXPECT_EQ(store->Find("space", keys, most), position) << most;
    if (position == 0) continue;
    EXPECT_TRUE(states_.Loads(*store, "space", std::span(keys).first(position)));
  }
  EXPECT_EQ(store->Find("other", keys, 700), 0);
  auto parted = keys;
  parted[300] ^= 1;
  EXPECT_EQ(store->Find("space", parted, 700), 257);
  EXPECT_EQ(states_.Load(*store, "other", keys).error().code, ErrorCode::kNotFound);
}

TEST_F(StateStoreTest, SharesPagesWithStatesInMemory) {
  const auto keys = RandomKeys(2, 900);
  const auto store = states_.MustOpen(kPlenty);
  ASSERT_TRUE(states_.Write(*store, "", keys));
  StatePool pool(testing::TaggedConfig());
  SequenceState beginning = pool.Create().value();
  ASSERT_TRUE(ReadTagged(beginning, "", std::span(keys).first(600)));
  SequenceState state = pool.CreateAt(900, &beginning).value();
  EXPECT_EQ(pool.used_page_bytes(), 5 * pool.page_bytes());
  EXPECT_EQ(state.pages()[1], beginning.pages()[1]);
  ASSERT_TRUE(store->Load("", keys, StateBytes(state), 2));
  EXPECT_TRUE(HoldsTags(state, "", keys));
}

TEST_F(StateStoreTest, CutsWhatIsLongIntoChunks) {
  Config config = testing::TaggedConfig();
  config.heads *= 40;
  testing::StoredStates states(folder_.path(), config);
  ASSERT_GT(states.identity().slot_bytes, 2 * static_cast<int64_t>(kChunkBytes));
  ASSERT_NE(states.identity().slot_bytes % kChunkBytes, 0);
  const auto keys = RandomKeys(6, 300);
  const auto store = states.MustOpen(kPlenty);
  ASSERT_TRUE(states.Write(*store, "", keys));
  EXPECT_TRUE(states.Loads(*store, "", keys));
}

TEST_F(StateStoreTest, IsOfOneIdentity) {
  const auto keys = RandomKeys(3, 300);
  StateIdentity other = states_.identity();
  ASSERT_TRUE(states_.Write(*states_.MustOpen(kPlenty), "", keys));
  other.model = "another";
  states_.identity() = other;
  EXPECT_EQ(states_.MustOpen(kPlenty)->Find("", keys, 300), 0);
  other.model = "model";
  other.kernels = "cpu (AVX2)";
  states_.identity() = other;
  EXPECT_EQ(states_.MustOpen(kPlenty)->Find("", keys, 300), 0);
  other.kernels = "cpu";
  other.kv_type = DType::kF16;
  states_.identity() = other;
  EXPECT_EQ(states_.MustOpen(kPlenty)->Find("", keys, 300), 0);
  other.kv_type = DType::kF32;
  states_.identity() = other;
  EXPECT_EQ(states_.MustOpen(kPlenty)->Find("", keys, 300), 300);
}

TEST_F(StateStoreTest, IsItsOwnersAlone) {
  const auto store = states_.MustOpen(kPlenty, "a/b");
  struct stat info {};
  ASSERT_EQ(stat(store->folder().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700U);
  ASSERT_EQ(stat((folder_ / "a/b").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700U);
}

TEST_F(StateStoreTest, IsOpenOnce) {
  auto store = states_.MustOpen(kPlenty);
  const auto second = StateStore::Open(folder_.path(), states_.identity(), kPlenty);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::kConflict);
  EXPECT_TRUE(second.error().message.ends_with(": another process keeps its states there"));
  store.reset();
  EXPECT_TRUE(StateStore::Open(folder_.path(), states_.identity(), kPlenty));
}

TEST_F(StateStoreTest, RefusesWhatIsMoreThanAll) {
  const auto few = RandomKeys(4, 200);
  const auto many = RandomKeys(5, 2000);
  const auto store = states_.MustOpen(states_.MostBytes(200) + 1000);
  ASSERT_TRUE(states_.Write(*store, "", few));
  const Status status = states_.Write(*store, "", many);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kNoRoom);
  EXPECT_EQ(store->Find("", few, 200), 200);  // nothing went for it
  EXPECT_EQ(store->stats().pages, 0);
}

// What a store has to hold: which states, in the order of their last use, and what they hold.
struct ToyStateStore {
  struct Entry {
    std::string space;
    std::vector<PrefixKey> keys;
  };
  std::list<Entry> entries;

  auto At(const std::string& space, std::span<const PrefixKey> keys) {
    return std::ranges::find_if(entries, [&](const Entry& entry) {
      return entry.space == space && std::ranges::equal(entry.keys, keys);
    });
  }
  void Use(const std::string& space, std::span<const PrefixKey> keys) {
    if (const auto entry = At(space, keys); entry != entries.end()) entries.erase(entry);
    entries.push_back({space, {keys.begin(), keys.end()}});
  }
  int64_t Find(const std::string& space, std::span<const PrefixKey> keys, int64_t most) const {
    int64_t found = 0;
    for (const Entry& entry : entries) {
      const auto position = std::ssize(entry.keys);
      if (entry.space == space && position <= most && position <= std::ssize(keys) &&
          std::ranges::equal(entry.keys, keys.first(entry.keys.size()))) {
        found = std::max(found, position);
      }
    }
    return found;
  }
};

// Texts that part and join, in two namespaces.
class RandomStateOperations {
 public:
  RandomStateOperations(testing::StoredStates& states, uint64_t seed)
      : states_(states),
        random_(seed),
        most_bytes_(static_cast<int64_t>(1 + Draw(8)) * states.MostBytes(1200) / 2) {
    store_ = states_.MustOpen(most_bytes_);
    for (int i = 0; i < 3; ++i) texts_.push_back(RandomKeys(seed * 3 + Draw(2), 1200));
    for (int64_t at = 400 + static_cast<int64_t>(Draw(100)); at < 1200; ++at) texts_[1][at] ^= 1;
  }

  void Step() {
    const std::string space = Draw(2) == 0 ? "" : "b";
    const auto& text = texts_[Draw(texts_.size())];
    const auto keys = std::span(text).first(1 + Draw(Draw(3) == 0 ? 1200 : 4) * 299 % 1200);
    const auto most = static_cast<int64_t>(Draw(1300));
    switch (Draw(8)) {
      case 0:
        store_.reset();
        store_ = states_.MustOpen(most_bytes_);
        break;
      case 1:
      case 2:
      case 3: {
        const Status status = states_.Write(*store_, space, keys);
        if (status) {
          model_.Use(space, keys);
        } else {
          EXPECT_EQ(status.error().code, ErrorCode::kNoRoom);
        }
        break;
      }
      case 4:
      case 5: {
        const bool there = model_.At(space, keys) != model_.entries.end();
        EXPECT_EQ(states_.Loads(*store_, space, keys), there);
        if (there) model_.Use(space, keys);
        loads_ += there ? 1 : 0;
        break;
      }
      default:
        EXPECT_EQ(store_->Find(space, keys, most), model_.Find(space, keys, most));
    }
    // Those used longest ago went first.
    while (std::ssize(model_.entries) > store_->stats().states) model_.entries.pop_front();
    EXPECT_EQ(std::ssize(model_.entries), store_->stats().states);
    const int64_t bytes = testing::BytesOfFiles(store_->folder());
    EXPECT_EQ(bytes, store_->stats().bytes);
    EXPECT_LE(bytes, most_bytes_);
  }
  void CheckAll() {
    for (const ToyStateStore::Entry& entry : model_.entries) {
      EXPECT_TRUE(states_.Loads(*store_, entry.space, entry.keys));
    }
    EXPECT_EQ(store_->stats().damaged + store_->stats().foreign + store_->stats().unreadable, 0);
  }
  int64_t loads() const { return loads_; }
  int64_t evicted() const { return store_->stats().evicted; }

 private:
  uint64_t Draw(uint64_t bound) { return random_.Next() % bound; }

  testing::StoredStates& states_;
  RandomStream random_;
  int64_t most_bytes_;
  std::unique_ptr<StateStore> store_;
  std::vector<std::vector<PrefixKey>> texts_;
  ToyStateStore model_;
  int64_t loads_ = 0;
};

TEST_F(StateStoreTest, HoldsWhatAMapWould) {
  int64_t loads = 0;
  int64_t evicted = 0;
  for (uint64_t seed = 0; seed < 12 && !HasFailure(); ++seed) {
    SCOPED_TRACE(seed);
    const testing::TemporaryFolder folder;
    testing::StoredStates states(folder.path());
    RandomStateOperations operations(states, seed);
    for (int step = 0; step < 300 && !HasFailure(); ++step) {
      SCOPED_TRACE(step);
      operations.Step();
    }
    operations.CheckAll();
    loads += operations.loads();
    evicted += operations.evicted();
  }
  EXPECT_GT(loads, 100);
  EXPECT_GT(evicted, 10);
}

TEST_F(StateStoreTest, OpensThousandsOfFilesQuickly) {
  {
    const auto store = states_.MustOpen(kPlenty);
    for (uint64_t i = 0; i < 1500; ++i) {
      ASSERT_TRUE(states_.Write(*store, "", RandomKeys(i, 260)));
    }
  }
  const double start = testing::Seconds();
  const auto store = states_.MustOpen(kPlenty);
  const double seconds = testing::Seconds() - start;
  RecordProperty("seconds", std::to_string(seconds));
  EXPECT_EQ(store->stats().states, 1500);
  EXPECT_LT(seconds, 5);  // of 3000 files, on a machine that does much else
}

}  // namespace
}  // namespace fulmen
