#include "engine/prefix_cache.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <optional>
#include <vector>

#include "engine/testing/tagged_state.h"

namespace fulmen {
namespace {

using testing::HoldsTags;
using testing::Joined;
using testing::kPlenty;
using testing::RandomKeys;
using testing::ReadTagged;

using Keys = std::vector<PrefixKey>;
using Cuts = std::map<int64_t, SnapshotKind>;

// A pool for so many states and pages and its cache, and what an engine does with them.
class PrefixCacheTest : public ::testing::Test {
 protected:
  void SetUp() override { Limit(kPlenty, kPlenty); }

  void Limit(int64_t slots, int64_t pages) {
    cache_.reset();
    const StatePool one(testing::TaggedConfig());
    pool_.emplace(testing::TaggedConfig(),
                  StatePool::Options{.most_page_bytes = pages * one.page_bytes(),
                                     .most_slot_bytes = slots * one.slot_bytes(),
                                     .poison = true});
    cache_.emplace(*pool_);
  }

  static std::span<const PrefixKey> First(const Keys& keys, int64_t count) {
    return std::span(keys).first(static_cast<size_t>(count));
  }
  int64_t FreeSlots() const {
    return (pool_->options().most_slot_bytes - pool_->used_slot_bytes()) / pool_->slot_bytes();
  }

  // A state that has read `keys`.
  SequenceState Read(const std::string& space, std::span<const PrefixKey> keys) {
    SequenceState state = pool_->Create().value();
    EXPECT_TRUE(ReadTagged(state, space, keys));
    return state;
  }

  // Makes room for the rest of `keys` and reads it.
  void ReadOn(SequenceState& state, const std::string& space, std::span<const PrefixKey> keys) {
    EXPECT_TRUE(cache_->MakeRoom(0, state.PagesFor(std::ssize(keys) - state.position())));
    EXPECT_TRUE(ReadTagged(state, space, keys));
  }

  // Reads a prompt and its answer: takes snapshots at the cuts, and before the last token of the
  // prompt, and leaves its own state.
  PrefixMatch Serve(const std::string& space, const Keys& prompt, Cuts cuts, const Keys& answer) {
    const int64_t end = std::ssize(prompt) - 1;
    const PrefixMatch match = cache_->Find(space, prompt, end);
    EXPECT_TRUE(cache_->MakeRoom(1, 1, match.state));
    SequenceState state = (match.state != nullptr ? match.state->Fork() : pool_->Create()).value();
    EXPECT_TRUE(HoldsTags(state, space, prompt));
    cuts[end] = SnapshotKind::kEnd;
    int64_t kept = match.position;
    for (const auto& [position, kind] : cuts) {
      if (position <= match.position) continue;
      const auto read = First(prompt, position);
      ReadOn(state, space, read);
      if (!cache_->MakeRoomForSnapshot(space, read, kind, position - kept)) continue;
      cache_->Insert(space, read, state.Fork().value(), kind);
      kept = position;
    }
    const Keys all = Joined(prompt, answer);
    ReadOn(state, space, all);
    cache_->Insert(space, all, std::move(state), SnapshotKind::kEnd);
    return match;
  }

  // Reads `keys` and leaves snapshots at these positions.
  void InsertAt(const Keys& keys, const std::vector<int64_t>& positions, SnapshotKind kind) {
    SequenceState state = pool_->Create().value();
    for (const int64_t position : positions) {
      const auto read = First(keys, position);
      EXPECT_TRUE(ReadTagged(state, "", read));
      cache_->Insert("", read, state.Fork().value(), kind);
    }
  }

  // Where snapshots of `keys` are, from the deepest on.
  std::vector<int64_t> Positions(const std::string& space, const Keys& keys) {
    std::vector<int64_t> positions;
    int64_t most = std::ssize(keys);
    while (true) {
      const PrefixMatch match = cache_->Find(space, keys, most);
      if (match.state == nullptr) return positions;
      EXPECT_TRUE(HoldsTags(*match.state, space, keys));
      positions.push_back(match.position);
      most = match.position - 1;
    }
  }

