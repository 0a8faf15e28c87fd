// Blocks of 256: 8 or 16 groups whose steps (and minima) are integers times those of the block.
#include <algorithm>
#include <limits>

#include "base/check.h"
#include "quantize/encode_blocks.h"
#include "quantize/pack.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "quantize/encode_super.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h:
#include "hwy/highway.h"
#include "quantize/load-inl.h"
#include "quantize/search-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fulmen::HWY_NAMESPACE {
namespace {

// How often a block's numbers and its groups' integers take turns.
constexpr int kRounds = 2;

// The sums of LevelSums as arrays.
struct Sums {
  PerGroup q;
  PerGroup qq;
  PerGroup xq;
};

template <bool kOffset, class Levels>
void SumAll(const Panel& panel, const Levels& levels, const PerGroup& steps,
            const PerGroup& offsets, Sums& out) {
  const Lane d;
  for (int g = 0; g < kGroups; g += static_cast<int>(hn::Lanes(d))) {
    const Vector inverse = Ratio(hn::Set(d, 1.0F), hn::Load(d, steps.of + g));
    const Vector offset = hn::Load(d, offsets.of + g);
    const LevelSums sums = panel.weighted
                               ? SumLevels<true, kOffset>(panel, g, levels, inverse, offset)
                               : SumLevels<false, kOffset>(panel, g, levels, inverse, offset);
    hn::Store(sums.q, d, out.q.of + g);
    hn::Store(sums.qq, d, out.qq.of + g);
    hn::Store(sums.xq, d, out.xq.of + g);
  }
}

float RoundTo(float value, float lowest, float highest) {
  return std::clamp(std::nearbyint(value), lowest, highest);
}

float Inverse(float value) { return std::fabs(value) > 1e-30F ? 1 / value : 0; }

// The groups of one block of 256 among those of a panel.
struct BlockOfPanel {
  int begin;
  int end;
};

// What the integers of a type may be.
struct ScaleRange {
  float lowest;
  float highest;
};

// The step d of a block, and integers k, such that d k is close to each group's own step. An error
// of a step costs its group's curvature times its square.
float FirstScales(const BlockOfPanel& block, const PerGroup& steps, const PerGroup& curvature,
                  ScaleRange range, PerGroup& scales) {
  float farthest = 0;
  for (int g = block.begin; g < block.end; ++g) {
    if (std::fabs(steps[g]) > std::fabs(farthest)) farthest = steps[g];
  }
  float best_gain = -1;
  float best = 0;
  for (const float start : {range.lowest, range.lowest * 0.97F, range.highest,
                            range.highest * 0.97F, range.lowest * 0.94F, range.highest * 0.94F}) {
    const float inverse = start * Inverse(farthest);
    float kk = 0;
    float sk = 0;
    for (int g = block.begin; g < block.end; ++g) {
      const float k = RoundTo(steps[g] * inverse, range.lowest, range.highest);
      kk += curvature[g] * k * k;
      sk += curvature[g] * k * steps[g];
    }
    const float gain = sk * sk * Inverse(kk);
    if (gain > best_gain) {
      best_gain = gain;
      best = sk * Inverse(kk);
    }
  }
  for (int g = block.begin; g < block.end; ++g) {
    scales[g] = RoundTo(steps[g] * Inverse(best), range.lowest, range.highest);
  }
  return best;
}

// What a search finds for the one or two blocks of a panel.
struct Found {
  PerGroup scales;
  PerGroup minima;
  PerGroup steps;    // d times the scale, as a reader computes it
  PerGroup offsets;  // -dmin times the minimum
  uint16_t d[2] = {};
  uint16_t dmin[2] = {};
};

// Packs block `i` of a panel of blocks of `groups` groups.
template <class Block>
void PackBlock(const Found& found, const uint8_t* codes, int i, int groups, Block& out) {
  int scales[kGroups];
  int minima[kGroups];
  for (int g = 0; g < groups; ++g) {
    scales[g] = static_cast<int>(found.scales[i * groups + g]);
    minima[g] = static_cast<int>(found.minima[i * groups + g]);
  }
  const SuperBlock parts = {.codes = codes + i * kSuperBlock,
                            .scales = scales,
                            .minima = minima,
                            .d = found.d[i],
                            .dmin = found.dmin[i]};
  Pack(parts, out);
}

template <class Block, class Search>
void EncodeBlocks(const EncodeJob& job, Search search) {
  Panel panel;
  panel.size = kSuperBlock / search.groups();
  const int64_t blocks = job.elements / kSuperBlock;
  const int per_panel = kGroups / search.groups();
  for (int64_t first = 0; first < blocks; first += per_panel) {
    LoadPanel(job, first * kSuperBlock, panel);
    const Found& found = search.Run(panel);
    alignas(64) uint8_t codes[kGroups * kSmallBlock];
    ChooseCodes(panel, search.levels(), found.steps, found.offsets, codes);
    for (int i = 0; i < per_panel && first + i < blocks; ++i) {
      PackBlock(found, codes, i, search.groups(), reinterpret_cast<Block*>(job.out)[first + i]);
    }
  }
}

// For types without minima.
template <class Levels>
class StepSearch {
 public:
  StepSearch(const Levels& levels, ScaleRange range, std::span<const float> starts,
             int groups_per_block)
      : levels_(levels), range_(range), starts_(starts), groups_(groups_per_block) {}

