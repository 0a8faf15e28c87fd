// Blocks of 32, each a group with a step (and an offset) of its own.
#include <algorithm>

#include "base/check.h"
#include "quantize/encode_blocks.h"
#include "quantize/pack.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "quantize/encode_small.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h:
#include "hwy/highway.h"
#include "quantize/load-inl.h"
#include "quantize/search-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fulmen::HWY_NAMESPACE {
namespace {

// Rounds steps and offsets to what the file can hold, chooses the codes that suit those, and packs
// the blocks from element `first` of the job on.
template <class Block, class Levels>
void Finish(const EncodeJob& job, int64_t first, const Panel& panel, const Levels& levels,
            PerGroup& steps, PerGroup& offsets) {
  uint16_t d[kGroups];
  uint16_t m[kGroups];
  for (int g = 0; g < kGroups; ++g) {
    d[g] = FiniteF16(steps[g]);
    m[g] = FiniteF16(offsets[g]);
    steps[g] = F32FromF16(d[g]);
    offsets[g] = F32FromF16(m[g]);
  }
  alignas(64) uint8_t codes[kGroups * kSmallBlock];
  ChooseCodes(panel, levels, steps, offsets, codes);
  const int64_t block = first / kSmallBlock;
  const int64_t count = std::min(job.elements / kSmallBlock - block, int64_t{kGroups});
  auto* out = reinterpret_cast<Block*>(job.out) + block;
  for (int64_t g = 0; g < count; ++g) {
    Pack(SmallBlock{.codes = codes + g * kSmallBlock, .d = d[g], .m = m[g]}, out[g]);
  }
}

template <class Block, class Levels>
void EncodeSteps(const EncodeJob& job, const Levels& levels, std::span<const float> starts,
                 int rounds) {
  Panel panel;
  panel.size = kSmallBlock;
  PerGroup steps;
  PerGroup offsets;
  PerGroup curvature;
  for (int64_t first = 0; first < job.elements; first += kGroups * kSmallBlock) {
    LoadPanel(job, first, panel);
    if (panel.weighted) {
      SearchSteps<true>(panel, levels, starts, rounds, steps, curvature);
    } else {
      SearchSteps<false>(panel, levels, starts, rounds, steps, curvature);
    }
    Finish<Block>(job, first, panel, levels, steps, offsets);
  }
}

template <class Block>
void EncodeLines(const EncodeJob& job, const IntegerLevels& levels, std::span<const Trim> starts,
                 int rounds) {
  Panel panel;
  panel.size = kSmallBlock;
  PerGroup steps;
  PerGroup offsets;
  for (int64_t first = 0; first < job.elements; first += kGroups * kSmallBlock) {
    LoadPanel(job, first, panel);
    if (panel.weighted) {
      SearchLines<true, false>(panel, levels, starts, rounds, steps, offsets);
    } else {
      SearchLines<false, false>(panel, levels, starts, rounds, steps, offsets);
    }
    Finish<Block>(job, first, panel, levels, steps, offsets);
  }
}

// Where searches start. Without importance a few do, and are no slower than one pass without
// vectors is; with it the nearest minimum is a worse guess.
constexpr std::array kStarts4 = {-8.0F, 7.0F, -7.2F};
constexpr std::array kMoreStarts4 = {-8.0F, 7.0F, -7.2F, 6.4F, -8.7F, 7.6F, -6.6F, 5.8F, -9.3F};
constexpr std::array kStarts5 = {-16.0F, 15.0F, -15.2F, 14.4F};
constexpr std::array kMoreStarts5 = {-16.0F, 15.0F,  -15.2F, 14.4F, -16.7F,
                                     15.6F,  -14.4F, 13.8F,  -17.3F};
constexpr std::array kStarts8 = {127.0F};
constexpr std::array kStartsTable = {-127.0F, -134.0F, -120.0F, -113.0F, -106.0F,
                                     113.0F,  119.0F,  107.0F,  101.0F,  95.0F};
constexpr std::array kTrims4 = {Trim{0, 0}, Trim{0.6F, 0.6F}};
constexpr std::array kTrims5 = {Trim{0, 0}, Trim{0.8F, 0.8F}};

constexpr std::array kMoreTrims = [] {
  std::array<Trim, 25> trims = {};
  for (size_t i = 0; i < trims.size(); ++i) {
    const size_t below = i / 5;
    const size_t above = i % 5;
    trims[i] = {0.5F * static_cast<float>(below) - 0.5F, 0.5F * static_cast<float>(above) - 0.5F};
  }
  return trims;
}();

void EncodeSmall(const EncodeJob& job) {
  const bool weighted = job.importance != nullptr;
  using Starts = std::span<const float>;
  using Trims = std::span<const Trim>;
  switch (job.type) {
    case DType::kQ4_0:
      return EncodeSteps<BlockQ4_0>(job, IntegerLevels{-8, 7, -8},
                                    weighted ? Starts(kMoreStarts4) : kStarts4, 1);
    case DType::kQ5_0:
      return EncodeSteps<BlockQ5_0>(job, IntegerLevels{-16, 15, -16},
                                    weighted ? Starts(kMoreStarts5) : kStarts5, 1);
    case DType::kQ8_0:
      return EncodeSteps<BlockQ8_0>(job, IntegerLevels{-127, 127, -128}, kStarts8, 0);
    case DType::kIQ4_NL:
      return EncodeSteps<BlockIQ4_NL>(job, TableLevels(), kStartsTable, 1);
    case DType::kQ4_1:
      return EncodeLines<BlockQ4_1>(job, IntegerLevels{0, 15, 0},
                                    weighted ? Trims(kMoreTrims) : kTrims4, 1);
    case DType::kQ5_1:
      return EncodeLines<BlockQ5_1>(job, IntegerLevels{0, 31, 0},
                                    weighted ? Trims(kMoreTrims) : kTrims5, 1);
    default:
      FULMEN_CHECK(false, "{} has no blocks of 32", DTypeName(job.type));
  }
}

}  // namespace
}  // namespace fulmen::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fulmen {

HWY_EXPORT(EncodeSmall);

void EncodeSmallBlocks(const EncodeJob& job) { HWY_DYNAMIC_DISPATCH(EncodeSmall)(job); }

}  // namespace fulmen
#endif
