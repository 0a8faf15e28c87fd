// The search for the numbers that a group's weights are stored with, as least squares. Included
// once per instruction set.
//
// With levels q (integers, or the entries of a table) chosen, the step d that minimises
// sum w (x - d q)^2 is sum(w x q) / sum(w q q), and lowers the error by sum(w x q)^2 / sum(w q q).
// With an offset m besides, both come from the normal equations of two unknowns. With d and m
// given, the best level of each weight is the nearest. Taking turns lowers the error until nothing
// moves (Lloyd, "Least squares quantization in PCM", 1982), but only to the nearest minimum: so it
// is done from several starts.
#if defined(FULMEN_QUANTIZE_SEARCH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FULMEN_QUANTIZE_SEARCH_INL_H_
#undef FULMEN_QUANTIZE_SEARCH_INL_H_
#else
#define FULMEN_QUANTIZE_SEARCH_INL_H_
#endif

#include <array>
#include <cmath>
#include <span>

#include "hwy/highway.h"
#include "quantize/panel.h"

HWY_BEFORE_NAMESPACE();
namespace fulmen::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Lane = hn::CappedTag<float, kGroups>;
using Vector = hn::Vec<Lane>;

// Levels that are consecutive integers; code 0 stands for `zero`.
struct IntegerLevels {
  float lowest;
  float highest;
  float zero;

  HWY_INLINE Vector Nearest(Vector y) const {
    const Lane d;
    return hn::Min(hn::Max(hn::Round(y), hn::Set(d, lowest)), hn::Set(d, highest));
  }
  HWY_INLINE hn::Vec<hn::RebindToSigned<Lane>> Codes(Vector y) const {
    return hn::ConvertTo(hn::RebindToSigned<Lane>(), hn::Sub(Nearest(y), hn::Set(Lane(), zero)));
  }
};

// The levels of kIQ4Values. All midpoints between neighbours are multiples of a half, so which
// level is nearest to y depends on floor(2 y) alone.
struct TableLevels {
  static constexpr float lowest = kIQ4Values.front();
  static constexpr float highest = kIQ4Values.back();
  static constexpr int kHalves = 512;  // floor(2 y) + kMiddle for y of -128 to 128
  static constexpr int kMiddle = kHalves / 2;

  static constexpr std::array<int32_t, kHalves> kCodes = [] {
    std::array<int32_t, kHalves> codes = {};
    for (int i = 0; i < kHalves; ++i) {
      const int twice = i - kMiddle;
      int code = 0;
      while (code < 15 && twice >= kIQ4Values[static_cast<size_t>(code)] +
                                       kIQ4Values[static_cast<size_t>(code) + 1]) {
        ++code;
      }
      codes[static_cast<size_t>(i)] = code;
    }
    return codes;
  }();
  static constexpr std::array<float, kHalves> kLevels = [] {
    std::array<float, kHalves> levels = {};
    for (size_t i = 0; i < kHalves; ++i) {
      levels[i] = kIQ4Values[static_cast<size_t>(kCodes[i])];
    }
    return levels;
  }();

  HWY_INLINE static hn::Vec<hn::RebindToSigned<Lane>> Index(Vector y) {
    const Lane d;
    const Vector half = hn::Set(d, kMiddle);
    const Vector twice = hn::Floor(hn::Add(hn::Add(y, y), half));
    return hn::ConvertTo(hn::RebindToSigned<Lane>(),
                         hn::Min(hn::Max(twice, hn::Zero(d)), hn::Set(d, kHalves - 1)));
  }
  HWY_INLINE Vector Nearest(Vector y) const {
    return hn::GatherIndex(Lane(), kLevels.data(), Index(y));
  }
  HWY_INLINE hn::Vec<hn::RebindToSigned<Lane>> Codes(Vector y) const {
    return hn::GatherIndex(hn::RebindToSigned<Lane>(), kCodes.data(), Index(y));
  }
};

// What errors are made of, summed over a group: w q, w q q and w x q.
struct LevelSums {
  Vector q;
  Vector qq;
  Vector xq;
};

