// Random weights of any stored type, for the tests of products.
#pragma once

#include <cstring>
#include <vector>

#include "base/tensor.h"
#include "tests/testing/compare.h"

namespace fulmen::testing {

// Owns exactly its bytes, so that a kernel reading past them is seen by the address sanitizer.
class TestWeight {
 public:
  TestWeight(int64_t rows, int64_t cols, DType type, uint64_t seed, float deviation = 1.0F)
      : TestWeight(rows, cols, type, RandomNormal(rows * cols, seed, deviation)) {}
  TestWeight(int64_t rows, int64_t cols, DType type, const std::vector<float>& values)
      : bytes_(values.size() * DTypeSize(type)) {
    for (size_t i = 0; i < values.size(); ++i) {
      const uint16_t half = type == DType::kF16 ? F16FromF32(values[i]) : BF16FromF32(values[i]);
      const void* from = type == DType::kF32 ? static_cast<const void*>(&values[i]) : &half;
      std::memcpy(&bytes_[i * DTypeSize(type)], from, DTypeSize(type));
    }
    view_ = {bytes_.data(), type, {rows, cols}};
  }
  TestWeight(const TestWeight&) = delete;
  TestWeight& operator=(const TestWeight&) = delete;

  const TensorView& view() const { return view_; }
  float at(int64_t row, int64_t col) const {
    return LoadFloat(view_.dtype, view_.data, static_cast<size_t>(row * view_.cols() + col));
  }
  // The same values as float32.
  TestWeight Widened() const {
    std::vector<float> values;
    for (int64_t i = 0; i < view_.elements(); ++i) {
      values.push_back(LoadFloat(view_.dtype, view_.data, static_cast<size_t>(i)));
    }
    return TestWeight(view_.rows(), view_.cols(), DType::kF32, values);
  }

 private:
  std::vector<std::byte> bytes_;
  TensorView view_;
};

}  // namespace fulmen::testing
