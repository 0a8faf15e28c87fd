// Random operations on a cache, against a model that looks at everything.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "engine/prefix_cache.h"
#include "engine/testing/tagged_state.h"

namespace fulmen {
namespace {

using testing::HoldsTags;
using testing::Joined;
using testing::RandomKeys;
using testing::ReadTagged;

constexpr int64_t kLongest = 1200;

using Keys = std::vector<PrefixKey>;
// A namespace and keys read there.
struct Prompt {
  std::string space;
  Keys keys;
  bool operator<(const Prompt& other) const {
    return std::tie(space, keys) < std::tie(other.space, other.keys);
  }
  bool BeginsWith(const Prompt& other) const {
    return space == other.space && keys.size() >= other.keys.size() &&
           std::equal(other.keys.begin(), other.keys.end(), keys.begin());
  }
};

class World {
 public:
  World(uint64_t seed, int64_t slots, int64_t pages, int64_t most_ghost_keys)
      : random_(seed),
        most_slots_(slots),
        most_pages_(pages),
        remembers_all_(most_ghost_keys > 1'000'000),
        most_ghost_keys_(most_ghost_keys),
        pool_(testing::TaggedConfig(), Budget(slots, pages)),
        cache_(pool_, {.most_ghost_keys = most_ghost_keys, .fewest_saved_tokens = 1}) {}

  void Step() {
    const int64_t choice = Below(18);
    if (choice < 5) {
      if (running_.size() < 3) Start();
    } else if (choice < 10) {
      Advance();
    } else if (choice < 12) {
      KeepSnapshot();
    } else if (choice < 15) {
      End();
    } else if (choice < 16) {
      Note();
    } else {
      PinOrUnpin();
    }
    CheckMemory();
  }
  int64_t hits() const { return hits_; }
  int64_t evictions() const { return cache_.evictions(); }

 private:
  struct Running {
    Prompt prompt;
    SequenceState state;
  };

  static StatePool::Options Budget(int64_t slots, int64_t pages) {
    const StatePool one(testing::TaggedConfig());
    return {.most_page_bytes = pages * one.page_bytes() + 1,
            .most_slot_bytes = slots * one.slot_bytes() + 1,
            .poison = true};
  }

  int64_t Below(int64_t limit) {
    return static_cast<int64_t>(random_.Next() % static_cast<uint64_t>(limit));
  }

  // Goes on from some point of what was read lately, or from its end; sometimes it is new.
  Prompt NewPrompt() {
    Prompt prompt;
    if (!read_.empty() && Below(10) != 0) {
      const int64_t back = std::min<int64_t>(Below(5) + 1, std::ssize(read_));
      prompt = *(read_.end() - back);
      const int64_t size = std::ssize(prompt.keys);
      if (Below(3) == 0) prompt.keys.resize(static_cast<size_t>(Below(size + 1)));
    }
    if (Below(8) == 0) prompt.space = prompt.space.empty() ? "other" : "";
    const int64_t most = std::max<int64_t>(1, kLongest - std::ssize(prompt.keys));
    const int64_t more = 1 + Below(Below(2) == 0 ? 3 : most);
    prompt.keys = Joined(prompt.keys, RandomKeys(random_.Next(), more));
    return prompt;
  }

  // What the cache must find, by looking at everything.
  void CheckMatch(const Prompt& prompt, int64_t most, const PrefixMatch& match) {
    int64_t position = 0;
    for (const Prompt& kept : kept_) {
      const int64_t size = std::ssize(kept.keys);
      if (size <= most && prompt.BeginsWith(kept)) position = std::max(position, size);
    }
    ASSERT_EQ(match.position, position);
    ASSERT_EQ(match.state != nullptr, position > 0);
    if (match.state != nullptr) {
      ASSERT_EQ(match.state->position(), position);
      ASSERT_TRUE(HoldsTags(*match.state, prompt.space, prompt.keys));
      ++hits_;
    }
    int64_t known = 0;
    for (const Prompt& read : read_) {
      if (read.space != prompt.space) continue;
      known =
          std::max(known, std::ranges::mismatch(read.keys, prompt.keys).in1 - read.keys.begin());
    }
    ASSERT_LE(match.known, known);
    ASSERT_GE(match.known, position);
    if (!remembers_all_) return;
    ASSERT_EQ(match.known, known);
    const int64_t shared = std::min(known, most);
    const bool evicted = std::ranges::any_of(evicted_, [&](const Prompt& gone) {
      const int64_t size = std::ssize(gone.keys);
      return size > position && size <= shared && prompt.BeginsWith(gone);
    });
    const MissCause nothing = known == 0 && most > 0 ? MissCause::kNew : MissCause::kNone;
    ASSERT_EQ(match.cause, position == shared ? nothing
                           : evicted          ? MissCause::kEvicted
                                              : MissCause::kBetween);
  }

