#include "engine/prefix_tree.h"

#include <gtest/gtest.h>

#include <vector>

#include "engine/testing/tagged_state.h"

namespace fulmen {
namespace {

using testing::Joined;
using testing::kPlenty;
using testing::RandomKeys;

// Makes states that have read nothing.
class PrefixTreeTest : public ::testing::Test {
 protected:
  PrefixTreeTest() : pool_(LightningOnly()) {}

  static Config LightningOnly() {
    Config config = testing::TaggedConfig();
    config.layers = {LayerKind::kLightning};
    return config;
  }
  PrefixTree::Node& Put(PrefixTree& tree, std::span<const PrefixKey> keys) {
    SequenceState state = pool_.Create().value();
    state.Advance(std::ssize(keys));
    PrefixTree::Node& node = tree.Add("", keys);
    tree.Put(node, {.state = std::move(state)});
    return node;
  }

  StatePool pool_;
};

TEST_F(PrefixTreeTest, CountsKeysThatLeadToSnapshotsApart) {
  PrefixTree tree(kPlenty);
  const auto keys = RandomKeys(1, 1000);
  tree.Note("", keys);
  EXPECT_EQ(tree.ghost_keys(), 1000 + PrefixTree::kNodeKeys);
  EXPECT_EQ(tree.path_keys(), 0);
  PrefixTree::Node& node = Put(tree, std::span(keys).first(600));
  EXPECT_EQ(tree.ghost_keys(), 400 + PrefixTree::kNodeKeys);
  EXPECT_EQ(tree.path_keys(), 600 + PrefixTree::kNodeKeys);
  tree.Evict(node);
  EXPECT_EQ(tree.ghost_keys(), 1000 + 2 * PrefixTree::kNodeKeys);
  EXPECT_EQ(tree.path_keys(), 0);
  EXPECT_EQ(tree.Find("", keys).known, 1000);
}

TEST_F(PrefixTreeTest, ForgetsFirstWhatWasUsedLongestAgo) {
  PrefixTree tree(4 * (1000 + PrefixTree::kNodeKeys));
  const auto prompt = [](PrefixKey first) {
    return Joined(std::vector<PrefixKey>{first}, RandomKeys(first, 999));
  };
  for (PrefixKey first = 0; first < 4; ++first) tree.Note("", prompt(first));
  EXPECT_EQ(tree.Find("", prompt(0)).known, 1000);
  tree.Note("other", prompt(0));
  EXPECT_EQ(tree.Find("", prompt(1)).known, 0);
  for (const PrefixKey first : {0, 2, 3}) EXPECT_EQ(tree.Find("", prompt(first)).known, 1000);
}

TEST_F(PrefixTreeTest, ForgetsALongPromptFromItsEnd) {
  PrefixTree tree(500'000);
  const auto keys = RandomKeys(7, 1'000'000);
  tree.Note("", keys);
  const int64_t known = tree.Find("", keys).known;
  EXPECT_GT(known, 490'000);
  EXPECT_LT(known, 500'000);
  EXPECT_LE(tree.ghost_keys(), 500'000);
  // Where a snapshot is, nothing is forgotten.
  Put(tree, keys);
  EXPECT_EQ(tree.ghost_keys(), 0);
  tree.Note("", RandomKeys(8, 1'000'000));
  EXPECT_EQ(tree.Find("", keys).known, 1'000'000);
}

// Every one splits the path of the first, and is forgotten after it.
TEST_F(PrefixTreeTest, SplitsThatNothingNeedsAreUndone) {
  PrefixTree tree(4000);
  const auto keys = RandomKeys(1, 4000);
  PrefixTree::Node& node = Put(tree, keys);
  for (size_t size = 1; size < keys.size(); ++size) {
    auto other = Joined(std::span(keys).first(size), std::vector<PrefixKey>{9});
    tree.Note("", other);
    ASSERT_EQ(tree.Find("", other).known, std::ssize(other));
  }
  EXPECT_EQ(node.snapshot->parted, 0);
  EXPECT_LE(tree.ghost_keys(), 4000);
  // Each ghost that is left has parted one node from the path.
  const int64_t ghosts = tree.ghost_keys() / (1 + PrefixTree::kNodeKeys);
  EXPECT_EQ(tree.path_keys(), 4000 + (ghosts + 1) * PrefixTree::kNodeKeys);
  EXPECT_EQ(tree.Find("", keys).known, 4000);
}

TEST_F(PrefixTreeTest, CountsHowOftenSequencesPartAfterASnapshot) {
  PrefixTree tree(kPlenty);
  const auto keys = RandomKeys(1, 100);
  const PrefixTree::Node& node = Put(tree, keys);
  const auto go_on = [&](PrefixKey key) {
    // As after the header of a message, which all have.
    tree.Note("", Joined(keys, std::vector<PrefixKey>{0, 0, 0, key, key}));
  };
  go_on(1);
  go_on(1);
  EXPECT_EQ(node.snapshot->parted, 0);
  go_on(2);
  EXPECT_EQ(node.snapshot->parted, 1);
  go_on(2);
  go_on(3);
  EXPECT_EQ(node.snapshot->parted, 2);
}

TEST_F(PrefixTreeTest, LongPromptsAndLongChainsFit) {
  PrefixTree tree(kPlenty);
  const auto keys = RandomKeys(1, 4'000'000);
  Put(tree, keys);
  EXPECT_EQ(tree.Find("", keys).known, 4'000'000);
  // A chain of nodes of one key each.
  const auto chain = std::span(keys).first(20'000);
  for (size_t size = chain.size(); size > 0; --size) tree.Add("chain", chain.first(size));
  EXPECT_EQ(tree.Find("chain", keys).known, 20'000);
  EXPECT_EQ(tree.ghost_keys(), 20'000 * (1 + PrefixTree::kNodeKeys));
}

}  // namespace
}  // namespace fulmen
