#include "base/workspace.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <new>
#include <vector>

namespace fulmen {
namespace {

TEST(Workspace, AlignedAndDisjoint) {
  Workspace workspace;
  std::vector<std::pair<std::byte*, int64_t>> parts;
  for (const int64_t size : {1, 63, 64, 65, 1000, 3'000'000, 5, 9'000'000, 1}) {
    auto* data = workspace.Allocate<std::byte>(size);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(data) % 64, 0U);
    for (const auto& [other, other_size] : parts) {
      EXPECT_TRUE(data + size <= other || other + other_size <= data);
    }
    std::fill_n(data, size, std::byte{1});
    parts.emplace_back(data, size);
  }
}

TEST(Workspace, FramesGiveBack) {
  Workspace workspace;
  float* outer = workspace.Allocate<float>(10);
  outer[9] = 3;
  float* first = nullptr;
  for (int i = 0; i < 3; ++i) {
    const Workspace::Frame frame(workspace);
    float* inner = workspace.Allocate<float>(100);
    if (i == 0) first = inner;
    EXPECT_EQ(inner, first);
    workspace.Allocate<float>(4'000'000);
  }
  EXPECT_EQ(workspace.Allocate<float>(100), first);
  EXPECT_EQ(outer[9], 3);
}

TEST(Workspace, PoisonIsNan) {
  Workspace workspace(/*poison=*/true);
  for (int i = 0; i < 2; ++i) {
    const Workspace::Frame frame(workspace);
    const Matrix matrix = workspace.AllocateMatrix(7, 9);
    for (int64_t j = 0; j < 63; ++j) {
      EXPECT_TRUE(std::isnan(matrix.data[j]));
      matrix.data[j] = 0;  // so that the second round shows it is poisoned again
    }
  }
}

// Counts what it gives, and fills nothing.
class CountingMemory final : public MemorySource {
 public:
  void* Allocate(size_t bytes) override {
    ++blocks;
    return HostMemory().Allocate(bytes);
  }
  void Free(void* data) override {
    --blocks;
    HostMemory().Free(data);
  }
  void Fill(void* /*data*/, std::byte /*value*/, size_t bytes) override { filled += bytes; }

  int blocks = 0;
  size_t filled = 0;
};

TEST(Workspace, TakesPoisonsAndGivesBackMemoryWhereItIsTold) {
  CountingMemory memory;
  {
    Workspace workspace(/*poison=*/true, memory);
    workspace.Allocate<std::byte>(100);
    EXPECT_EQ(memory.blocks, 1);
    EXPECT_EQ(memory.filled, 128U) << "whole lines";
    workspace.Allocate<float>(4'000'000);
    EXPECT_EQ(memory.blocks, 2);
  }
  EXPECT_EQ(memory.blocks, 0);
}

TEST(Workspace, AbsurdSizesAreRefusedAndLeaveItUsable) {
  Workspace workspace;
  EXPECT_THROW(workspace.Allocate<float>(-1), std::bad_alloc);
  EXPECT_THROW(workspace.Allocate<float>(int64_t{1} << 62), std::bad_alloc);
  EXPECT_THROW(workspace.Allocate<std::byte>(std::numeric_limits<int64_t>::max()), std::bad_alloc);
  // 2^64 elements are none, to a computer that does not look.
  EXPECT_THROW(workspace.AllocateMatrix(int64_t{1} << 32, int64_t{1} << 32), std::bad_alloc);
  EXPECT_NE(workspace.Allocate<float>(10), nullptr);
}

TEST(Workspace, ZeroElementsIsFine) {
  Workspace workspace;
  EXPECT_NE(workspace.Allocate<float>(0), nullptr);
}

}  // namespace
}  // namespace fulmen