  int groups() const { return groups_; }
  const Levels& levels() const { return levels_; }

  const Found& Run(const Panel& panel) {
    PerGroup own;
    PerGroup curvature;
    if (panel.weighted) {
      SearchSteps<true>(panel, levels_, starts_, 1, own, curvature);
    } else {
      SearchSteps<false>(panel, levels_, starts_, 1, own, curvature);
    }
    float d[2] = {};
    for (int i = 0; i < kGroups / groups_; ++i) {
      d[i] = FirstScales(At(i), own, curvature, range_, found_.scales);
    }
    for (int round = 0; round < kRounds; ++round) {
      SetSteps(d);
      SumAll<false>(panel, levels_, found_.steps, PerGroup(), sums_);
      for (int i = 0; i < kGroups / groups_; ++i) d[i] = FitStep(At(i));
      SetSteps(d);
      TryNeighbours(panel, d);
    }
    for (int i = 0; i < kGroups / groups_; ++i) {
      found_.d[i] = FiniteF16(d[i]);
      d[i] = F32FromF16(found_.d[i]);
    }
    // A d that is subnormal in float16, or too large for it, has moved far.
    for (int g = 0; g < kGroups; ++g) {
      found_.scales[g] =
          RoundTo(found_.steps[g] * Inverse(d[g / groups_]), range_.lowest, range_.highest);
    }
    TryNeighbours(panel, d);
    return found_;
  }

 private:
  BlockOfPanel At(int i) const { return {i * groups_, (i + 1) * groups_}; }

  void SetSteps(const float* d) {
    for (int g = 0; g < kGroups; ++g) found_.steps[g] = d[g / groups_] * found_.scales[g];
  }

  // Least squares of a block's d for its scales and the levels that sums_ were made of.
  float FitStep(const BlockOfPanel& block) const {
    float xq = 0;
    float qq = 0;
    for (int g = block.begin; g < block.end; ++g) {
      xq += found_.scales[g] * sums_.xq[g];
      qq += found_.scales[g] * found_.scales[g] * sums_.qq[g];
    }
    return xq * Inverse(qq);
  }

  // Moves each group's scale by one where that lowers the error with its levels chosen anew.
  void TryNeighbours(const Panel& panel, const float* d) {
    const PerGroup before = found_.scales;
    PerGroup best;
    PerGroup trial;
    for (const float change : {0.0F, -1.0F, 1.0F}) {
      PerGroup scales;
      for (int g = 0; g < kGroups; ++g) {
        scales[g] = std::clamp(before[g] + change, range_.lowest, range_.highest);
        trial[g] = d[g / groups_] * scales[g];
      }
      SumAll<false>(panel, levels_, trial, PerGroup(), sums_);
      for (int g = 0; g < kGroups; ++g) {
        const float error = trial[g] * (trial[g] * sums_.qq[g] - 2 * sums_.xq[g]);
        if (change != 0 && error >= best[g]) continue;
        best[g] = error;
        found_.scales[g] = scales[g];
        found_.steps[g] = trial[g];
      }
    }
  }

  const Levels levels_;
  const ScaleRange range_;
  const std::span<const float> starts_;
  const int groups_;
  Sums sums_;
  Found found_;
};

// The numbers of a block of a type with minima.
struct Pair {
  float d;
  float dmin;
};

// For types with minima.
class LineSearch {
 public:
  LineSearch(const IntegerLevels& levels, float highest, std::span<const Trim> starts,
             int groups_per_block)
      : levels_(levels), highest_(highest), starts_(starts), groups_(groups_per_block) {}

