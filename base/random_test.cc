#include "base/random.h"

#include <gtest/gtest.h>

#include <set>

namespace fulmen {
namespace {

TEST(RandomStream, MatchesThePublishedGenerator) {
  // The values of the authors' reference code for this seed.
  RandomStream random(1234567);
  for (const uint64_t expected : {6457827717110365317U, 3203168211198807973U, 9817491932198370423U,
                                  4593380528125082431U, 16408922859458223821U}) {
    EXPECT_EQ(random.Next(), expected);
  }
  for (int i = 0; i < 1000; ++i) {
    const double value = random.Uniform();
    EXPECT_TRUE(value >= 0 && value < 1);
  }
}

TEST(MixSeed, SeedsOfDifferentNumbersDiffer) {
  std::set<uint64_t> seeds;
  for (uint64_t a = 0; a < 30; ++a) {
    seeds.insert(MixSeed({a}));
    for (uint64_t b = 0; b < 30; ++b) {
      seeds.insert(MixSeed({a, b}));
      for (uint64_t c = 0; c < 30; ++c) seeds.insert(MixSeed({a, b, c}));
    }
  }
  EXPECT_EQ(seeds.size(), 30u + 30u * 30u + 30u * 30u * 30u);
}

}  // namespace
}  // namespace fulmen
