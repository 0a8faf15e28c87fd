// Random weights of any stored type, for the tests of products.
#pragma once

#include <span>
#include <vector>

#include "base/check.h"
#include "base/weight_matrix.h"
#include "tests/testing/compare.h"

namespace fulmen::testing {

// Owns exactly its bytes, so that a kernel reading past them is seen by the address sanitizer.
class TestWeight {
 public:
  TestWeight(int64_t rows, int64_t cols, DType type, uint64_t seed, float deviation = 1.0F)
      : TestWeight(rows, cols, type, RandomNormal(rows * cols, seed, deviation)) {}
  TestWeight(int64_t rows, int64_t cols, DType type, const std::vector<float>& values)
      : bytes_(Stored(type, values)), view_(bytes_.data(), type, rows, cols) {}
  TestWeight(const TestWeight&) = delete;
  TestWeight& operator=(const TestWeight&) = delete;

  const WeightMatrix& view() const { return view_; }
  float at(int64_t row, int64_t col) const {
    return LoadFloat(view_.type, view_.data, static_cast<size_t>(row * view_.cols + col));
  }
  // The same values as float32.
  TestWeight Widened() const {
    return TestWeight(view_.rows, view_.cols, DType::kF32, Dequantize(view_));
  }

 private:
  static std::vector<std::byte> Stored(DType type, const std::vector<float>& values) {
    std::vector<std::byte> bytes;
    const auto append = [&](auto value) {
      const auto raw = std::as_bytes(std::span(&value, 1));
      bytes.insert(bytes.end(), raw.begin(), raw.end());
    };
    for (const float value : values) {
      switch (type) {
        case DType::kF32:
          append(value);
          break;
        case DType::kF16:
          append(F16FromF32(value));
          break;
        case DType::kBF16:
          append(BF16FromF32(value));
          break;
        default:
          FULMEN_CHECK(false, "{} is no type of weights", DTypeName(type));
      }
    }
    return bytes;
  }

  std::vector<std::byte> bytes_;
  WeightMatrix view_;
};

}  // namespace fulmen::testing
