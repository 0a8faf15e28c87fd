// The products of bytes and weights are exact whole numbers: a weight is two numbers of 11 bits, of
// which pairs are multiplied in 16 bits, or three of 8 bits where there is an instruction for four
// products of bytes. Sums may wrap around on the way; what they come to in the end fits.
#include "images/resample_fast.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "images/resample_axis.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "images/resample_fast.cc"
#include <hwy/foreach_target.h>
// After foreach_target.h:
#include <hwy/highway.h>

#ifndef FULMEN_IMAGES_RESAMPLE_FAST_ONCE
#define FULMEN_IMAGES_RESAMPLE_FAST_ONCE
namespace fulmen {

// Weights of four pixels beside each other, in the form that an instruction set multiplies.
using FourWeights = std::array<int32_t, 4>;

// Windows filled up with weights of 0 to whole fours.
struct FoursAxis {
  struct Window {
    int64_t first;
    int64_t fours;
  };
  std::vector<Window> windows;
  std::vector<FourWeights> weights;  // [result, stride]
  int64_t stride = 0;

  const FourWeights* weights_of(int64_t i) const { return weights.data() + i * stride; }
  // Behind the last source pixel that is read, zero weights included.
  int64_t end() const {
    int64_t end = 0;
    for (const Window& window : windows) end = std::max(end, window.first + 4 * window.fours);
    return end;
  }
};

// `split` is a function from four weights to FourWeights.
FoursAxis InFours(const ResampleAxis& axis, FourWeights (*split)(const int32_t* weights)) {
  FoursAxis fours;
  fours.stride = (axis.taps + 3) / 4;
  fours.weights.resize(axis.windows.size() * static_cast<size_t>(fours.stride));
  for (size_t i = 0; i < axis.windows.size(); ++i) {
    const auto [first, count] = axis.windows[i];
    fours.windows.push_back({first, (count + 3) / 4});
    const int32_t* weights = axis.weights_of(static_cast<int64_t>(i));
    for (int64_t j = 0; j < count; j += 4) {
      std::array<int32_t, 4> four = {};
      std::copy_n(weights + j, std::min<int64_t>(4, count - j), four.begin());
      fours.weights[i * static_cast<size_t>(fours.stride) + static_cast<size_t>(j / 4)] =
          split(four.data());
    }
  }
  return fours;
}

// Weights 0 and 2, and 1 and 3, as pairs of 16 bits: their upper and their lower halves.
constexpr int kLowBits = kWeightBits / 2;
FourWeights SplitInTwo(const int32_t* weights) {
  const auto paired = [](int32_t even, int32_t odd) {
    return static_cast<int32_t>(static_cast<uint32_t>(odd) << 16 |
                                (static_cast<uint32_t>(even) & 0xFFFF));
  };
  constexpr int32_t low = (1 << kLowBits) - 1;
  return {paired(weights[0] >> kLowBits, weights[2] >> kLowBits),
          paired(weights[0] & low, weights[2] & low),
          paired(weights[1] >> kLowBits, weights[3] >> kLowBits),
          paired(weights[1] & low, weights[3] & low)};
}

// Each as 2^16 a + 2^8 b + c of signed bytes; the result is four a, four b, four c.
FourWeights SplitInThree(const int32_t* weights) {
  std::array<uint32_t, 4> split = {};
  for (int i = 0; i < 4; ++i) {
    int32_t rest = weights[i];
    for (int part = 2; part >= 0; --part) {
      const auto byte = static_cast<int8_t>(rest);
      split[static_cast<size_t>(part)] |= uint32_t{static_cast<uint8_t>(byte)} << (8 * i);
      rest = (rest - byte) >> 8;
    }
  }
  FourWeights words;
  for (size_t part = 0; part < 4; ++part) words[part] = static_cast<int32_t>(split[part]);
  return words;
}

}  // namespace fulmen
#endif

HWY_BEFORE_NAMESPACE();
namespace fulmen::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
// At most one block of 16 bytes for each row of a batch.
using Ints = hn::CappedTag<int32_t, 16>;
using Shorts = hn::Repartition<int16_t, Ints>;
using Bytes = hn::Repartition<uint8_t, Ints>;
using IntsV = hn::Vec<Ints>;
using BytesV = hn::Vec<Bytes>;
constexpr int64_t kVectorBytes = static_cast<int64_t>(hn::MaxLanes(Bytes()));
constexpr int64_t kRows = kVectorBytes / 16;  // of a batch
constexpr int64_t kPixels = 4;                // of the result, made together: 12 bytes of a block
constexpr int64_t kOverrun = 16;  // bytes that a load or store may reach behind what is needed

