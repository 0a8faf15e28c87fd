#include "base/memory.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <limits>
#include <new>
#include <vector>

namespace fulmen {
namespace {

TEST(Memory, IsAlignedAndWritable) {
  for (const size_t bytes : {size_t{0}, size_t{1}, size_t{65}, size_t{2} << 20, size_t{5} << 20}) {
    void* data = AllocateAligned(bytes);
    const size_t alignment = bytes < size_t{2} << 20 ? 64 : size_t{2} << 20;
    EXPECT_EQ(reinterpret_cast<uintptr_t>(data) % alignment, 0U) << bytes;
    std::memset(data, 1, bytes);
    FreeAligned(data);
  }
}

TEST(Memory, SizesBeyondAllMemoryAreRefused) {
  EXPECT_EQ(ArrayBytes({3, 5}, 4), 60U);
  EXPECT_EQ(ArrayBytes({int64_t{1} << 62, 0}, 4), 0U);
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  EXPECT_THROW(ArrayBytes({-1}, 4), std::bad_alloc);
  EXPECT_THROW(ArrayBytes({kMost}, 4), std::bad_alloc);
  EXPECT_THROW(ArrayBytes({kMost}, 1), std::bad_alloc);
  // Products that come round to something small.
  EXPECT_THROW(ArrayBytes({int64_t{1} << 32, int64_t{1} << 32}, 4), std::bad_alloc);
  EXPECT_THROW(ArrayBytes({int64_t{1} << 31, int64_t{1} << 31}, 4), std::bad_alloc);
  EXPECT_THROW(AlignedAllocator<float>().allocate(size_t{1} << 62), std::bad_alloc);
}

TEST(Memory, ServesContainers) {
  std::vector<float, AlignedAllocator<float>> values(3, 1.0F);
  values.resize(1000, 2.0F);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(values.data()) % 64, 0U);
  EXPECT_EQ(values[2], 1.0F);
  EXPECT_EQ(values[999], 2.0F);
}

}  // namespace
}  // namespace fulmen
