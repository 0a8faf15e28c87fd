// Fills panels. Included once per instruction set.
#if defined(FULMEN_QUANTIZE_LOAD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FULMEN_QUANTIZE_LOAD_INL_H_
#undef FULMEN_QUANTIZE_LOAD_INL_H_
#else
#define FULMEN_QUANTIZE_LOAD_INL_H_
#endif

#include <algorithm>

#include "hwy/highway.h"
#include "quantize/encode_blocks.h"
#include "quantize/panel.h"

HWY_BEFORE_NAMESPACE();
namespace fulmen::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// No format reaches this far, whatever its step, and the squares of such numbers can be summed.
constexpr float kFarthest = 0x1p28F;

// Four elements of each of four groups: from group by group to element by element.
HWY_INLINE void TransposeFour(const float* from, int64_t from_stride, float* to) {
  const hn::FixedTag<float, 4> d;
  const hn::Repartition<double, decltype(d)> pairs;
  const auto a = hn::LoadU(d, from);
  const auto b = hn::LoadU(d, from + from_stride);
  const auto c = hn::LoadU(d, from + 2 * from_stride);
  const auto e = hn::LoadU(d, from + 3 * from_stride);
  const auto ab_low = hn::BitCast(pairs, hn::InterleaveLower(d, a, b));
  const auto ab_high = hn::BitCast(pairs, hn::InterleaveUpper(d, a, b));
  const auto ce_low = hn::BitCast(pairs, hn::InterleaveLower(d, c, e));
  const auto ce_high = hn::BitCast(pairs, hn::InterleaveUpper(d, c, e));
  const auto store = [&](int element, auto value) {
    hn::StoreU(hn::BitCast(d, value), d, to + element * kGroups);
  };
  store(0, hn::InterleaveLower(pairs, ab_low, ce_low));
  store(1, hn::InterleaveUpper(pairs, ab_low, ce_low));
  store(2, hn::InterleaveLower(pairs, ab_high, ce_high));
  store(3, hn::InterleaveUpper(pairs, ab_high, ce_high));
}

// The groups from element `first` on, of panel.size elements each. Where the job ends before the
// panel does, the rest are groups of zeros.
inline void LoadPanel(const EncodeJob& job, int64_t first, Panel& panel) {
  const hn::CappedTag<float, kGroups> d;
  panel.weighted = job.importance != nullptr;
  const int64_t size = panel.size;
  const int64_t there = std::min(job.elements - first, kGroups * size);
  const auto farthest = hn::Set(d, kFarthest);
  for (int64_t i = 0; i < there; i += static_cast<int64_t>(hn::Lanes(d))) {
    const auto x = hn::LoadU(d, job.x + first + i);
    hn::Store(hn::Min(hn::Max(x, hn::Neg(farthest)), farthest), d, panel.rows + i);
  }
  std::fill(panel.rows + there, panel.rows + kGroups * size, 0.0F);
  for (int64_t g = 0; g < kGroups; g += 4) {
    for (int64_t e = 0; e < size; e += 4) {
      TransposeFour(panel.rows + g * size + e, size, panel.x + e * kGroups + g);
    }
  }
  if (!panel.weighted) return;
  for (int64_t g = 0; g < kGroups; ++g) {
    const float* weights = job.importance + (first + g * size) % job.cols;
    for (int64_t e = 0; e < size; ++e) panel.w[e * kGroups + g] = weights[e];
  }
}

}  // namespace fulmen::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // FULMEN_QUANTIZE_LOAD_INL_H_