// For levels nearest to (x - offset) * inverse of the groups from `g` on, as many as a vector has
// lanes. Without kOffset there is no offset, and the sum of w q is left out.
template <bool kWeighted, bool kOffset, class Levels>
HWY_INLINE LevelSums SumLevels(const Panel& panel, int g, const Levels& levels, Vector inverse,
                               Vector offset) {
  const Lane d;
  LevelSums sums = {hn::Zero(d), hn::Zero(d), hn::Zero(d)};
  for (int e = 0; e < panel.size; ++e) {
    const Vector x = hn::Load(d, panel.x + e * kGroups + g);
    const Vector q = levels.Nearest(hn::Mul(kOffset ? hn::Sub(x, offset) : x, inverse));
    const Vector wq = kWeighted ? hn::Mul(hn::Load(d, panel.w + e * kGroups + g), q) : q;
    if constexpr (kOffset) sums.q = hn::Add(sums.q, wq);
    sums.qq = hn::MulAdd(wq, q, sums.qq);
    sums.xq = hn::MulAdd(wq, x, sums.xq);
  }
  return sums;
}

// a / b, and zero where b is too small for that.
HWY_INLINE Vector Ratio(Vector a, Vector b) {
  const Lane d;
  const auto enough = hn::Gt(hn::Abs(b), hn::Set(d, 1e-30F));
  return hn::IfThenElseZero(enough, hn::Div(a, b));
}

// Of each group's elements: the one farthest from zero, the least and the greatest.
struct Extremes {
  Vector farthest;
  Vector least;
  Vector greatest;
};
HWY_INLINE Extremes FindExtremes(const Panel& panel, int g) {
  const Lane d;
  Vector least = hn::Load(d, panel.x + g);
  Vector greatest = least;
  for (int e = 1; e < panel.size; ++e) {
    const Vector x = hn::Load(d, panel.x + e * kGroups + g);
    least = hn::Min(least, x);
    greatest = hn::Max(greatest, x);
  }
  const auto below = hn::Gt(hn::Neg(least), greatest);
  return {hn::IfThenElse(below, least, greatest), least, greatest};
}

// Steps for levels without offset: d and the sum of w q q that goes with it. A start is the level,
// not necessarily one there is, that the farthest element falls on.
template <bool kWeighted, class Levels>
void SearchSteps(const Panel& panel, const Levels& levels, std::span<const float> starts,
                 int rounds, PerGroup& steps, PerGroup& curvature) {
  const Lane d;
  const Vector zero = hn::Zero(d);
  for (int g = 0; g < kGroups; g += static_cast<int>(hn::Lanes(d))) {
    const Vector farthest = FindExtremes(panel, g).farthest;
    const Vector unit = Ratio(hn::Set(d, 1.0F), farthest);
    Vector best_gain = hn::Set(d, -1.0F);
    Vector step = zero;
    Vector qq = zero;
    for (const float start : starts) {
      const LevelSums sums =
          SumLevels<kWeighted, false>(panel, g, levels, hn::Mul(hn::Set(d, start), unit), zero);
      const Vector ratio = Ratio(sums.xq, sums.qq);
      const Vector gain = hn::Mul(ratio, sums.xq);
      const auto better = hn::Gt(gain, best_gain);
      best_gain = hn::IfThenElse(better, gain, best_gain);
      step = hn::IfThenElse(better, ratio, step);
      qq = hn::IfThenElse(better, sums.qq, qq);
    }
    for (int round = 0; round < rounds; ++round) {
      const LevelSums sums =
          SumLevels<kWeighted, false>(panel, g, levels, Ratio(hn::Set(d, 1.0F), step), zero);
      step = Ratio(sums.xq, sums.qq);
      qq = sums.qq;
    }
    hn::Store(step, d, steps.of + g);
    hn::Store(qq, d, curvature.of + g);
  }
}

// Steps and offsets.
struct Line {
  Vector step;
  Vector offset;
  Vector gain;  // by how much it lowers the sum of w x x
};