// Sums of products, the parts of weights apart. Each lane of `bytes` is four neighbours.
#if HWY_TARGET <= HWY_AVX3_DL
struct Sums {
  IntsV a, b, c;
  static constexpr auto kSplit = &SplitInThree;

  HWY_INLINE void Add(BytesV bytes, const FourWeights& weights) {
    a = AddProducts(a, bytes, weights[0]);
    b = AddProducts(b, bytes, weights[1]);
    c = AddProducts(c, bytes, weights[2]);
  }
  HWY_INLINE IntsV Total() const {
    return hn::Add(hn::ShiftLeft<16>(a), hn::Add(hn::ShiftLeft<8>(b), c));
  }

 private:
  // Highway 1.0.3 does not tell the compiler that AVX3_DL has this instruction.
  static HWY_INLINE IntsV AddProducts(IntsV sum, BytesV bytes, int32_t four) {
    const IntsV weights = hn::Set(Ints(), four);
    asm("vpdpbusd %2, %1, %0" : "+v"(sum.raw) : "v"(bytes.raw), "v"(weights.raw));
    return sum;
  }
};
HWY_INLINE Sums NoSums() {
  const IntsV zero = hn::Zero(Ints());
  return {zero, zero, zero};
}
#else
struct Sums {
  IntsV high, low;
  IntsV odd_high, odd_low;  // stay zero where the instruction set adds up neighbours
  static constexpr auto kSplit = &SplitInTwo;

  HWY_INLINE void Add(BytesV bytes, const FourWeights& weights) {
    const hn::RebindToUnsigned<Shorts> du;
    const auto words = hn::BitCast(du, bytes);
    AddPairs(hn::And(words, hn::Set(du, 0xFF)), weights[0], weights[1]);
    AddPairs(hn::ShiftRight<8>(words), weights[2], weights[3]);
  }
  HWY_INLINE IntsV Total() const {
    return hn::Add(hn::ShiftLeft<kLowBits>(hn::RearrangeToOddPlusEven(high, odd_high)),
                   hn::RearrangeToOddPlusEven(low, odd_low));
  }

 private:
  HWY_INLINE void AddPairs(hn::Vec<hn::RebindToUnsigned<Shorts> > pairs, int32_t high_weights,
                           int32_t low_weights) {
    const auto shorts = hn::BitCast(Shorts(), pairs);
    const auto weights = [](int32_t two)
                             HWY_ATTR { return hn::BitCast(Shorts(), hn::Set(Ints(), two)); };
    high = hn::ReorderWidenMulAccumulate(Ints(), shorts, weights(high_weights), high, odd_high);
    low = hn::ReorderWidenMulAccumulate(Ints(), shorts, weights(low_weights), low, odd_low);
  }
};
HWY_INLINE Sums NoSums() {
  const IntsV zero = hn::Zero(Ints());
  return {zero, zero, zero, zero};
}
#endif

HWY_INLINE IntsV Rounded(const Sums& sums) {
  return hn::ShiftRight<kWeightBits>(
      hn::Add(sums.Total(), hn::Set(Ints(), 1 << (kWeightBits - 1))));
}

// Bytes of four vectors of numbers, clipped: in each block those of a, then b, c, e.
HWY_INLINE BytesV Clip(IntsV a, IntsV b, IntsV c, IntsV e) {
  const Shorts ds;
  const auto ab = hn::ReorderDemote2To(ds, a, b);
  const auto ce = hn::ReorderDemote2To(ds, c, e);
#if HWY_ARCH_X86 && HWY_MAX_BYTES == 64
  return BytesV{_mm512_packus_epi16(ab.raw, ce.raw)};
#elif HWY_ARCH_X86 && HWY_MAX_BYTES == 32
  return BytesV{_mm256_packus_epi16(ab.raw, ce.raw)};
#elif HWY_ARCH_X86
  return BytesV{_mm_packus_epi16(ab.raw, ce.raw)};
#else
  const hn::Half<Bytes> half;
  return hn::Combine(Bytes(), hn::DemoteTo(half, ce), hn::DemoteTo(half, ab));
#endif
}

// 16 bytes of each row, a block for each.
template <class D>
HWY_INLINE hn::Vec<D> LoadBlocks(D d, const uint8_t* const* rows, int64_t offset) {
  if constexpr (hn::MaxLanes(D()) == 16) {
    return hn::LoadU(d, rows[0] + offset);
  } else {
    const hn::Half<D> half;
    return hn::Combine(d, LoadBlocks(half, rows + hn::MaxLanes(half) / 16, offset),
                       LoadBlocks(half, rows, offset));
  }
}

