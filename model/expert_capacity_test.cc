#include "model/expert_capacity.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "parallel/testing/ranks.h"

namespace fulmen {
namespace {

constexpr int64_t kSlots = 2;

// Tokens of one rank and the experts each of them chose.
struct Choices {
  int64_t tokens;
  std::vector<int32_t> experts;  // [tokens, kSlots]
};

MatrixView<int32_t> View(std::vector<int32_t>& experts) {
  return {experts.data(), static_cast<int64_t>(experts.size()) / kSlots, kSlots};
}

// Expert 0 is chosen more often than the others.
std::vector<Choices> RandomChoices(const std::vector<int64_t>& tokens, int32_t experts,
                                   unsigned seed) {
  std::mt19937 random(seed);
  const auto number = static_cast<uint32_t>(experts);
  std::vector<Choices> ranks;
  for (const int64_t count : tokens) {
    Choices choices = {count, {}};
    for (int64_t t = 0; t < count; ++t) {
      const auto first = static_cast<uint32_t>(random() % 2 == 0 ? 0 : random() % number);
      const auto second = static_cast<uint32_t>(first + 1 + random() % (number - 1)) % number;
      choices.experts.insert(choices.experts.end(),
                             {static_cast<int32_t>(first), static_cast<int32_t>(second)});
    }
    ranks.push_back(std::move(choices));
  }
  return ranks;
}

// The rule as it is written: one list of all choices, taken in order.
std::vector<int32_t> DropInOrder(const std::vector<Choices>& ranks, int32_t experts,
                                 int64_t capacity) {
  std::vector<int64_t> taken(static_cast<size_t>(experts));
  std::vector<int32_t> kept;
  for (const Choices& choices : ranks) {
    for (const int32_t expert : choices.experts) {
      kept.push_back(taken[static_cast<size_t>(expert)]++ < capacity ? expert : -1);
    }
  }
  return kept;
}

TEST(ExpertCapacity, TakesTheFirstChoicesOfAllRanks) {
  constexpr int32_t kExperts = 5;
  const std::vector<std::vector<int64_t>> splits = {{100}, {60, 40}, {1, 0, 92, 7}};
  for (const std::vector<int64_t>& split : splits) {
    const std::vector<Choices> ranks = RandomChoices(split, kExperts, 1);
    for (const double factor : {0.01, 0.5, 1.0, 1.1, 5.0}) {
      std::vector<std::vector<int32_t>> kept(split.size());
      testing::RunThreadRanks(static_cast<int>(split.size()), [&](Communicator& communicator) {
        const auto rank = static_cast<size_t>(communicator.rank());
        std::vector<int32_t> chosen = ranks[rank].experts;
        kept[rank].assign(chosen.size(), 99);
        ExpertCapacity capacity(factor, 3, kExperts, {100, {}, &communicator});
        for (const int64_t layer : {2, 0}) {
          EXPECT_TRUE(capacity.Drop(layer, View(chosen), View(kept[rank])));
        }
        if (rank != 0) return;
        const int64_t dropped = capacity.dropped();
        EXPECT_EQ(dropped, 2 * std::ranges::count(kept[rank], -1)) << "of two layers";
        // Computed again by one rank alone: nobody is asked, or this would wait forever.
        std::vector<int32_t> again(chosen.size());
        EXPECT_TRUE(capacity.Drop(2, View(chosen), View(again)));
        EXPECT_EQ(again, kept[rank]);
        EXPECT_EQ(capacity.dropped(), dropped) << "counted once";
      });
      std::vector<int32_t> all;
      for (const auto& of_rank : kept) all.insert(all.end(), of_rank.begin(), of_rank.end());
      // 200 choices of 5 experts: 40 each at a factor of 1.
      const auto limit = static_cast<int64_t>(std::lround(factor * 40 + 0.1));
      EXPECT_EQ(all, DropInOrder(ranks, kExperts, limit)) << split.size() << " ranks, " << factor;
    }
  }
}

TEST(ExpertCapacity, TakesTheFirstChoicesOfAllBatches) {
  constexpr int32_t kExperts = 5;
  constexpr int64_t kLayers = 2;
  const std::vector<Choices> batches = RandomChoices({30, 10, 0, 25, 5, 30}, kExperts, 2);
  for (const int ranks : {1, 2, 3}) {
    std::vector<std::vector<int32_t>> kept(batches.size());
    testing::RunThreadRanks(ranks, [&](Communicator& communicator) {
      std::vector<int64_t> counts(kLayers * kExperts);
      for (auto i = static_cast<size_t>(communicator.rank()); i < batches.size();
           i += static_cast<size_t>(ranks)) {
        std::vector<int32_t> chosen = batches[i].experts;
        kept[i].resize(chosen.size());
        ExpertCapacity capacity(0.9, kLayers, kExperts, {100, counts, &communicator});
        EXPECT_TRUE(capacity.Drop(1, View(chosen), View(kept[i])));
        EXPECT_TRUE(capacity.Drop(1, View(chosen), View(kept[i]))) << "counted once";
      }
    });
    std::vector<int32_t> all;
    for (const auto& of_batch : kept) all.insert(all.end(), of_batch.begin(), of_batch.end());
    EXPECT_EQ(all, DropInOrder(batches, kExperts, 36)) << ranks << " ranks";
  }
}

TEST(ExpertCapacity, RoundsUpButNotTheRoundingOfTheFactor) {
  std::vector<int32_t> chosen(40, 0);  // 20 tokens, all of them of expert 0 twice; 2 experts
  std::vector<int32_t> kept(40);
  const auto taken = [&](double factor) {
    EXPECT_TRUE(ExpertCapacity(factor, 1, 2, {20}).Drop(0, View(chosen), View(kept)));
    return std::ranges::count(kept, 0);
  };
  EXPECT_EQ(taken(1.1), 22);
  EXPECT_EQ(taken(double{1.1F}), 22);
  EXPECT_EQ(taken(1.11), 23);
  EXPECT_EQ(taken(0.001), 1);
}

}  // namespace
}  // namespace fulmen
