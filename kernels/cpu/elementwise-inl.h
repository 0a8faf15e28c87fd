// Walking matrices row by row, vector by vector. Included once per instruction set.
#if defined(FULMEN_KERNELS_CPU_ELEMENTWISE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FULMEN_KERNELS_CPU_ELEMENTWISE_INL_H_
#undef FULMEN_KERNELS_CPU_ELEMENTWISE_INL_H_
#else
#define FULMEN_KERNELS_CPU_ELEMENTWISE_INL_H_
#endif

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "base/matrix.h"
#include "kernels/context.h"
#include "kernels/cpu/math-inl.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/weights-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fulmen::cpu::HWY_NAMESPACE {

// Elements one task handles: large enough to hide the handing out, small enough to share out one
// token's activations.
constexpr int64_t kTaskElements = 8192;

// Calls part(row, first column, columns) for pieces of a [rows, cols] matrix that cover it, on all
// threads; `cost` is the number of vector operations per element vector.
template <class Part>
void ForParts(KernelContext& context, int64_t rows, int64_t cols, int64_t cost, const Part& part) {
  if (rows == 0 || cols == 0) return;
  const int64_t pieces = (cols + kTaskElements - 1) / kTaskElements;   // of a row
  const int64_t grouped = std::max<int64_t>(1, kTaskElements / cols);  // rows per task
  const int64_t tasks = (rows + grouped - 1) / grouped * pieces;
  const int64_t work = rows * cols * cost / LaneCount();
  ForTasks(context.pool, tasks, work, [&](int64_t task, int) {
    const int64_t first_row = task / pieces * grouped;
    const int64_t column = task % pieces * kTaskElements;
    const int64_t count = std::min(kTaskElements, cols - column);
    for (int64_t r = first_row; r < std::min(rows, first_row + grouped); ++r) {
      part(r, column, count);
    }
  });
}

template <class T>
HWY_INLINE void WidenRow(const T* HWY_RESTRICT from, int64_t count, float* HWY_RESTRICT to) {
  const Floats d;
  const int64_t lanes = LaneCount();
  int64_t c = 0;
  for (; c + lanes <= count; c += lanes) hn::StoreU(Widen(d, from + c), d, to + c);
  const size_t rest = static_cast<size_t>(count - c);
  if (rest > 0) StoreFirst(d, WidenFirst(d, from + c, rest), to + c, rest);
}

// Columns [first, first + count) of a row of a weight as float32.
inline HWY_NOINLINE void WidenElements(const WeightMatrix& weight, int64_t row, int64_t first,
                                       int64_t count, float* to) {
  if (IsQuantized(weight.type)) return DequantizeRow(weight.Cols(first, count), row, to);
  VisitElements(weight, [&]<class T>(const WeightElements<T>& elements) {
    WidenRow(elements.row(row) + first, count, to);
  });
}

// The vector at `from`, or its first `count` lanes where it has fewer.
HWY_INLINE FloatsV LoadPart(const float* from, int64_t count) {
  const Floats d;
  if (HWY_LIKELY(count >= LaneCount())) return hn::LoadU(d, from);
  return WidenFirst(d, from, static_cast<size_t>(count));
}
HWY_INLINE void StorePart(FloatsV v, float* to, int64_t count) {
  const Floats d;
  if (HWY_LIKELY(count >= LaneCount())) return hn::StoreU(v, d, to);
  StoreFirst(d, v, to, static_cast<size_t>(count));
}

// to[c] = function(a[c], b[c]), vector by vector; to may be a or b.
template <class Function>
HWY_INLINE void Map(const float* a, const float* b, int64_t count, float* to,
                    const Function& function) {
  for (int64_t c = 0; c < count; c += LaneCount()) {
    const int64_t left = count - c;
    StorePart(function(LoadPart(a + c, left), LoadPart(b + c, left)), to + c, left);
  }
}

// add(sum, vector) for all vectors of x, from 0 on, and the sum of the lanes. Lanes behind the last
// element are left out.
template <class Add>
HWY_INLINE float SumOver(const float* HWY_RESTRICT x, int64_t count, const Add& add) {
  const Floats d;
  const int64_t lanes = LaneCount();
  // Four sums, for one would wait for its own last addition.
  FloatsV sums[4] = {hn::Zero(d), hn::Zero(d), hn::Zero(d), hn::Zero(d)};
  int64_t c = 0;
  for (; c + 4 * lanes <= count; c += 4 * lanes) {
    for (int i = 0; i < 4; ++i) sums[i] = add(sums[i], hn::LoadU(d, x + c + i * lanes));
  }
  for (; c + lanes <= count; c += lanes) sums[0] = add(sums[0], hn::LoadU(d, x + c));
  if (c < count) {
    const auto rest = static_cast<size_t>(count - c);
    sums[0] =
        hn::IfThenElse(hn::FirstN(d, rest), add(sums[0], WidenFirst(d, x + c, rest)), sums[0]);
  }
  const FloatsV sum = hn::Add(hn::Add(sums[0], sums[1]), hn::Add(sums[2], sums[3]));
  return hn::GetLane(hn::SumOfLanes(d, sum));
}

HWY_INLINE float SumOfSquares(const float* x, int64_t count) {
  return SumOver(x, count,
                 [](FloatsV sum, FloatsV value) HWY_ATTR { return hn::MulAdd(value, value, sum); });
}

// 1 / sqrt(mean of x^2 + epsilon)
HWY_INLINE float NormScale(const float* x, int64_t count, float epsilon) {
  return 1.0F / std::sqrt(SumOfSquares(x, count) / static_cast<float>(count) + epsilon);
}

// How layer_norm shifts and scales a row.
struct RowMoments {
  FloatsV mean;
  FloatsV scale;  // 1 / sqrt(variance + epsilon)

  HWY_INLINE FloatsV Normalised(FloatsV value) const {
    return hn::Mul(hn::Sub(value, mean), scale);
  }
};

// The variance is summed over deviations from the mean, for a row may lie far from 0.
HWY_INLINE RowMoments MomentsOf(const float* x, int64_t count, float epsilon) {
  const Floats d;
  const auto width = static_cast<float>(count);
  const float sum =
      SumOver(x, count, [](FloatsV s, FloatsV value) HWY_ATTR { return hn::Add(s, value); });
  const FloatsV mean = hn::Set(d, sum / width);
  const float squares = SumOver(x, count, [mean](FloatsV s, FloatsV value) HWY_ATTR {
    const FloatsV deviation = hn::Sub(value, mean);
    return hn::MulAdd(deviation, deviation, s);
  });
  return {mean, hn::Set(d, 1.0F / std::sqrt(squares / width + epsilon))};
}

}  // namespace fulmen::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // FULMEN_KERNELS_CPU_ELEMENTWISE_INL_H_