  // What was evicted since the last time is found out by asking for each.
  void SeeEvictions() {
    const size_t before = kept_.size();
    std::erase_if(kept_, [&](const Prompt& kept) {
      const PrefixMatch match = Find(kept, std::ssize(kept.keys));
      if (match.position == std::ssize(kept.keys)) return false;
      evicted_.insert(kept);
      return true;
    });
    ASSERT_EQ(std::ssize(kept_), cache_.snapshots());
    seen_evictions_ += static_cast<int64_t>(before - kept_.size());
    ASSERT_EQ(seen_evictions_, cache_.evictions());
  }

  PrefixMatch Find(const Prompt& prompt, int64_t most) {
    return cache_.Find(prompt.space, prompt.keys, most);
  }

  // There is room just if those that run, and the state that stays, leave so much.
  bool MakeRoom(int64_t slots, int64_t pages, const SequenceState* stays) {
    std::set<const std::byte*> held;
    int64_t held_slots = std::ssize(running_);
    for (const Running& running : running_) {
      held.insert(running.state.pages().begin(), running.state.pages().end());
    }
    std::set<const SequenceState*> all_that_stay;
    if (stays != nullptr) all_that_stay.insert(stays);
    for (const auto& [prompt, state] : pinned_) all_that_stay.insert(state);
    for (const SequenceState* state : all_that_stay) {
      ++held_slots;
      held.insert(state->pages().begin(), state->pages().end());
    }
    const int64_t before = cache_.evictions();
    const bool room = cache_.MakeRoom(slots, pages, stays);
    EXPECT_EQ(room, held_slots + slots <= most_slots_ && std::ssize(held) + pages <= most_pages_);
    EXPECT_TRUE(room || cache_.evictions() == before);
    return room;
  }

  void Start() {
    Prompt prompt = NewPrompt();
    const int64_t most = std::ssize(prompt.keys) - 1;
    const PrefixMatch match = Find(prompt, most);
    CheckMatch(prompt, most, match);
    if (MakeRoom(1, 1, match.state)) {
      Result<SequenceState> state = match.state != nullptr ? match.state->Fork() : pool_.Create();
      ASSERT_TRUE(state.has_value());
      running_.push_back({std::move(prompt), *std::move(state)});
    } else if (match.state != nullptr && !match.pinned) {
      const auto keys = std::span(prompt.keys).first(static_cast<size_t>(match.position));
      SequenceState state = cache_.Take(prompt.space, keys);
      ASSERT_TRUE(HoldsTags(state, prompt.space, prompt.keys));
      running_.push_back({std::move(prompt), std::move(state)});
    }
    SeeEvictions();
  }

  std::vector<Running>::iterator SomeRunning() {
    return running_.begin() + Below(std::ssize(running_));
  }

  void Advance() {
    if (running_.empty()) return;
    auto& [prompt, state] = *SomeRunning();
    const int64_t left = std::ssize(prompt.keys) - state.position();
    if (left == 0) return;
    const int64_t tokens = Below(2) == 0 ? left : 1 + Below(left);
    if (!MakeRoom(0, state.PagesFor(tokens), nullptr)) return;
    const auto to = static_cast<size_t>(state.position() + tokens);
    ASSERT_TRUE(ReadTagged(state, prompt.space, std::span(prompt.keys).first(to)));
    SeeEvictions();
  }

  // The state was put into the cache, or one like it was there.
  void Inserted(const Prompt& prompt) {
    kept_.insert(prompt);
    evicted_.erase(prompt);
    read_.push_back(prompt);
    SeeEvictions();
  }

  static Prompt ReadBy(const Running& running) {
    Prompt read = running.prompt;
    read.keys.resize(static_cast<size_t>(running.state.position()));
    return read;
  }

  void KeepSnapshot() {
    if (running_.empty()) return;
    const Running& running = *SomeRunning();
    const Prompt read = ReadBy(running);
    const auto kind = static_cast<SnapshotKind>(Below(4));
    const int64_t before = cache_.evictions();
    const bool room = cache_.MakeRoomForSnapshot(read.space, read.keys, kind,
                                                 1 + Below(std::ssize(read.keys) + 1));
    ASSERT_TRUE(room || cache_.evictions() == before);
    SeeEvictions();
    if (!room) return;
    ASSERT_FALSE(kept_.contains(read));
    Result<SequenceState> fork = running.state.Fork();
    ASSERT_TRUE(fork.has_value());
    cache_.Insert(read.space, read.keys, *std::move(fork), kind);
    if (!read.keys.empty()) Inserted(read);
  }