template <class D>
HWY_INLINE void StoreBlocks(D d, hn::Vec<D> bytes, uint8_t* const* rows, int64_t offset) {
  if constexpr (hn::MaxLanes(D()) == 16) {
    hn::StoreU(bytes, d, rows[0] + offset);
  } else {
    const hn::Half<D> half;
    StoreBlocks(half, hn::LowerHalf(half, bytes), rows, offset);
    StoreBlocks(half, hn::UpperHalf(half, bytes), rows + hn::MaxLanes(half) / 16, offset);
  }
}

// Of four pixels: four times red, green, blue, and zeros, for which 255 stands.
alignas(16) constexpr uint8_t kByColour[16] = {0, 3, 6, 9,  1,   4,   7,   10,
                                               2, 5, 8, 11, 255, 255, 255, 255};
// Drops every fourth byte.
alignas(16) constexpr uint8_t kThree[16] = {0,  1,  2,  4,  5,   6,   8,   9,
                                            10, 12, 13, 14, 255, 255, 255, 255};

// One pixel of each row.
HWY_INLINE IntsV ResizePixel(const FoursAxis& axis, int64_t i, const uint8_t* const* rows) {
  const auto by_colour = hn::LoadDup128(Bytes(), kByColour);
  const auto [first, fours] = axis.windows[static_cast<size_t>(i)];
  const FourWeights* weights = axis.weights_of(i);
  const int64_t offset = first * 3;
  Sums sums = NoSums();
  for (int64_t j = 0; j < fours; ++j) {
    const BytesV pixels = LoadBlocks(Bytes(), rows, offset + 12 * j);
    sums.Add(hn::TableLookupBytesOr0(pixels, by_colour), weights[j]);
  }
  return Rounded(sums);
}

void ResizeBatch(const FoursAxis& axis, const uint8_t* const* from, uint8_t* const* to) {
  const auto count = static_cast<int64_t>(axis.windows.size());
  const auto three = hn::LoadDup128(Bytes(), kThree);
  for (int64_t i = 0; i < count; i += kPixels) {
    const auto pixel = [&](int64_t k)
                           HWY_ATTR { return ResizePixel(axis, std::min(i + k, count - 1), from); };
    const BytesV bytes = Clip(pixel(0), pixel(1), pixel(2), pixel(3));
    StoreBlocks(Bytes(), hn::TableLookupBytesOr0(bytes, three), to, i * 3);
  }
}

// A vector's bytes of a row of the result, of four rows for each four of the window.
HWY_INLINE void ResizeColumns(int64_t fours, const FourWeights* weights, const uint8_t* const* rows,
                              int64_t x, uint8_t* to) {
  const Bytes d;
  const Shorts ds;
  Sums sums[4] = {NoSums(), NoSums(), NoSums(), NoSums()};
  for (int64_t j = 0; j < fours; ++j, rows += 4) {
    const auto row = [&](int64_t k) HWY_ATTR { return hn::LoadU(d, rows[k] + x); };
    const BytesV row0 = row(0), row1 = row(1), row2 = row(2), row3 = row(3);
    const auto lower01 = hn::BitCast(ds, hn::InterleaveLower(d, row0, row1));
    const auto upper01 = hn::BitCast(ds, hn::InterleaveUpper(d, row0, row1));
    const auto lower23 = hn::BitCast(ds, hn::InterleaveLower(d, row2, row3));
    const auto upper23 = hn::BitCast(ds, hn::InterleaveUpper(d, row2, row3));
    sums[0].Add(hn::BitCast(d, hn::InterleaveLower(ds, lower01, lower23)), weights[j]);
    sums[1].Add(hn::BitCast(d, hn::InterleaveUpper(ds, lower01, lower23)), weights[j]);
    sums[2].Add(hn::BitCast(d, hn::InterleaveLower(ds, upper01, upper23)), weights[j]);
    sums[3].Add(hn::BitCast(d, hn::InterleaveUpper(ds, upper01, upper23)), weights[j]);
  }
  hn::StoreU(Clip(Rounded(sums[0]), Rounded(sums[1]), Rounded(sums[2]), Rounded(sums[3])), d,
             to + x);
}

// Source rows at the width of the result, made in order and kept for as long as a window has them.
class RowSource {
 public:
  // `height` counts the rows of the longest window.
  RowSource(const Image& image, int64_t width, int64_t height)
      : image_(image),
        keeps_width_(width == image.width),
        axis_(keeps_width_ ? FoursAxis{}
                           : InFours(MakeResampleAxis(image.width, width), Sums::kSplit)),
        last_byte_(axis_.end() * 3 + kOverrun),
        stride_((width + kPixels) * 3 + kVectorBytes),
        kept_(keeps_width_ ? 0 : height + kRows),
        ring_(static_cast<size_t>(kept_ * stride_)),
        padded_(keeps_width_ ? 0 : static_cast<size_t>(kRows * last_byte_)) {}

