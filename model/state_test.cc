#include "model/state.h"

#include <gtest/gtest.h>

#include <cmath>
#include <utility>

#include "model/testing/test_sequence.h"

namespace fulmen {
namespace {

Config TwoLayers() {
  Config config;
  config.layers = {LayerKind::kLightning, LayerKind::kSoftmax};
  config.heads = 4;
  config.kv_heads = 2;
  config.head_dim = 8;
  return config;
}

constexpr int64_t kSlotBytes = 4 * 8 * (8 + 2 * 32) * 4;
constexpr int64_t kPageBytes = 2 * 2 * 8 * 256 * 4;

TEST(StatePool, CountsBytesBeforeTheyAreTaken) {
  StatePool pool(TwoLayers(),
                 {.most_page_bytes = 2 * kPageBytes, .most_slot_bytes = 2 * kSlotBytes});
  EXPECT_EQ(pool.slot_bytes(), kSlotBytes);
  EXPECT_EQ(pool.page_bytes(), kPageBytes);
  SequenceState first = pool.Create().value();
  SequenceState second = pool.Create().value();
  EXPECT_EQ(pool.used_slot_bytes(), 2 * kSlotBytes);
  EXPECT_EQ(first.PagesFor(0), 0);
  EXPECT_EQ(first.PagesFor(1), 1);
  EXPECT_EQ(first.PagesFor(257), 2);
  ASSERT_TRUE(first.Reserve(1));
  EXPECT_EQ(first.PagesFor(256), 0);
  const Status none = second.Reserve(257);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, ErrorCode::kNoRoom);
  // Nothing was taken of what did not suffice.
  EXPECT_EQ(pool.used_page_bytes(), kPageBytes);
  EXPECT_TRUE(second.pages().empty());
  ASSERT_TRUE(second.Reserve(256));
  ASSERT_FALSE(pool.Create());
  { const SequenceState gone = std::move(first); }
  EXPECT_TRUE(second.Reserve(257));
  EXPECT_EQ(pool.used_slot_bytes(), kSlotBytes);
  EXPECT_EQ(pool.used_page_bytes(), 2 * kPageBytes);
}

TEST(StatePool, ForksShareWholePagesAndCopyTheRest) {
  StatePool pool(TwoLayers(), {.poison = true});
  SequenceState state = pool.Create().value();
  ASSERT_TRUE(state.Reserve(300));
  state.pages()[0][5] = std::byte{1};
  state.pages()[1][5] = std::byte{2};
  state.lightning(0)[7] = 3;
  state.Advance(300);
  const SequenceState fork = state.Fork().value();
  EXPECT_EQ(fork.position(), 300);
  EXPECT_EQ(fork.pages()[0], state.pages()[0]);
  ASSERT_NE(fork.pages()[1], state.pages()[1]);
  ASSERT_NE(fork.lightning(0).data(), state.lightning(0).data());
  EXPECT_EQ(fork.pages()[1][5], std::byte{2});
  EXPECT_EQ(fork.lightning(0)[7], 3);
  EXPECT_EQ(pool.used_slot_bytes(), 2 * kSlotBytes);
  EXPECT_EQ(pool.used_page_bytes(), 3 * kPageBytes);
  EXPECT_EQ(fork.page_use(0).number, state.page_use(0).number);
  EXPECT_EQ(fork.page_use(0).sharers, 2);
  EXPECT_EQ(fork.page_use(1).sharers, 1);
  // A shared page stays as long as anybody has it.
  { const SequenceState gone = std::move(state); }
  EXPECT_EQ(fork.pages()[0][5], std::byte{1});
  EXPECT_EQ(pool.used_slot_bytes(), kSlotBytes);
  EXPECT_EQ(pool.used_page_bytes(), 2 * kPageBytes);
  EXPECT_EQ(fork.page_use(0).sharers, 1);
}

TEST(StatePool, GivesBackRoomThatNothingWasReadInto) {
  StatePool pool(TwoLayers(), {.poison = true});
  SequenceState state = pool.Create().value();
  ASSERT_TRUE(state.Reserve(1000));
  state.Advance(257);
  state.Trim();
  EXPECT_EQ(state.pages().size(), 2);
  EXPECT_EQ(pool.used_page_bytes(), 2 * kPageBytes);
  ASSERT_TRUE(state.Reserve(1000));
  EXPECT_EQ(state.pages().size(), 5);
}

TEST(StatePool, AForkThatFindsNoRoomTakesNone) {
  StatePool pool(TwoLayers(), {.most_page_bytes = kPageBytes, .most_slot_bytes = 2 * kSlotBytes});
  SequenceState state = pool.Create().value();
  ASSERT_TRUE(state.Reserve(10));
  state.Advance(10);
  const int64_t before = pool.used_page_bytes();
  ASSERT_FALSE(state.Fork());
  EXPECT_EQ(pool.used_page_bytes(), before);
  EXPECT_EQ(pool.used_slot_bytes(), kSlotBytes);
}

// What the next one gets holds nothing of the one before.
TEST(StatePool, WhatIsGivenBackIsPoisoned) {
  StatePool pool(TwoLayers(), {.poison = true});
  const float* slot = nullptr;
  {
    SequenceState state = pool.Create().value();
    ASSERT_TRUE(state.Reserve(1));
    state.lightning(0)[0] = 1;
    state.pages()[0][0] = std::byte{1};
    slot = state.lightning(0).data();
  }
  SequenceState next = pool.Create().value();
  ASSERT_TRUE(next.Reserve(1));
  EXPECT_EQ(next.lightning(0).data(), slot);
  EXPECT_TRUE(std::isnan(next.lightning(0)[0]) && next.pages()[0][0] == std::byte{0xff});
}

TEST(StatePool, SequencesWithoutSoftmaxLayersTakeNoPages) {
  Config config = TwoLayers();
  config.layers = {LayerKind::kLightning};
  StatePool pool(config);
  SequenceState state = pool.Create().value();
  ASSERT_TRUE(state.Reserve(1'000'000));
  state.Advance(1'000'000);
  EXPECT_EQ(state.Fork().value().position(), 1'000'000);
}

TEST(SequenceState, IsMadeToBeFilled) {
  StatePool pool(TwoLayers(), {.most_page_bytes = 4 * kPageBytes});
  SequenceState beginning = pool.Create().value();
  ASSERT_TRUE(beginning.Reserve(300));
  beginning.Advance(300);
  {
    const SequenceState state = pool.CreateAt(600, &beginning).value();
    EXPECT_EQ(state.position(), 600);
    ASSERT_EQ(state.pages().size(), 3U);
    EXPECT_EQ(state.pages()[0], beginning.pages()[0]);
    EXPECT_NE(state.pages()[1], beginning.pages()[1]);
    EXPECT_NE(state.slot_data().data(), beginning.slot_data().data());
    EXPECT_EQ(std::ssize(state.slot_data()), kSlotBytes);
    EXPECT_EQ(pool.used_page_bytes(), 4 * kPageBytes);
  }
  EXPECT_FALSE(pool.CreateAt(800, &beginning));  // nor is anything of it left
  EXPECT_EQ(pool.used_page_bytes(), 2 * kPageBytes);
  EXPECT_EQ(pool.used_slot_bytes(), kSlotBytes);
  EXPECT_EQ(pool.CreateAt(512, nullptr).value().page_use(0).sharers, 1);
}

}  // namespace
}  // namespace fulmen
