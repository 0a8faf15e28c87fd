// Softmax attention: online softmax of a row of scores, and the heads of packed documents. Included
// once per instruction set.

// The toggle lets foreach_target.h include this file again for the next instruction set.
#if defined(FULMEN_KERNELS_CPU_SOFTMAX_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FULMEN_KERNELS_CPU_SOFTMAX_INL_H_
#undef FULMEN_KERNELS_CPU_SOFTMAX_INL_H_
#else
#define FULMEN_KERNELS_CPU_SOFTMAX_INL_H_
#endif

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "base/workspace.h"
#include "hwy/highway.h"
#include "kernels/cpu/tile-inl.h"
#include "kernels/softmax_attention.h"

HWY_BEFORE_NAMESPACE();
namespace fulmen::cpu::HWY_NAMESPACE {

// Keys, and in the backward pass queries, packed at a time.
constexpr int64_t kKeyBlock = 128;

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

// What a row has seen of the context: sum of exp(score - largest), and the values so weighted.
struct Partial {
  float* largest;  // [rows]
  float* total;    // [rows]
  Matrix values;   // [rows, padded head_dim]

  Partial Rows(int64_t first, int64_t count) const {
    return {largest + first, total + first, values.Rows(first, count)};
  }
};

HWY_INLINE Partial AllocatePartial(Workspace& workspace, int64_t rows, int64_t padded) {
  return {workspace.Allocate<float>(rows), workspace.Allocate<float>(rows),
          workspace.AllocateMatrix(rows, padded)};
}

HWY_INLINE void Clear(const Partial& partial) {
  const int64_t rows = partial.values.rows;
  std::fill_n(partial.largest, rows, kMinusInfinity);
  std::fill_n(partial.total, rows, 0.0F);
  std::fill_n(partial.values.data, rows * partial.values.stride, 0.0F);
}

// scores[j] <- exp(scores[j] - largest) for j < visible and 0 from there on, in which largest and
// total are brought up to date. Returns the factor that older sums must be multiplied by.
HWY_INLINE float SoftmaxRow(int64_t columns, int64_t visible, float* HWY_RESTRICT scores,
                            float& largest, float& total) {
  const Floats d;
  const int64_t lanes = TileLanes();
  if (visible <= 0) {
    std::fill_n(scores, columns, 0.0F);
    return 1.0F;
  }
  FloatsV most = hn::Set(d, largest);
  for (int64_t j = 0; j < columns; j += lanes) {
    FloatsV score = hn::LoadU(d, scores + j);
    if (j + lanes > visible) {
      const auto seen =
          hn::Lt(hn::Iota(d, static_cast<float>(j)), hn::Set(d, static_cast<float>(visible)));
      score = hn::IfThenElse(seen, score, hn::Set(d, kMinusInfinity));
      hn::StoreU(score, d, scores + j);
    }
    most = hn::Max(most, score);
  }
  most = hn::MaxOfLanes(d, most);
  const FloatsV factor = Exp(d, hn::Sub(hn::Set(d, largest), most));
  FloatsV sums = hn::Zero(d);
  for (int64_t j = 0; j < columns; j += lanes) {
    const FloatsV weight = Exp(d, hn::Sub(hn::LoadU(d, scores + j), most));
    hn::StoreU(weight, d, scores + j);
    sums = hn::Add(sums, weight);
  }
  const float keep = hn::GetLane(factor);
  largest = hn::GetLane(most);
  total = total * keep + hn::GetLane(hn::SumOfLanes(d, sums));
  return keep;
}

HWY_INLINE int64_t Heads(const PackedAttention& attention) {
  return attention.queries.cols / attention.head_dim;
}
HWY_INLINE int64_t KvHeads(const PackedAttention& attention) {
  return attention.keys.cols / attention.head_dim;
}
// Heads per KV head.
HWY_INLINE int64_t Group(const PackedAttention& attention) {
  return attention.queries.cols / attention.keys.cols;
}

// Columns of one head.
template <class M>
HWY_INLINE M Head(const PackedAttention& attention, M matrix, int64_t head) {
  return matrix.Cols(head * attention.head_dim, attention.head_dim);
}

HWY_INLINE float ScoreScale(const PackedAttention& attention) {
  return static_cast<float>(1.0 / std::sqrt(static_cast<double>(attention.head_dim)));
}

// As CopyPadded, times `scale`.
HWY_INLINE void CopyScaled(ConstMatrix from, float scale, Matrix to) {
  for (int64_t r = 0; r < from.rows; ++r) {
    float* row = to.row(r);
    ScaleRow(from.cols, scale, from.row(r), row);
    std::fill(row + from.cols, row + to.cols, 0.0F);
  }
}

}  // namespace fulmen::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // FULMEN_KERNELS_CPU_SOFTMAX_INL_H_