  // Until the next call for a later row.
  const uint8_t* Row(int64_t y) {
    if (keeps_width_) return image_.row(y);
    while (y >= done_) MakeBatch();
    return ring_.data() + y % kept_ * stride_;
  }
  // Rows before `first` are not asked for.
  void SkipTo(int64_t first) { done_ = std::max(done_, first); }

 private:
  // Where a row's last loads would end behind the image, they read a copy with zeros behind it.
  void MakeBatch() {
    std::array<const uint8_t*, kRows> from;
    std::array<uint8_t*, kRows> to;
    for (int64_t k = 0; k < kRows; ++k) {
      const auto at = static_cast<size_t>(k);
      const int64_t y = std::min(done_ + k, image_.height - 1);
      from[at] = image_.row(y);
      if (image_.rgb.data() + image_.rgb.size() - from[at] < last_byte_) {
        uint8_t* copy = padded_.data() + k * last_byte_;
        std::memcpy(copy, from[at], static_cast<size_t>(image_.width * 3));
        from[at] = copy;
      }
      to[at] = ring_.data() + (done_ + k) % kept_ * stride_;
    }
    ResizeBatch(axis_, from.data(), to.data());
    done_ += kRows;
  }

  const Image& image_;
  bool keeps_width_;
  FoursAxis axis_;
  int64_t last_byte_;  // how far behind a row's start loads reach
  int64_t stride_;
  int64_t kept_;
  std::vector<uint8_t> ring_;
  std::vector<uint8_t> padded_;
  int64_t done_ = 0;
};

void ResizeColumnsOfRow(const FoursAxis& axis, int64_t i, const std::vector<const uint8_t*>& rows,
                        int64_t bytes, uint8_t* to) {
  const int64_t fours = axis.windows[static_cast<size_t>(i)].fours;
  // The last vector of a row begins where it just fits in.
  for (int64_t x = 0; x < bytes; x += kVectorBytes) {
    ResizeColumns(fours, axis.weights_of(i), rows.data(), std::min(x, bytes - kVectorBytes), to);
  }
}

void ResizeFast(const Image& image, MatrixView<uint8_t> out) {
  CheckResize(image, out);
  if (out.rows == image.height) {
    RowSource source(image, out.cols / 3, 1);
    for (int64_t y = 0; y < out.rows; ++y) std::copy_n(source.Row(y), out.cols, out.row(y));
    return;
  }
  const ResampleAxis exact = MakeResampleAxis(image.height, out.rows);
  const FoursAxis axis = InFours(exact, Sums::kSplit);
  RowSource source(image, out.cols / 3, exact.taps);
  // Narrower rows than a vector are resized in a copy.
  const bool narrow = out.cols < kVectorBytes;
  std::vector<uint8_t> copies(narrow ? static_cast<size_t>((4 * axis.stride + 1) * kVectorBytes)
                                     : 0);
  std::vector<const uint8_t*> rows(static_cast<size_t>(4 * axis.stride));
  for (int64_t i = 0; i < out.rows; ++i) {
    const auto [first, count] = exact.windows[static_cast<size_t>(i)];
    source.SkipTo(first);
    const uint8_t* row = nullptr;
    for (int64_t j = 0; j < 4 * axis.windows[static_cast<size_t>(i)].fours; ++j) {
      if (j < count) row = source.Row(first + j);
      if (narrow && j < count) {
        uint8_t* copy = copies.data() + j * kVectorBytes;
        std::copy_n(row, out.cols, copy);
        row = copy;
      }
      rows[static_cast<size_t>(j)] = row;  // of weight 0 behind the window
    }
    if (narrow) {
      uint8_t* result = copies.data() + 4 * axis.stride * kVectorBytes;
      ResizeColumnsOfRow(axis, i, rows, kVectorBytes, result);
      std::copy_n(result, out.cols, out.row(i));
    } else {
      ResizeColumnsOfRow(axis, i, rows, out.cols, out.row(i));
    }
  }
}

ResizeFunction Fast() { return &ResizeFast; }

}  // namespace
}  // namespace fulmen::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fulmen {
HWY_EXPORT(Fast);
ResizeFunction FastResize() { return HWY_DYNAMIC_DISPATCH(Fast)(); }
}  // namespace fulmen
#endif
