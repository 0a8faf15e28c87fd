// What the tests of kernels share: every instruction set, and memory in which mistakes show.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "kernels/cpu/targets.h"
#include "kernels/kernels.h"
#include "tests/testing/compare.h"

namespace fulmen::testing {

// The cpu kernels of every instruction set this machine can run.
inline std::vector<Kernels> CpuKernelsOfAllTargets() {
  std::vector<Kernels> all;
  for (const std::string& target : cpu::Targets()) {
    Result<Kernels> kernels = cpu::KernelsFor(target);
    EXPECT_TRUE(kernels.has_value()) << target;
    if (kernels) all.push_back(*std::move(kernels));
  }
  EXPECT_FALSE(all.empty());
  return all;
}

// An invented machine of two memory nodes, so that threads prefer tasks of their own.
inline const Topology& TwoNodes() {
  static const Topology two = Topology::Invented("numa:2 pu:2");
  return two;
}

// A context whose scratch memory starts as NaN.
struct TestContext {
  explicit TestContext(int threads = 1, const Topology& topology = Topology::Machine())
      : pool(threads, topology), context{pool, scratch} {}

  ThreadPool pool;
  Workspace scratch{/*poison=*/true};
  KernelContext context;
};

// A matrix that owns its memory, with `gap` NaNs between one row and the next.
class TestMatrix {
 public:
  TestMatrix(int64_t rows, int64_t cols, int64_t gap = 0)
      : rows_(rows), cols_(cols), stride_(cols + gap), data_(NanFilled(rows * stride_)) {}
  TestMatrix(int64_t rows, int64_t cols, int64_t gap, const std::vector<float>& values)
      : TestMatrix(rows, cols, gap) {
    for (int64_t r = 0; r < rows; ++r) {
      std::copy_n(values.begin() + r * cols, cols, data_.begin() + r * stride_);
    }
  }

  Matrix view() { return Matrix(data_.data(), rows_, cols_, stride_); }

  // The elements without the gaps. Reports a kernel that wrote into a gap.
  std::vector<float> Values() const {
    std::vector<float> values;
    for (int64_t r = 0; r < rows_; ++r) {
      const auto row = data_.begin() + r * stride_;
      values.insert(values.end(), row, row + cols_);
      for (auto gap = row + cols_; gap < row + stride_; ++gap) {
        EXPECT_TRUE(std::isnan(*gap)) << "row " << r << " was written past its end";
      }
    }
    return values;
  }

 private:
  int64_t rows_;
  int64_t cols_;
  int64_t stride_;
  std::vector<float> data_;
};

// And finite ones: two kernels that give the same NaN are both wrong.
inline bool SameBits(const std::vector<float>& a, const std::vector<float>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](float x, float y) {
    return std::isfinite(x) && std::bit_cast<uint32_t>(x) == std::bit_cast<uint32_t>(y);
  });
}

// Borders of slices of the given lengths.
inline std::vector<int64_t> Borders(const std::vector<int64_t>& lengths) {
  std::vector<int64_t> starts = {0};
  for (const int64_t length : lengths) starts.push_back(starts.back() + length);
  return starts;
}

}  // namespace fulmen::testing