  void End() {
    if (running_.empty()) return;
    const auto running = SomeRunning();
    const Prompt read = ReadBy(*running);
    if (Below(3) != 0) {
      cache_.Insert(read.space, read.keys, std::move(running->state), SnapshotKind::kEnd);
      if (!read.keys.empty()) Inserted(read);
    }
    running_.erase(running);
  }

  void Note() {
    const Prompt prompt = NewPrompt();
    cache_.Note(prompt.space, prompt.keys);
    read_.push_back(prompt);
  }

  void PinOrUnpin() {
    if (pinned_.size() > 1 || (!pinned_.empty() && Below(2) == 0)) {
      const auto [prompt, state] = pinned_.back();
      ASSERT_TRUE(Find(prompt, std::ssize(prompt.keys)).pinned);
      cache_.Unpin(prompt.space, prompt.keys);
      pinned_.pop_back();
    } else if (!kept_.empty()) {
      const Prompt prompt = *std::next(kept_.begin(), Below(std::ssize(kept_)));
      const SequenceState* state = cache_.Pin(prompt.space, prompt.keys);
      ASSERT_NE(state, nullptr);
      ASSERT_TRUE(HoldsTags(*state, prompt.space, prompt.keys));
      pinned_.emplace_back(prompt, state);
    }
  }

  void CheckMemory() {
    for (const auto& [prompt, state] : pinned_) {
      ASSERT_EQ(Find(prompt, std::ssize(prompt.keys)).state, state);
    }
    std::set<const std::byte*> pages;
    for (const Running& running : running_) {
      pages.insert(running.state.pages().begin(), running.state.pages().end());
    }
    for (const Prompt& kept : kept_) {
      const PrefixMatch match = Find(kept, std::ssize(kept.keys));
      ASSERT_TRUE(HoldsTags(*match.state, kept.space, kept.keys));
      pages.insert(match.state->pages().begin(), match.state->pages().end());
    }
    const int64_t slots = std::ssize(running_) + std::ssize(kept_);
    ASSERT_EQ(pool_.used_slot_bytes(), slots * pool_.slot_bytes());
    ASSERT_EQ(pool_.used_page_bytes(), std::ssize(pages) * pool_.page_bytes());
    ASSERT_LE(slots, most_slots_);
    ASSERT_LE(std::ssize(pages), most_pages_);
    ASSERT_LE(cache_.ghost_bytes(), most_ghost_keys_ * 8);
    ASSERT_GE(cache_.ghost_bytes(), 0);
    ASSERT_EQ(cache_.path_bytes() > 0, !kept_.empty());
  }

  RandomStream random_;
  int64_t most_slots_;
  int64_t most_pages_;
  bool remembers_all_;
  int64_t most_ghost_keys_;
  StatePool pool_;
  PrefixCache cache_;
  std::vector<Running> running_;
  std::set<Prompt> kept_;
  std::vector<std::pair<Prompt, const SequenceState*>> pinned_;
  std::set<Prompt> evicted_;
  std::vector<Prompt> read_;
  int64_t seen_evictions_ = 0;
  int64_t hits_ = 0;
};

struct Limits {
  int64_t slots;
  int64_t pages;
  int64_t most_ghost_keys;
};

class RandomCache : public ::testing::TestWithParam<Limits> {};

TEST_P(RandomCache, FindsWhatTheModelFindsAndKeepsItsBudget) {
  const auto [slots, pages, most_ghost_keys] = GetParam();
  for (uint64_t seed = 0; seed < 2; ++seed) {
    World world(seed, slots, pages, most_ghost_keys);
    for (int step = 0; step < 3500; ++step) {
      world.Step();
      if (HasFailure()) FAIL() << "seed " << seed << ", step " << step;
    }
    // It was a test of something.
    ASSERT_GT(world.hits(), 15);
    ASSERT_GT(world.evictions(), 100);
  }
}

// Slots are short, pages are, both are; nothing can run but what it took out of the cache; ghosts
// are forgotten.
INSTANTIATE_TEST_SUITE_P(Budgets, RandomCache,
                         ::testing::Values(Limits{6, 100, 4'000'000}, Limits{30, 12, 4'000'000},
                                           Limits{8, 16, 4'000'000}, Limits{1, 5, 4'000'000},
                                           Limits{8, 16, 3000}, Limits{8, 16, 0}));

}  // namespace
}  // namespace fulmen
