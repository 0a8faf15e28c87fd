#include "fetch/byte_ranges.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace fulmen {
namespace {

TEST(ByteRanges, JoinsWhatTouches) {
  ByteRanges ranges;
  ranges.Add({10, 20});
  ranges.Add({30, 40});
  ranges.Add({5, 5});
  EXPECT_EQ(ranges.total(), 20);
  EXPECT_EQ(ranges.Missing(50, 100), (std::vector<ByteRange>{{0, 10}, {20, 30}, {40, 50}}));
  ranges.Add({20, 30});
  EXPECT_EQ(ranges.Missing(50, 100), (std::vector<ByteRange>{{0, 10}, {40, 50}}));
  ranges.Add({0, 50});
  EXPECT_EQ(ranges.total(), 50);
  EXPECT_TRUE(ranges.Missing(50, 100).empty());
}

TEST(ByteRanges, CutsWhatIsMissing) {
  ByteRanges ranges;
  EXPECT_TRUE(ranges.Missing(0, 4).empty());
  EXPECT_EQ(ranges.Missing(9, 4), (std::vector<ByteRange>{{0, 4}, {4, 8}, {8, 9}}));
  ranges.Add({2, 7});
  EXPECT_EQ(ranges.Missing(9, 4), (std::vector<ByteRange>{{0, 2}, {7, 9}}));
  EXPECT_EQ(ranges.Missing(4, 4), (std::vector<ByteRange>{{0, 2}}));
}

TEST(ByteRanges, AgreesWithAList) {
  RandomStream random(1);
  for (int round = 0; round < 200; ++round) {
    constexpr int64_t kSize = 40;
    ByteRanges ranges;
    std::vector<bool> there(kSize);
    for (auto left = random.Next() % 12; left > 0; --left) {
      const auto begin = static_cast<int64_t>(random.Next() % kSize);
      const auto end = begin + static_cast<int64_t>(random.Next() % (kSize + 1 - begin));
      ranges.Add({begin, end});
      for (int64_t i = begin; i < end; ++i) there[i] = true;
    }
    EXPECT_EQ(ranges.total(), std::count(there.begin(), there.end(), true));
    for (const ByteRange& gap : ranges.Missing(kSize, 5)) {
      EXPECT_TRUE(gap.size() > 0 && gap.size() <= 5);
      for (int64_t i = gap.begin; i < gap.end; ++i) {
        EXPECT_FALSE(there[i]);
        there[i] = true;
      }
    }
    EXPECT_EQ(std::count(there.begin(), there.end(), false), 0);
  }
}

}  // namespace
}  // namespace fulmen
