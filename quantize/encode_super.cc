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

template <class Levels>
class StepBlocks {
 public:
  StepBlocks(const Levels& levels, ScaleRange range, std::span<const float> starts,
             int groups_per_block)
      : levels_(levels), range_(range), starts_(starts), groups_(groups_per_block) {}

  template <class Block>
  void Encode(const EncodeJob& job) {
    Panel panel;
    panel.size = kSuperBlock / groups_;
    const int64_t blocks = job.elements / kSuperBlock;
    const int per_panel = kGroups / groups_;
    for (int64_t first = 0; first < blocks; first += per_panel) {
      LoadPanel(job, first * kSuperBlock, panel);
      Search(panel);
      alignas(64) uint8_t codes[kGroups * kSmallBlock];
      ChooseCodes(panel, levels_, steps_, PerGroup(), codes);
      for (int i = 0; i < per_panel && first + i < blocks; ++i) {
        int scales[kGroups];
        for (int g = 0; g < groups_; ++g) {
          scales[g] = static_cast<int>(scales_[i * groups_ + g]);
        }
        const SuperBlock parts = {.codes = codes + i * kSuperBlock,
                                  .scales = scales,
                                  .minima = nullptr,
                                  .d = d_[i],
                                  .dmin = 0};
        Pack(parts, reinterpret_cast<Block*>(job.out)[first + i]);
      }
    }
  }

 private:
  static constexpr int kRounds = 2;

  void Search(const Panel& panel) {
    PerGroup own;
    PerGroup curvature;
    if (panel.weighted) {
      SearchSteps<true>(panel, levels_, starts_, 1, own, curvature);
    } else {
      SearchSteps<false>(panel, levels_, starts_, 1, own, curvature);
    }
    float d[2] = {};
    for (int i = 0; i < kGroups / groups_; ++i) {
      d[i] = FirstScales(At(i), own, curvature, range_, scales_);
    }
    for (int round = 0; round < kRounds; ++round) {
      SetSteps(d);
      SumAll<false>(panel, levels_, steps_, PerGroup(), sums_);
      for (int i = 0; i < kGroups / groups_; ++i) d[i] = FitStep(At(i));
      SetSteps(d);
      TryNeighbours(panel, d);
    }
    for (int i = 0; i < kGroups / groups_; ++i) {
      d_[i] = FiniteF16(d[i]);
      d[i] = F32FromF16(d_[i]);
    }
    // A d that is subnormal in float16, or too large for it, has moved far.
    for (int g = 0; g < kGroups; ++g) {
      scales_[g] = RoundTo(steps_[g] * Inverse(d[g / groups_]), range_.lowest, range_.highest);
    }
    TryNeighbours(panel, d);
  }

  BlockOfPanel At(int i) const { return {i * groups_, (i + 1) * groups_}; }

  void SetSteps(const float* d) {
    for (int g = 0; g < kGroups; ++g) steps_[g] = d[g / groups_] * scales_[g];
  }

  // Least squares of a block's d for its scales and the levels that sums_ were made of.
  float FitStep(const BlockOfPanel& block) const {
    float xq = 0;
    float qq = 0;
    for (int g = block.begin; g < block.end; ++g) {
      xq += scales_[g] * sums_.xq[g];
      qq += scales_[g] * scales_[g] * sums_.qq[g];
    }
    return xq * Inverse(qq);
  }

  // Moves each group's scale by one where that lowers the error with its levels chosen anew.
  void TryNeighbours(const Panel& panel, const float* d) {
    const PerGroup before = scales_;
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
        scales_[g] = scales[g];
        steps_[g] = trial[g];
      }
    }
  }

  const Levels levels_;
  const ScaleRange range_;
  const std::span<const float> starts_;
  const int groups_;
  uint16_t d_[2] = {};
  PerGroup scales_;
  PerGroup steps_;
  Sums sums_;
};

// The numbers of a block of a type with minima.
struct Pair {
  float d;
  float dmin;
};

class LineBlocks {
 public:
  LineBlocks(const IntegerLevels& levels, float highest, std::span<const Trim> starts,
             int groups_per_block)
      : levels_(levels), highest_(highest), starts_(starts), groups_(groups_per_block) {}

