// Products of one tile of x with blocks of weights while those are unpacked. Included once per
// instruction set.
#if defined(FULMEN_KERNELS_CPU_LANE_PRODUCTS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FULMEN_KERNELS_CPU_LANE_PRODUCTS_INL_H_
#undef FULMEN_KERNELS_CPU_LANE_PRODUCTS_INL_H_
#else
#define FULMEN_KERNELS_CPU_LANE_PRODUCTS_INL_H_
#endif

#include "kernels/cpu/panel-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fulmen::cpu::HWY_NAMESPACE {

// Takes what Unpack gives of a block, as LanePanel does, and multiplies it with the rows of a tile
// at once: once loops are unrolled, all of it is in registers. Sums are those of quantized-inl.h,
// to the bit.
template <class Traits, int kRows>
class LaneProducts {
 public:
  static constexpr bool scaled = false;

  // The block begins at `column` of x.
  HWY_INLINE LaneProducts(const Int8Tile& x, int64_t column)
      : x_(x.q + column * kRows * Traits::kBytes),
        x_sums_((Traits::kGroup == kSmallGroup ? x.small_sums : x.large_sums) +
                column / Traits::kGroup * kRows),
        x_sum_pairs_(x.sum_pairs + column / kSuperBlock * kRows * kPairs) {
    const int32_t* offsets = (Traits::kGroup == kSmallGroup ? x.small_offsets : x.large_offsets) +
                             column / Traits::kGroup * kRows;
    HWY_UNROLL(16)
    for (int g = 0; g < kGroups; ++g) {
      HWY_UNROLL(8)
      for (int r = 0; r < kRows; ++r) {
        sums_[g][r] =
            Traits::kOffset == 0 ? hn::Zero(Ints()) : hn::Set(Ints(), offsets[g * kRows + r]);
      }
    }
  }

  HWY_INLINE void SetScaledValues(int64_t, IntsV, IntsV) {}  // those are for AMX
  HWY_INLINE void SetSteps(FloatsV step, FloatsV minimum_step) {
    whole_.step = step;
    whole_.minimum_step = minimum_step;
  }
  HWY_INLINE void SetMinimumPair(int64_t pair, IntsV v) { whole_.minima[pair] = v; }
  HWY_INLINE void SetScale(int64_t group, FloatsV v) { scales_[group] = v; }
  HWY_INLINE void SetMinimum(int64_t group, FloatsV v) { minima_[group] = v; }
  HWY_INLINE void SetValues(int64_t four, IntsV v) {
    const int64_t group = four / (Traits::kGroup / 4);
    if constexpr (Traits::kWords) {
      Add(group, 2 * four, BytesToWords(v));
    } else if (four % 2 == 0) {
      even_[four / 2] = AddToBytes(v, Traits::kOffset);  // its neighbour comes later
    } else {
      Add(group, four - 1, {even_[four / 2], AddToBytes(v, Traits::kOffset)});
    }
  }

  // What the block adds to row r of y, in steps of x.
  HWY_INLINE FloatsV Result(int r) const {
    const Floats d;
    FloatsV block = hn::Zero(d), first_half = hn::Zero(d);
    HWY_UNROLL(16)
    for (int g = 0; g < kGroups; ++g) {
      const bool second_half = Traits::kWholeScales && g == kExactGroups;
      if (second_half) first_half = block;
      const FloatsV sum = hn::ConvertTo(d, sums_[g][r]);
      block = g == 0 || second_half ? hn::Mul(scales_[g], sum) : hn::MulAdd(scales_[g], sum, block);
      if constexpr (Traits::kMinimum && !Traits::kWholeScales) {
        block = hn::MulAdd(minima_[g], hn::Set(d, x_sums_[g * kRows + r]), block);
      }
    }
    if constexpr (!Traits::kWholeScales) return block;
    return whole_.Scale(hn::Add(first_half, block), x_sum_pairs_ + r * kPairs);
  }

 private:
  static constexpr int kGroups = Traits::kBlock / Traits::kGroup;

  HWY_INLINE void Add(int64_t group, int64_t unit, const TwoFours& weights) {
    const uint8_t* fours = x_ + unit * kRows * 4;
    HWY_UNROLL(8)
    for (int r = 0; r < kRows; ++r) {
      const TwoFours row = {BroadcastFour(fours + 4 * r), BroadcastFour(fours + 4 * (kRows + r))};
      sums_[group][r] = AddProducts<Traits>(row, weights, sums_[group][r]);
    }
  }

  const uint8_t* x_;
  const float* x_sums_;
  const int32_t* x_sum_pairs_;
  IntsV sums_[kGroups][kRows];
  IntsV even_[Traits::kBlock / 8];
  FloatsV scales_[kGroups];
  FloatsV minima_[kGroups];
  WholeScales whole_;
};

}  // namespace fulmen::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // FULMEN_KERNELS_CPU_LANE_PRODUCTS_INL_H_
