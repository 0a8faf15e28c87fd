// The slots of an expert, for the reference of moe and its backward pass. Internal to ref/.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "kernels/moe.h"

namespace fulmen::ref {

// A matrix that owns its memory.
struct Owned {
  std::vector<float> values;
  int64_t cols;

  Owned(size_t rows, int64_t cols_) : values(rows * static_cast<size_t>(cols_)), cols(cols_) {}
  Matrix view() { return {values.data(), static_cast<int64_t>(values.size()) / cols, cols}; }
};

// The slots t * k + s that chose `expert`.
inline std::vector<int64_t> SlotsOf(size_t expert, MatrixView<const int32_t> experts) {
  std::vector<int64_t> slots;
  for (int64_t t = 0; t < experts.rows; ++t) {
    for (int64_t s = 0; s < experts.cols; ++s) {
      if (experts.row(t)[s] == static_cast<int32_t>(expert)) slots.push_back(t * experts.cols + s);
    }
  }
  return slots;
}

// Row slot / divisor of `source` for every slot.
inline Owned Gather(ConstMatrix source, const std::vector<int64_t>& slots, int64_t divisor) {
  Owned rows(slots.size(), source.cols);
  for (size_t i = 0; i < slots.size(); ++i) {
    std::copy_n(source.row(slots[i] / divisor), source.cols,
                rows.view().row(static_cast<int64_t>(i)));
  }
  return rows;
}

inline void Scatter(ConstMatrix rows, const std::vector<int64_t>& slots, Matrix target) {
  for (size_t i = 0; i < slots.size(); ++i) {
    std::copy_n(rows.row(static_cast<int64_t>(i)), rows.cols, target.row(slots[i]));
  }
}

inline void CheckExperts(MatrixView<const int32_t> experts, ConstMatrix weights, size_t count) {
  FULMEN_CHECK(experts.rows == weights.rows && experts.cols == weights.cols,
               "experts are [{}, {}], weights [{}, {}]", experts.rows, experts.cols, weights.rows,
               weights.cols);
  for (int64_t t = 0; t < experts.rows; ++t) {
    for (int64_t s = 0; s < experts.cols; ++s) {
      const int32_t expert = experts.row(t)[s];
      FULMEN_CHECK(expert >= -1 && expert < static_cast<int32_t>(count), "expert {} of {}", expert,
                   count);
    }
  }
}

}  // namespace fulmen::ref
