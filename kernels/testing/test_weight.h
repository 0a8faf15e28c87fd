// Random weights of any stored type, for the tests of products.
#pragma once

#include <array>
#include <cstddef>
#include <cstring>
#include <span>
#include <vector>

#include "base/check.h"
#include "base/quant_blocks.h"
#include "base/random.h"
#include "base/weight_matrix.h"
#include "tests/testing/compare.h"

namespace fulmen::testing {

inline constexpr std::array kQuantizedTypes = {
    DType::kQ4_0, DType::kQ4_1, DType::kQ5_0, DType::kQ5_1, DType::kQ8_0, DType::kIQ4_NL,
    DType::kQ2_K, DType::kQ3_K, DType::kQ4_K, DType::kQ5_K, DType::kQ6_K, DType::kIQ4_XS};

// Where the halves of a block stand: its step, and its minimum or the step of its minima.
inline std::vector<size_t> HalvesOf(DType type) {
  switch (type) {
    case DType::kQ4_1:
    case DType::kQ5_1:
      return {offsetof(BlockQ4_1, d), offsetof(BlockQ4_1, m)};
    case DType::kQ2_K:
      return {offsetof(BlockQ2_K, d), offsetof(BlockQ2_K, dmin)};
    case DType::kQ3_K:
      return {offsetof(BlockQ3_K, d)};
    case DType::kQ4_K:
    case DType::kQ5_K:
      return {offsetof(BlockQ4_K, d), offsetof(BlockQ4_K, dmin)};
    case DType::kQ6_K:
      return {offsetof(BlockQ6_K, d)};
    default:
      return {0};
  }
}

// Blocks of every possible content, but for steps of about `step` and either sign.
inline std::vector<std::byte> RandomBlocks(DType type, int64_t elements, uint64_t seed,
                                           float step) {
  RandomStream random(seed);
  std::vector<std::byte> bytes(BytesOf(type, elements));
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random.Next() >> 56);
  const auto block = static_cast<size_t>(FormatOf(type).bytes);
  for (size_t at = 0; at < bytes.size(); at += block) {
    for (const size_t half : HalvesOf(type)) {
      const auto value = static_cast<float>((random.Uniform() + 0.5) * step);
      const uint16_t bits = F16FromF32(random.Next() % 2 == 0 ? value : -value);
      std::memcpy(&bytes[at + half], &bits, sizeof(bits));
    }
  }
  return bytes;
}

// The minimum that every element of a weight is counted from (0 where its type has none), read off
// blocks whose other bits are zero.
inline std::vector<float> Minima(const WeightMatrix& weight) {
  const auto block = static_cast<size_t>(FormatOf(weight.type).bytes);
  std::vector<std::byte> bytes(weight.data, weight.data + weight.bytes());
  for (size_t at = 0; at < bytes.size(); at += block) {
    switch (weight.type) {
      case DType::kQ4_1:
        std::memset(&bytes[at + offsetof(BlockQ4_1, q)], 0, sizeof(BlockQ4_1::q));
        break;
      case DType::kQ5_1:
        std::memset(&bytes[at + offsetof(BlockQ5_1, high)], 0, block - offsetof(BlockQ5_1, high));
        break;
      case DType::kQ2_K:
        std::memset(&bytes[at + offsetof(BlockQ2_K, q)], 0, sizeof(BlockQ2_K::q));
        break;
      case DType::kQ4_K:
        std::memset(&bytes[at + offsetof(BlockQ4_K, q)], 0, sizeof(BlockQ4_K::q));
        break;
      case DType::kQ5_K:
        std::memset(&bytes[at + offsetof(BlockQ5_K, high)], 0, block - offsetof(BlockQ5_K, high));
        break;
      default:
        return std::vector<float>(static_cast<size_t>(weight.rows * weight.cols));
    }
  }
  return Dequantize(WeightMatrix(bytes.data(), weight.type, weight.rows, weight.cols));
}

// Owns exactly its bytes, so that a kernel reading past them is seen by the address sanitizer.
class TestWeight {
 public:
  TestWeight(int64_t rows, int64_t cols, DType type, uint64_t seed, float deviation = 1.0F)
      : bytes_(IsQuantized(type) ? RandomBlocks(type, rows * cols, seed, deviation / 64)
                                 : Stored(type, RandomNormal(rows * cols, seed, deviation))),
        view_(bytes_.data(), type, rows, cols) {}
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
