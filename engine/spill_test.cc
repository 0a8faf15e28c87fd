#include "engine/spill.h"

#include <gtest/gtest.h>

#include <map>
#include <utility>
#include <vector>

#include "engine/testing/stored_states.h"
#include "engine/testing/tagged_state.h"
#include "tests/testing/golden.h"

namespace fulmen {
namespace {

using testing::HoldsTags;
using testing::RandomKeys;
using testing::ReadTagged;

using Keys = std::vector<PrefixKey>;

class SpillTest : public ::testing::Test {
 protected:
  SequenceState Read(const Keys& keys) {
    SequenceState state = pool_.Create().value();
    EXPECT_TRUE(ReadTagged(state, "", keys));
    return state;
  }
  // All that ends until nothing is under way.
  static std::map<Spill::Id, Spill::Done> Drain(Spill& spill) {
    std::map<Spill::Id, Spill::Done> done;
    while (spill.Wait(60)) {
      for (const Spill::Done& each : spill.Collect()) done.emplace(each.id, each);
    }
    return done;
  }

  const testing::TemporaryFolder folder_;
  testing::StoredStates states_{folder_.path()};
  StatePool pool_{testing::TaggedConfig()};
  std::unique_ptr<StateStore> store_ = states_.MustOpen(int64_t{1} << 40);
};

TEST_F(SpillTest, WritesAndLoads) {
  Spill spill(*store_);
  EXPECT_FALSE(spill.Wait(60));
  const Keys keys = RandomKeys(1, 700);
  const SequenceState state = Read(keys);
  const Spill::Id write = spill.StartWrite("", keys, StateBytes(state));
  auto done = Drain(spill);
  ASSERT_TRUE(done.contains(write));
  EXPECT_TRUE(done.at(write).status);
  EXPECT_FALSE(done.at(write).load);
  EXPECT_EQ(spill.store().Find("", keys, 700), 700);
  const SequenceState loaded = pool_.CreateAt(700, &state).value();
  const SequenceState none = pool_.CreateAt(300, nullptr).value();
  const Spill::Id load = spill.StartLoad("", keys, StateBytes(loaded), 2);
  const Spill::Id miss = spill.StartLoad("", RandomKeys(2, 300), StateBytes(none), 0);
  EXPECT_EQ(spill.jobs(), 2);
  done = Drain(spill);
  EXPECT_TRUE(done.at(load).status);
  EXPECT_TRUE(done.at(load).load);
  EXPECT_TRUE(HoldsTags(loaded, "", keys));
  ASSERT_FALSE(done.at(miss).status);
  EXPECT_EQ(done.at(miss).status.error().code, ErrorCode::kNotFound);
  EXPECT_EQ(spill.jobs(), 0);
}

// The pool grows and others are found while states are written and loaded.
TEST_F(SpillTest, WorksBesideTheEnginesThread) {
  Spill spill(*store_);
  std::vector<std::pair<Keys, SequenceState>> written;
  for (uint64_t i = 0; i < 40; ++i) {
    Keys keys = RandomKeys(i, 200 + static_cast<int64_t>(i) * 10);
    SequenceState state = Read(keys);
    spill.StartWrite("", keys, StateBytes(state));
    written.emplace_back(std::move(keys), std::move(state));
    for (const auto& [each, held] : written) {
      const int64_t found = spill.store().Find("", each, 10'000);
      EXPECT_TRUE(found == 0 || found == std::ssize(each));
    }
    EXPECT_LE(store_->stats().written, static_cast<int64_t>(i) + 1);
  }
  for (const auto& [id, done] : Drain(spill)) EXPECT_TRUE(done.status);
  std::map<Spill::Id, std::pair<const Keys*, SequenceState>> loads;
  for (const auto& [keys, held] : written) {
    SequenceState state = pool_.CreateAt(std::ssize(keys), nullptr).value();
    const Spill::Id id = spill.StartLoad("", keys, StateBytes(state), 0);
    loads.emplace(id, std::pair(&keys, std::move(state)));
  }
  const auto done = Drain(spill);
  for (const auto& [id, load] : loads) {
    EXPECT_TRUE(done.at(id).status);
    EXPECT_TRUE(HoldsTags(load.second, "", *load.first));
  }
}

TEST_F(SpillTest, EndsWithWorkLeft) {
  std::vector<SequenceState> states;
  for (uint64_t i = 0; i < 30; ++i) states.push_back(Read(RandomKeys(i, 900)));
  {
    Spill spill(*store_);
    for (uint64_t i = 0; i < 30; ++i) {
      spill.StartWrite("", RandomKeys(i, 900), StateBytes(states[i]));
    }
  }
  const int64_t written = store_->stats().written;
  EXPECT_EQ(store_->stats().states, written);
  store_.reset();
  EXPECT_EQ(states_.MustOpen(int64_t{1} << 40)->stats().states, written);
}

}  // namespace
}  // namespace fulmen