  template <class Block>
  void Encode(const EncodeJob& job) {
    Panel panel;
    panel.size = kSuperBlock / groups_;
    const int64_t blocks = job.elements / kSuperBlock;
    const int per_panel = kGroups / groups_;
    for (int64_t first = 0; first < blocks; first += per_panel) {
      LoadPanel(job, first * kSuperBlock, panel);
      Search(panel);
      alignas(64) uint8_t codes[kGroups * kSmallBlock];
      ChooseCodes(panel, levels_, steps_, offsets_, codes);
      for (int i = 0; i < per_panel && first + i < blocks; ++i) {
        int scales[kGroups];
        int minima[kGroups];
        for (int g = 0; g < groups_; ++g) {
          scales[g] = static_cast<int>(scales_[i * groups_ + g]);
          minima[g] = static_cast<int>(minima_[i * groups_ + g]);
        }
        const SuperBlock parts = {.codes = codes + i * kSuperBlock,
                                  .scales = scales,
                                  .minima = minima,
                                  .d = FiniteF16(pairs_[i].d),
                                  .dmin = FiniteF16(pairs_[i].dmin)};
        Pack(parts, reinterpret_cast<Block*>(job.out)[first + i]);
      }
    }
  }

 private:
  static constexpr int kRounds = 2;

  void Search(const Panel& panel) {
    SumWeights(panel);
    if (panel.weighted) {
      SearchLines<true, true>(panel, levels_, starts_, 1, steps_, offsets_);
    } else {
      SearchLines<false, true>(panel, levels_, starts_, 1, steps_, offsets_);
    }
    for (int i = 0; i < kGroups / groups_; ++i) FirstPair(At(i), pairs_[i]);
    for (int round = 0; round < kRounds; ++round) {
      TryNeighbours(panel);
      SumAll<true>(panel, levels_, steps_, offsets_, sums_);
      for (int i = 0; i < kGroups / groups_; ++i) FitPair(At(i), pairs_[i]);
    }
    for (Pair& pair : pairs_) {
      const bool had_steps = pair.d != 0;
      pair = {F32FromF16(FiniteF16(pair.d)), F32FromF16(FiniteF16(pair.dmin))};
      // Minima whose steps are gone would put all weights at the lower ends of their groups'
      // ranges.
      if (had_steps && pair.d == 0) pair.dmin = 0;
    }
    // Numbers that are subnormal in float16, or too large for it, have moved far.
    for (int i = 0; i < kGroups / groups_; ++i) ChooseScales(At(i), pairs_[i]);
    TryNeighbours(panel);
  }

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

  void FirstPair(const BlockOfPanel& block, Pair& pair) {
    float step = 0;
    float minimum = 0;
    for (int g = block.begin; g < block.end; ++g) {
      step = std::max(step, steps_[g]);
      minimum = std::max(minimum, -offsets_[g]);
    }
    pair = {step / highest_, minimum / highest_};
    ChooseScales(block, pair);
  }

  // Those nearest to the steps and offsets there are.
  void ChooseScales(const BlockOfPanel& block, const Pair& pair) {
    for (int g = block.begin; g < block.end; ++g) {
      scales_[g] = RoundTo(steps_[g] * Inverse(pair.d), 0, highest_);
      minima_[g] = RoundTo(-offsets_[g] * Inverse(pair.dmin), 0, highest_);
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
      const double k = scales_[g];
      const double l = minima_[g];
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
    const PerGroup scales = scales_;
    const PerGroup minima = minima_;
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
      scales_[g] = k[g];
      minima_[g] = l[g];
      steps_[g] = s;
      offsets_[g] = m;
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
  PerGroup scales_;
  PerGroup minima_;
  PerGroup steps_;
  PerGroup offsets_;
  Sums sums_;
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
      return LineBlocks({0, 3, 0}, 15, kTrims2, 16).Encode<BlockQ2_K>(job);
    case DType::kQ4_K:
      return LineBlocks({0, 15, 0}, 63, kTrims4, 8).Encode<BlockQ4_K>(job);
    case DType::kQ5_K:
      return LineBlocks({0, 31, 0}, 63, kTrims5, 8).Encode<BlockQ5_K>(job);
    case DType::kQ3_K:
      return StepBlocks(IntegerLevels{-4, 3, -4}, {-32, 31}, kStarts3, 16).Encode<BlockQ3_K>(job);
    case DType::kQ6_K:
      return StepBlocks(IntegerLevels{-32, 31, -32}, {-128, 127}, kStarts6, 16)
          .Encode<BlockQ6_K>(job);
    case DType::kIQ4_XS:
      return StepBlocks(TableLevels(), {-32, 31}, kStartsTable, 8).Encode<BlockIQ4_XS>(job);
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
