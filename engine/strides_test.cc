#include "engine/strides.h"

#include <gtest/gtest.h>

#include <vector>

namespace fulmen {
namespace {

TEST(Strides, WidenWithPosition) {
  std::vector<int64_t> found;
  for (int64_t at = NextStride(0); at < 1200; at = NextStride(at)) found.push_back(at);
  EXPECT_EQ(found, (std::vector<int64_t>{256, 288, 320, 352, 384, 416, 448, 480, 512, 576, 640, 704,
                                         768, 832, 896, 960, 1024, 1152}));
  EXPECT_EQ(StridesIn(1200), std::ssize(found));
  EXPECT_EQ(StridesIn(256), 0);
  EXPECT_EQ(StridesIn(1'000'000), 96);
}

TEST(Strides, LeaveLittleToBeReadAgain) {
  int64_t before = 256;
  for (int64_t at = 256; at < 100'000; ++at) {
    if (NextStride(at - 1) == at) before = at;
    EXPECT_GT(NextStride(at), at);
    EXPECT_LE(9 * (at - before), at);
  }
}

}  // namespace
}  // namespace fulmen
