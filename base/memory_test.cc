#include "base/memory.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
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

TEST(Memory, ServesContainers) {
  std::vector<float, AlignedAllocator<float>> values(3, 1.0F);
  values.resize(1000, 2.0F);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(values.data()) % 64, 0U);
  EXPECT_EQ(values[2], 1.0F);
  EXPECT_EQ(values[999], 2.0F);
}

}  // namespace
}  // namespace fulmen