  int groups() const { return groups_; }
  const IntegerLevels& levels() const { return levels_; }

  const Found& Run(const Panel& panel) {
    SumWeights(panel);
    if (panel.weighted) {
      SearchLines<true, true>(panel, levels_, starts_, 1, found_.steps, found_.offsets);
    } else {
      SearchLines<false, true>(panel, levels_, starts_, 1, found_.steps, found_.offsets);
    }
    for (int i = 0; i < kGroups / groups_; ++i) FirstPair(At(i), pairs_[i]);
    for (int round = 0; round < kRounds; ++round) {
      TryNeighbours(panel);
      SumAll<true>(panel, levels_, found_.steps, found_.offsets, sums_);
      for (int i = 0; i < kGroups / groups_; ++i) FitPair(At(i), pairs_[i]);
    }
    for (int i = 0; i < kGroups / groups_; ++i) RoundPair(i);
    // Numbers that are subnormal in float16, or too large for it, have moved far.
    for (int i = 0; i < kGroups / groups_; ++i) ChooseScales(At(i), pairs_[i]);
    TryNeighbours(panel);
    return found_;
  }

 private:
  BlockOfPanel At(int i) const { return {i * groups_, (i + 1) * groups_}; }

  void SumWeights(const Panel& panel) {
    weight_ = PerGroup();
    mass_ = PerGroup();
    for (int e = 0; e < panel.size; ++e) {
      for (int g = 0; g < kGroups; ++g) {
        const float w = panel.weighted ? panel.w[e * kGroups + g] : 1.0F;
        weight_[g] += w;
        mass_[g] += w * panel.x[e * kGroups + g];
      }
    }
  }

  // To what the file can hold.
  void RoundPair(int i) {
    Pair& pair = pairs_[i];
    found_.d[i] = FiniteF16(pair.d);
    // Minima whose steps are gone would put all weights at the lower ends of their groups' ranges.
    const bool lost = pair.d != 0 && F32FromF16(found_.d[i]) == 0;
    found_.dmin[i] = lost ? uint16_t{0} : FiniteF16(pair.dmin);
    pair = {F32FromF16(found_.d[i]), F32FromF16(found_.dmin[i])};
  }

  void FirstPair(const BlockOfPanel& block, Pair& pair) {
    float step = 0;
    float minimum = 0;
    for (int g = block.begin; g < block.end; ++g) {
      step = std::max(step, found_.steps[g]);
      minimum = std::max(minimum, -found_.offsets[g]);
    }
    pair = {step / highest_, minimum / highest_};
    ChooseScales(block, pair);
  }

  // Those nearest to the steps and offsets there are.
  void ChooseScales(const BlockOfPanel& block, const Pair& pair) {
    for (int g = block.begin; g < block.end; ++g) {
      found_.scales[g] = RoundTo(found_.steps[g] * Inverse(pair.d), 0, highest_);
      found_.minima[g] = RoundTo(-found_.offsets[g] * Inverse(pair.dmin), 0, highest_);
    }
  }

  // Least squares of d and dmin for the integers chosen and the levels that sums_ were made of.
  void FitPair(const BlockOfPanel& block, Pair& pair) const {
    double dd = 0;
    double dm = 0;
    double mm = 0;
    double xd = 0;
    double xm = 0;
    for (int g = block.begin; g < block.end; ++g) {
      const double k = found_.scales[g];
      const double l = found_.minima[g];
      dd += k * k * sums_.qq[g];
      dm += k * l * sums_.q[g];
      mm += l * l * weight_[g];
      xd += k * sums_.xq[g];
      xm += l * mass_[g];
    }
    const double determinant = dd * mm - dm * dm;
    if (determinant > 1e-6 * dd * mm) {
      const auto d = static_cast<float>((xd * mm - xm * dm) / determinant);
      const auto dmin = static_cast<float>((xd * dm - xm * dd) / determinant);
      if (d > 0 && dmin > 0) pair = {d, dmin};
    }
  }

  // Moves each group's scale and minimum by one where that lowers the error with its levels chosen
  // anew.
  void TryNeighbours(const Panel& panel) {
    const PerGroup scales = found_.scales;
    const PerGroup minima = found_.minima;
    PerGroup best;
    best_is_set_ = false;
    for (const float change : {0.0F, -1.0F, 1.0F}) {
      for (const float shift : {0.0F, -1.0F, 1.0F}) {
        Try(panel, scales, minima, change, shift, best);
      }
    }
  }