  std::optional<StatePool> pool_;
  std::optional<PrefixCache> cache_;
};

TEST_F(PrefixCacheTest, SaysWhyNotAllWasReused) {
  Limit(4, kPlenty);
  const Keys keys = RandomKeys(1, 1000);
  const auto cause = [&](int64_t most) { return cache_->Find("", keys, most).cause; };
  EXPECT_EQ(cause(999), MissCause::kNew);
  EXPECT_EQ(cause(0), MissCause::kNone);
  cache_->Note("", First(keys, 900));
  EXPECT_EQ(cache_->Find("", keys, 999).known, 900);
  EXPECT_EQ(cause(999), MissCause::kBetween);
  InsertAt(keys, {300, 600, 900}, SnapshotKind::kEnd);
  EXPECT_EQ(cache_->Find("", keys, 999).position, 900);
  EXPECT_EQ(cause(999), MissCause::kNone);
  EXPECT_EQ(cause(899), MissCause::kBetween);
  EXPECT_EQ(cause(299), MissCause::kBetween);
  ASSERT_TRUE(cache_->MakeRoom(4, 0));
  EXPECT_EQ(cause(999), MissCause::kEvicted);
  EXPECT_EQ(cause(299), MissCause::kBetween);
  EXPECT_EQ(cache_->snapshots(), 0);
  EXPECT_EQ(cache_->evictions(), 3);
}

TEST_F(PrefixCacheTest, NamespacesShareNothing) {
  const Keys keys = RandomKeys(1, 700);
  Serve("a", keys, {{300, SnapshotKind::kBorder}}, {});
  const PrefixMatch match = cache_->Find("b", keys, 699);
  EXPECT_EQ(match.state, nullptr);
  EXPECT_EQ(match.known, 0);
  EXPECT_EQ(match.cause, MissCause::kNew);
  EXPECT_EQ(Serve("b", keys, {}, {}).position, 0);
  EXPECT_EQ(Positions("a", keys), (std::vector<int64_t>{700, 699, 300}));
  EXPECT_EQ(Positions("b", keys), (std::vector<int64_t>{700, 699}));
}

TEST_F(PrefixCacheTest, AForkGoesOnFromTheNearestSnapshot) {
  const Keys keys = RandomKeys(1, 6000);
  Cuts cuts;
  for (int64_t position = 400; position < 6000; position += 400) {
    cuts[position] = SnapshotKind::kStride;
  }
  Serve("", keys, cuts, {});
  RandomStream random(1);
  for (int i = 0; i < 50; ++i) {
    const auto parts = static_cast<int64_t>(random.Next() % 5900);
    Keys other(First(keys, parts).begin(), First(keys, parts).end());
    other = Joined(other, Keys(100, 100 + static_cast<PrefixKey>(i)));
    const PrefixMatch match = Serve("", other, {}, {});
    EXPECT_EQ(match.known, parts);
    EXPECT_EQ(match.position, parts / 400 * 400);
  }
}

// An agent that has each turn titled by a request of its own with another system prompt. The two
// conversations need seven states besides the one that runs: with fewer, at most an answer is read
// again.
TEST_F(PrefixCacheTest, TwoSystemPromptsTakeTurns) {
  for (const int64_t slots : {6, 8}) {
    Limit(slots, 100);
    const Keys agent_system = RandomKeys(1, 1500);
    const Keys title_system = RandomKeys(2, 400);
    Keys talk = agent_system;
    for (uint64_t turn = 0; turn < 20; ++turn) {
      const int64_t before = turn > 0 ? std::ssize(talk) : 0;
      talk = Joined(talk, RandomKeys(100 + turn, 150));
      const Keys answer = RandomKeys(200 + turn, 100);
      const PrefixMatch match = Serve("", talk, {{1500, SnapshotKind::kBorder}}, answer);
      EXPECT_GE(match.position, slots < 8 ? before - 101 : before);
      talk = Joined(talk, answer);

      const Keys title = Joined(title_system, RandomKeys(300 + turn, 150));
      const PrefixMatch title_match =
          Serve("", title, {{400, SnapshotKind::kBorder}}, RandomKeys(400 + turn, 10));
      EXPECT_EQ(title_match.position, turn > 0 ? 400 : 0);
    }
  }
}

TEST_F(PrefixCacheTest, AConversationKeepsTheSystemPromptItGrewFrom) {
  Limit(5, 100);
  const Keys system = RandomKeys(1, 200);
  const Cuts border = {{200, SnapshotKind::kBorder}};
  Keys talk = system;
  for (uint64_t turn = 0; turn < 60; ++turn) {
    talk = Joined(talk, RandomKeys(100 + turn, 100));
    const Keys answer = RandomKeys(200 + turn, 100);
    Serve("", talk, border, answer);
    talk = Joined(talk, answer);
  }
  EXPECT_EQ(Serve("", Joined(system, RandomKeys(2, 100)), border, {}).position, 200);
}

TEST_F(PrefixCacheTest, StridesThinOutEvenlyAndTheFirstBorderStays) {
  Limit(8, 200);
  const Keys keys = RandomKeys(1, 30'000);
  Cuts cuts = {{700, SnapshotKind::kBorder}};
  for (int64_t stride = 1; stride < 60; ++stride) cuts[500 * stride] = SnapshotKind::kStride;
  Serve("", keys, cuts, {});
  std::vector<int64_t> positions = Positions("", keys);
  EXPECT_EQ(std::ssize(positions), 8);
  std::ranges::reverse(positions);
  EXPECT_EQ(positions[0], 700);
  EXPECT_EQ(positions[6], 29'999);
  EXPECT_EQ(positions[7], 30'000);
  for (size_t i = 1; i < 7; ++i) {
    EXPECT_GE(positions[i] - positions[i - 1], 1900) << i;
    EXPECT_LE(positions[i] - positions[i - 1], 10'000) << i;
  }
}

TEST_F(PrefixCacheTest, ManyThatGoAtOnceLeaveTheOthersEvenly) {
  Limit(17, 200);
  const Keys keys = RandomKeys(1, 16 * 256);
  std::vector<int64_t> positions;
  for (int64_t i = 1; i <= 16; ++i) positions.push_back(256 * i);
  InsertAt(keys, positions, SnapshotKind::kStride);
  // It holds all pages, so that all snapshots free the same.
  const SequenceState running = cache_->Find("", keys, 16 * 256).state->Fork().value();
  ASSERT_TRUE(cache_->MakeRoom(8, 0));
  positions = Positions("", keys);
  EXPECT_EQ(positions.size(), 8);
  positions.push_back(0);
  for (size_t i = 1; i < positions.size(); ++i) {
    EXPECT_LE(positions[i - 1] - positions[i], 2 * 256);
  }
}

TEST_F(PrefixCacheTest, ALongPromptLeavesOthersTheirBeginnings) {
  Limit(8, 300);
  const Keys system = RandomKeys(1, 1500);
  const Cuts border = {{1500, SnapshotKind::kBorder}};
  const Keys first = Joined(system, RandomKeys(2, 300));
  Serve("", first, border, {});
  Cuts strides;
  for (int64_t stride = 1; stride < 60; ++stride) strides[500 * stride] = SnapshotKind::kStride;
  EXPECT_EQ(Serve("", RandomKeys(3, 30'000), strides, {}).position, 0);
  EXPECT_EQ(Serve("", Joined(system, RandomKeys(4, 300)), border, {}).position, 1500);
}

TEST_F(PrefixCacheTest, WhatManyGoOnFromOutlastsStrides) {
  Limit(10, 300);
  const Keys shared = RandomKeys(1, 2000);
  InsertAt(shared, {1000, 2000}, SnapshotKind::kStride);
  for (const PrefixKey key : {10, 11, 12}) cache_->Note("", Joined(shared, Keys(5, key)));
  // Seven more of the same kind, which save more each.
  for (uint64_t i = 0; i < 7; ++i) {
    InsertAt(RandomKeys(10 + i, 2000), {2000}, SnapshotKind::kStride);
  }
  ASSERT_TRUE(cache_->MakeRoom(9, 0));
  EXPECT_EQ(Positions("", shared), (std::vector<int64_t>{2000}));
}

TEST_F(PrefixCacheTest, WhatIsNotUsedFallsBehind) {
  Limit(5, 300);
  const Keys old = RandomKeys(1, 3000);
  InsertAt(old, {3000}, SnapshotKind::kEnd);
  // Each is worth less than the first one was.
  const auto keys = [](uint64_t i) { return RandomKeys(10 + i, 1000); };
  for (uint64_t i = 0; i < 40; ++i) {
    ASSERT_TRUE(cache_->MakeRoom(2, 4));
    InsertAt(keys(i), {1000}, SnapshotKind::kEnd);
  }
  EXPECT_TRUE(Positions("", old).empty());
  for (uint64_t i = 36; i < 40; ++i) EXPECT_EQ(std::ssize(Positions("", keys(i))), 1);
}

TEST_F(PrefixCacheTest, ANewSnapshotDisplacesOnlyThoseWorthLess) {
  Limit(4, 300);
  const Keys keys = RandomKeys(1, 4000);
  InsertAt(keys, {1000, 1500, 4000}, SnapshotKind::kStride);
  const SequenceState running = Read("", RandomKeys(2, 256));
  const Keys other = RandomKeys(3, 256);
  EXPECT_FALSE(cache_->MakeRoomForSnapshot("", other, SnapshotKind::kStride, 300));
  EXPECT_FALSE(cache_->MakeRoomForSnapshot("", other, SnapshotKind::kEnd, 15));
  EXPECT_FALSE(cache_->MakeRoomForSnapshot("", First(keys, 1500), SnapshotKind::kBranch, 500));
  EXPECT_EQ(cache_->evictions(), 0);
  EXPECT_TRUE(cache_->MakeRoomForSnapshot("", other, SnapshotKind::kStride, 700));
  EXPECT_EQ(FreeSlots(), 1);
  EXPECT_EQ(Positions("", keys), (std::vector<int64_t>{4000, 1000}));
}

TEST_F(PrefixCacheTest, NothingIsEvictedInVain) {
  Limit(kPlenty, 20);
  const Keys keys = RandomKeys(1, 8 * 256);
  // A sequence that runs holds the pages of all its snapshots.
  const SequenceState running = Read("", keys);
  cache_->Insert("", keys, running.Fork().value(), SnapshotKind::kEnd);
  const Keys other = RandomKeys(2, 10 * 256 + 50);
  cache_->Insert("", First(other, 2560), Read("", First(other, 2560)), SnapshotKind::kBorder);
  EXPECT_FALSE(cache_->MakeRoom(0, 13));
  EXPECT_EQ(cache_->snapshots(), 2);
  // All that can be had is what the other one holds.
  EXPECT_TRUE(cache_->MakeRoom(0, 12));
  EXPECT_EQ(Positions("", keys), (std::vector<int64_t>{2048}));
  EXPECT_TRUE(Positions("", other).empty());
}

TEST_F(PrefixCacheTest, AMatchCanBeKeptOrTaken) {
  Limit(1, 10);
  const Keys keys = RandomKeys(1, 300);
  cache_->Insert("", keys, Read("", keys), SnapshotKind::kEnd);
  const PrefixMatch match = cache_->Find("", keys, 300);
  EXPECT_FALSE(cache_->MakeRoom(1, 0, match.state));
  const SequenceState state = cache_->Take("", keys);
  EXPECT_TRUE(HoldsTags(state, "", keys));
  EXPECT_EQ(cache_->snapshots(), 0);
  EXPECT_EQ(cache_->Find("", keys, 299).cause, MissCause::kBetween);
  EXPECT_EQ(cache_->Find("", keys, 300).cause, MissCause::kEvicted);
}

TEST_F(PrefixCacheTest, APinnedSnapshotStays) {
  Limit(2, 10);
  const Keys keys = RandomKeys(1, 300);
  const Keys other = RandomKeys(2, 300);
  EXPECT_EQ(cache_->Pin("", keys), nullptr);
  cache_->Insert("", keys, Read("", keys), SnapshotKind::kStride);
  cache_->Insert("", other, Read("", other), SnapshotKind::kBranch);
  EXPECT_EQ(cache_->Pin("", First(keys, 299)), nullptr);
  const SequenceState* const pinned = cache_->Pin("", keys);
  EXPECT_EQ(cache_->Pin("", keys), pinned);
  EXPECT_FALSE(cache_->MakeRoom(2, 0));
  EXPECT_EQ(cache_->snapshots(), 2);
  EXPECT_TRUE(cache_->MakeRoom(1, 0));
  EXPECT_EQ(cache_->Find("", keys, 300).state, pinned);
  EXPECT_TRUE(cache_->Find("", keys, 300).pinned);
  cache_->Unpin("", keys);
  EXPECT_FALSE(cache_->MakeRoom(2, 0));
  cache_->Unpin("", keys);
  EXPECT_FALSE(cache_->Find("", keys, 300).pinned);
  EXPECT_TRUE(cache_->MakeRoom(2, 0));
}

TEST_F(PrefixCacheTest, TheSecondOfTwoEqualStatesIsGivenBack) {
  Limit(3, kPlenty);
  const Keys keys = RandomKeys(1, 300);
  cache_->Insert("", keys, Read("", keys), SnapshotKind::kStride);
  cache_->Insert("", keys, Read("", keys), SnapshotKind::kBranch);
  EXPECT_EQ(cache_->snapshots(), 1);
  EXPECT_EQ(pool_->used_slot_bytes(), pool_->slot_bytes());
  EXPECT_EQ(pool_->used_page_bytes(), 2 * pool_->page_bytes());
  // The one that stays is worth as much as the one that came.
  InsertAt(RandomKeys(2, 2000), {2000}, SnapshotKind::kStride);
  ASSERT_TRUE(cache_->MakeRoom(2, 0));
  EXPECT_EQ(std::ssize(Positions("", keys)), 1);
}

TEST_F(PrefixCacheTest, RoomThatNothingWasReadIntoIsGivenBack) {
  const Keys keys = RandomKeys(1, 300);
  SequenceState state = Read("", keys);
  ASSERT_TRUE(state.Reserve(10'000));
  cache_->Insert("", keys, std::move(state), SnapshotKind::kEnd);
  EXPECT_EQ(pool_->used_page_bytes(), 2 * pool_->page_bytes());
}

}  // namespace
}  // namespace fulmen