// `sum_w` and `sum_x` are sums of w and of w x. With kNegative an offset may not be above zero.
template <bool kNegative>
HWY_INLINE Line FitLine(const LevelSums& sums, Vector sum_w, Vector sum_x) {
  const Lane d;
  const Vector spread = hn::Mul(sum_w, sums.qq);
  const Vector determinant = hn::NegMulAdd(sums.q, sums.q, spread);
  // Levels all alike leave the step open: it is zero then.
  const auto solvable = hn::Gt(determinant, hn::Mul(spread, hn::Set(d, 1e-6F)));
  const Vector inverse = hn::IfThenElseZero(solvable, Ratio(hn::Set(d, 1.0F), determinant));
  Vector step = hn::Mul(inverse, hn::Sub(hn::Mul(sum_w, sums.xq), hn::Mul(sum_x, sums.q)));
  Vector offset = hn::Mul(inverse, hn::Sub(hn::Mul(sums.qq, sum_x), hn::Mul(sums.q, sums.xq)));
  offset = hn::IfThenElse(solvable, offset, Ratio(sum_x, sum_w));
  if constexpr (kNegative) {
    const auto above = hn::Gt(offset, hn::Zero(d));
    offset = hn::IfThenZeroElse(above, offset);
    step = hn::IfThenElse(above, Ratio(sums.xq, sums.qq), step);
  }
  return {step, offset, hn::MulAdd(step, sums.xq, hn::Mul(offset, sum_x))};
}

// How many steps a start leaves out at the lower and at the upper end of a group's range.
struct Trim {
  float below;
  float above;
};

template <bool kWeighted, bool kNegative>
void SearchLines(const Panel& panel, const IntegerLevels& levels, std::span<const Trim> starts,
                 int rounds, PerGroup& steps, PerGroup& offsets) {
  const Lane d;
  const Vector one = hn::Set(d, 1.0F);
  for (int g = 0; g < kGroups; g += static_cast<int>(hn::Lanes(d))) {
    Vector sum_x = hn::Zero(d);
    Vector sum_w = hn::Zero(d);
    for (int e = 0; e < panel.size; ++e) {
      const Vector x = hn::Load(d, panel.x + e * kGroups + g);
      const Vector w = kWeighted ? hn::Load(d, panel.w + e * kGroups + g) : one;
      sum_x = hn::MulAdd(w, x, sum_x);
      sum_w = hn::Add(sum_w, w);
    }
    Extremes range = FindExtremes(panel, g);
    if constexpr (kNegative) range.least = hn::Min(range.least, hn::Zero(d));
    const Vector width = hn::Sub(range.greatest, range.least);
    Line best = {hn::Zero(d), hn::Zero(d), hn::Set(d, -1.0F)};
    for (const Trim& trim : starts) {
      const float kept = levels.highest - trim.below - trim.above;
      const Vector offset = hn::MulAdd(width, hn::Set(d, trim.below / levels.highest), range.least);
      const Vector inverse =
          hn::Mul(Ratio(one, width), hn::Set(d, levels.highest * levels.highest / kept));
      const Line line = FitLine<kNegative>(
          SumLevels<kWeighted, true>(panel, g, levels, inverse, offset), sum_w, sum_x);
      const auto better = hn::Gt(line.gain, best.gain);
      best = {hn::IfThenElse(better, line.step, best.step),
              hn::IfThenElse(better, line.offset, best.offset),
              hn::IfThenElse(better, line.gain, best.gain)};
    }
    for (int round = 0; round < rounds; ++round) {
      best = FitLine<kNegative>(
          SumLevels<kWeighted, true>(panel, g, levels, Ratio(one, best.step), best.offset), sum_w,
          sum_x);
    }
    hn::Store(best.step, d, steps.of + g);
    hn::Store(best.offset, d, offsets.of + g);
  }
}

// codes[0 .. kGroups * size) = the codes of the levels nearest to (x - offset) / step.
template <class Levels>
void ChooseCodes(const Panel& panel, const Levels& levels, const PerGroup& steps,
                 const PerGroup& offsets, uint8_t* codes) {
  const Lane d;
  for (int g = 0; g < kGroups; ++g) {
    const Vector inverse = hn::Set(d, steps[g] != 0.0F ? 1.0F / steps[g] : 0.0F);
    const Vector offset = hn::Set(d, offsets[g]);
    for (int e = 0; e < panel.size; e += static_cast<int>(hn::Lanes(d))) {
      const int at = g * panel.size + e;
      const Vector x = hn::Load(d, panel.rows + at);
      const auto chosen = levels.Codes(hn::Mul(hn::Sub(x, offset), inverse));
      hn::StoreU(hn::DemoteTo(hn::Rebind<uint8_t, Lane>(), chosen), hn::Rebind<uint8_t, Lane>(),
                 codes + at);
    }
  }
}

}  // namespace fulmen::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // FULMEN_QUANTIZE_SEARCH_INL_H_