  void Try(const Panel& panel, const PerGroup& scales, const PerGroup& minima, float change,
           float shift, PerGroup& best) {
    PerGroup k;
    PerGroup l;
    PerGroup step;
    PerGroup offset;
    for (int g = 0; g < kGroups; ++g) {
      const Pair& pair = pairs_[g / groups_];
      k[g] = std::clamp(scales[g] + change, 0.0F, highest_);
      l[g] = std::clamp(minima[g] + shift, 0.0F, highest_);
      step[g] = pair.d * k[g];
      offset[g] = -pair.dmin * l[g];
    }
    SumAll<true>(panel, levels_, step, offset, sums_);
    for (int g = 0; g < kGroups; ++g) {
      const float s = step[g];
      const float m = offset[g];
      const float error = s * (s * sums_.qq[g] - 2 * sums_.xq[g]) +
                          m * (m * weight_[g] + 2 * s * sums_.q[g] - 2 * mass_[g]);
      if (best_is_set_ && error >= best[g]) continue;
      best[g] = error;
      found_.scales[g] = k[g];
      found_.minima[g] = l[g];
      found_.steps[g] = s;
      found_.offsets[g] = m;
    }
    best_is_set_ = true;
  }

  const IntegerLevels levels_;
  const float highest_;  // of scales and of minima
  const std::span<const Trim> starts_;
  const int groups_;
  bool best_is_set_ = false;
  Pair pairs_[2] = {};
  PerGroup weight_;  // sums of w
  PerGroup mass_;    // sums of w x
  Sums sums_;
  Found found_;
};

constexpr std::array kStarts3 = {-4.0F, -4.5F, -3.6F, -3.2F, 3.0F, 3.5F, 2.6F, -5.0F};
constexpr std::array kStarts6 = {-32.0F, -31.3F, -30.6F, 31.0F, 30.4F, 29.8F};
constexpr std::array kStartsTable = {-127.0F, -134.0F, -120.0F, -113.0F, -106.0F,
                                     113.0F,  119.0F,  107.0F,  101.0F,  95.0F};
constexpr std::array kTrims2 = {Trim{0, 0},       Trim{0.2F, 0.2F},  Trim{0.4F, 0.4F},
                                Trim{0, 0.4F},    Trim{0.4F, 0},     Trim{0, 0.8F},
                                Trim{0.8F, 0.2F}, Trim{-0.3F, -0.3F}};
constexpr std::array kTrims4 = {Trim{0, 0},    Trim{0.4F, 0.4F}, Trim{0.8F, 0.8F},
                                Trim{0, 0.7F}, Trim{0.7F, 0},    Trim{-0.3F, -0.3F}};
constexpr std::array kTrims5 = {Trim{0, 0}, Trim{0.5F, 0.5F}, Trim{1, 1}, Trim{0, 1}, Trim{1, 0}};

void EncodeSuper(const EncodeJob& job) {
  switch (job.type) {
    case DType::kQ2_K:
      return EncodeBlocks<BlockQ2_K>(job, LineSearch({0, 3, 0}, 15, kTrims2, 16));
    case DType::kQ4_K:
      return EncodeBlocks<BlockQ4_K>(job, LineSearch({0, 15, 0}, 63, kTrims4, 8));
    case DType::kQ5_K:
      return EncodeBlocks<BlockQ5_K>(job, LineSearch({0, 31, 0}, 63, kTrims5, 8));
    case DType::kQ3_K:
      return EncodeBlocks<BlockQ3_K>(job,
                                     StepSearch(IntegerLevels{-4, 3, -4}, {-32, 31}, kStarts3, 16));
    case DType::kQ6_K:
      return EncodeBlocks<BlockQ6_K>(
          job, StepSearch(IntegerLevels{-32, 31, -32}, {-128, 127}, kStarts6, 16));
    case DType::kIQ4_XS:
      return EncodeBlocks<BlockIQ4_XS>(job, StepSearch(TableLevels(), {-32, 31}, kStartsTable, 8));
    default:
      FULMEN_CHECK(false, "{} has no blocks of 256", DTypeName(job.type));
  }
}

}  // namespace
}  // namespace fulmen::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fulmen {

HWY_EXPORT(EncodeSuper);

void EncodeSuperBlocks(const EncodeJob& job) { HWY_DYNAMIC_DISPATCH(EncodeSuper)(job); }

}  // namespace fulmen
#endif
