// What the self-checks of both tables share. Internal to self_check*.cc.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "base/matrix.h"
#include "base/quant_blocks.h"
#include "base/status.h"
#include "kernels/context.h"
#include "kernels/moe.h"

namespace fulmen::self_check {

// Odd sizes, so that whole vectors and rests are both exercised.
inline constexpr int64_t kTokens = 9;
inline constexpr int64_t kWidth = 75;
inline constexpr int64_t kHeads = 2;
inline constexpr int64_t kHeadDim = 20;
inline constexpr int64_t kExperts = 3;
inline constexpr int64_t kChosen = 2;
inline constexpr int64_t kFfn = 21;
// Far above rounding at these sizes, far below any real defect.
inline constexpr double kTolerance = 1e-4;

// A fixed sequence of values in [-1, 1): the check needs no good randomness.
inline std::vector<float> Values(int64_t count, uint32_t seed) {
  std::vector<float> values(static_cast<size_t>(count));
  uint32_t state = seed * 2654435761U + 1;
  for (float& value : values) {
    state = state * 1664525U + 1013904223U;
    value = static_cast<float>(state >> 8) / 8388608.0F - 1.0F;
  }
  return values;
}

// For what must be overwritten.
inline std::vector<float> Nothing(int64_t count) {
  return std::vector<float>(static_cast<size_t>(count), NAN);
}

inline Matrix View(std::vector<float>& values, int64_t rows) {
  return {values.data(), rows, static_cast<int64_t>(values.size()) / rows};
}
inline ConstMatrix View(const std::vector<float>& values, int64_t rows) {
  return {values.data(), rows, static_cast<int64_t>(values.size()) / rows};
}

struct WeightTensor {
  std::vector<float> values;
  WeightMatrix view;
  WeightTensor(int64_t rows, int64_t cols, uint32_t seed)
      : values(Values(rows * cols, seed)), view(values.data(), DType::kF32, rows, cols) {}
};

// Bytes of every value; the steps of its blocks are overwritten with one of reasonable size.
struct QuantizedTensor {
  std::vector<std::byte> bytes;
  WeightMatrix view;
  QuantizedTensor(int64_t rows, int64_t cols, DType type, std::initializer_list<size_t> halves)
      : bytes(BytesOf(type, rows * cols)), view(bytes.data(), type, rows, cols) {
    const uint16_t step = F16FromF32(0.01F);
    const auto block = static_cast<size_t>(FormatOf(type).bytes);
    for (size_t i = 0; i < bytes.size(); ++i) {
      bytes[i] = static_cast<std::byte>(static_cast<uint32_t>(i) * 2654435761U >> 24);
    }
    for (size_t i = 0; i < bytes.size(); i += block) {
      for (const size_t half : halves) std::memcpy(&bytes[i + half], &step, sizeof(step));
    }
  }
};

struct Experts {
  std::vector<WeightTensor> tensors;
  std::vector<ExpertWeights> weights;
  Experts() {
    for (uint32_t e = 0; e < kExperts; ++e) {
      tensors.emplace_back(kFfn, kWidth, 20 + 3 * e);
      tensors.emplace_back(kFfn, kWidth, 21 + 3 * e);
      tensors.emplace_back(kWidth, kFfn, 22 + 3 * e);
    }
    for (size_t e = 0; e < kExperts; ++e) {
      weights.push_back({tensors[3 * e].view, tensors[3 * e + 1].view, tensors[3 * e + 2].view});
    }
  }
};

// What an operation writes, each compared by itself.
using Outputs = std::vector<std::vector<float>>;

template <class Table>
class Checker {
 public:
  Checker(const Table& table, const Table& reference, std::string_view name)
      : table_(table), reference_(reference), name_(name) {}

  // Calls run(table, context, outputs) with both tables and compares what they wrote.
  template <class Run>
  void Compare(const char* operation, const Outputs& initial, const Run& run,
               double tolerance = kTolerance) {
    Outputs actual = initial;
    run(table_, context_, actual);
    const Outputs expected = Expected(initial, run);
    for (size_t i = 0; i < initial.size(); ++i) {
      CompareOutput(operation, actual[i], expected[i], tolerance);
    }
  }

  // What the reference writes.
  template <class Run>
  Outputs Expected(const Outputs& initial, const Run& run) {
    Outputs expected = initial;
    run(reference_, context_, expected);
    return expected;
  }

  Status status() const { return status_; }

 private:
  void CompareOutput(const char* operation, const std::vector<float>& actual,
                     const std::vector<float>& expected, double tolerance) {
    double largest = 0.0;
    double difference = 0.0;
    for (size_t i = 0; i < expected.size(); ++i) {
      largest = std::max(largest, std::abs(double{expected[i]}));
      const double d = std::abs(double{actual[i]} - double{expected[i]});
      // Not max(): once a NaN, always one.
      if (d > difference || std::isnan(d)) difference = d;
    }
    if (!status_ || difference <= tolerance * largest) return;
    status_ = Fail(ErrorCode::kUnsupported,
                   "the self-check of the {} kernels expected {} to match ref within {}, but found "
                   "a difference of {} where the largest value is {}",
                   name_, operation, tolerance, difference, largest);
  }

  const Table& table_;
  const Table& reference_;
  std::string name_;
  ThreadPool pool_{1};
  Workspace scratch_;
  KernelContext context_{pool_, scratch_};
  Status status_;
};

}  // namespace fulmen::self_check
