// The products of bytes and weights are exact: a weight of 22 bits is two of 11, and pairs of
// 16-bit numbers are multiplied and added up in 32 bits.
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

// Weights of a window two at a time, as 16-bit numbers in one word. Windows are filled up with
// weights of 0 to whole fours.
struct PairedAxis {
  static constexpr int kLowBits = kWeightBits / 2;
  struct Pair {
    int32_t high;
    int32_t low;
  };
  struct Window {
    int64_t first;
    int64_t pairs;
  };
  std::vector<Window> windows;
  std::vector<Pair> pairs;  // [result, stride]
  int64_t stride = 0;

  explicit PairedAxis(const ResampleAxis& axis)
      : pairs(axis.windows.size() * static_cast<size_t>((axis.taps + 3) / 4 * 2)),
        stride((axis.taps + 3) / 4 * 2) {
    const auto paired = [](int32_t even, int32_t odd) {
      return static_cast<int32_t>(static_cast<uint32_t>(odd) << 16 |
                                  (static_cast<uint32_t>(even) & 0xFFFF));
    };
    for (size_t i = 0; i < axis.windows.size(); ++i) {
      const auto [first, count] = axis.windows[i];
      windows.push_back({first, (count + 3) / 4 * 2});
      const int32_t* weights = axis.weights_of(static_cast<int64_t>(i));
      for (int64_t j = 0; j < count; j += 2) {
        const int32_t even = weights[j];
        const int32_t odd = j + 1 < count ? weights[j + 1] : 0;
        constexpr int32_t low = (1 << kLowBits) - 1;
        pairs[i * static_cast<size_t>(stride) + static_cast<size_t>(j / 2)] = {
            paired(even >> kLowBits, odd >> kLowBits), paired(even & low, odd & low)};
      }
    }
  }
  const Pair* pairs_of(int64_t i) const { return pairs.data() + i * stride; }
  // Behind the last source pixel that is read, zero weights included.
  int64_t end() const {
    int64_t end = 0;
    for (const Window& window : windows) end = std::max(end, window.first + 2 * window.pairs);
    return end;
  }
};

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

// Sums of products of weights and bytes, the weights' halves apart.
struct Sums {
  IntsV high, low;
  IntsV odd_high, odd_low;  // stay zero where the instruction set adds up neighbours

  // Each lane of `bytes` is two bytes widened to 16 bits.
  HWY_INLINE void Add(BytesV bytes, IntsV high_pair, IntsV low_pair) {
    const auto shorts = hn::BitCast(Shorts(), bytes);
    high = hn::ReorderWidenMulAccumulate(Ints(), shorts, hn::BitCast(Shorts(), high_pair), high,
                                         odd_high);
    low = hn::ReorderWidenMulAccumulate(Ints(), shorts, hn::BitCast(Shorts(), low_pair), low,
                                        odd_low);
  }
  HWY_INLINE IntsV Rounded() const {
    const IntsV all_high = hn::RearrangeToOddPlusEven(high, odd_high);
    const IntsV all_low = hn::RearrangeToOddPlusEven(low, odd_low);
    const IntsV sum = hn::Add(hn::ShiftLeft<PairedAxis::kLowBits>(all_high), all_low);
    return hn::ShiftRight<kWeightBits>(hn::Add(sum, hn::Set(Ints(), 1 << (kWeightBits - 1))));
  }
};

HWY_INLINE Sums NoSums() {
  const IntsV zero = hn::Zero(Ints());
  return {zero, zero, zero, zero};
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

// 255 stands for a zero byte: of four pixels, red, green and blue of two beside each other,
// widened.
alignas(16) constexpr uint8_t kFirstPair[16] = {0, 255, 3, 255, 1,   255, 4,   255,
                                                2, 255, 5, 255, 255, 255, 255, 255};
alignas(16) constexpr uint8_t kSecondPair[16] = {6, 255, 9,  255, 7,   255, 10,  255,
                                                 8, 255, 11, 255, 255, 255, 255, 255};
// Drops every fourth byte.
alignas(16) constexpr uint8_t kThree[16] = {0,  1,  2,  4,  5,   6,   8,   9,
                                            10, 12, 13, 14, 255, 255, 255, 255};

// One pixel of each row.
HWY_INLINE IntsV ResizePixel(const PairedAxis& axis, int64_t i, const uint8_t* const* rows) {
  const Bytes d;
  const auto first_pair = hn::LoadDup128(d, kFirstPair);
  const auto second_pair = hn::LoadDup128(d, kSecondPair);
  const auto [first, pairs] = axis.windows[static_cast<size_t>(i)];
  const PairedAxis::Pair* pair = axis.pairs_of(i);
  int64_t offset = first * 3;
  Sums sums = NoSums();
  for (int64_t j = 0; j < pairs; j += 2, offset += 12) {
    const BytesV four = LoadBlocks(d, rows, offset);
    sums.Add(hn::TableLookupBytesOr0(four, first_pair), hn::Set(Ints(), pair[j].high),
             hn::Set(Ints(), pair[j].low));
    sums.Add(hn::TableLookupBytesOr0(four, second_pair), hn::Set(Ints(), pair[j + 1].high),
             hn::Set(Ints(), pair[j + 1].low));
  }
  return sums.Rounded();
}

void ResizeBatch(const PairedAxis& axis, const uint8_t* const* from, uint8_t* const* to) {
  const auto count = static_cast<int64_t>(axis.windows.size());
  const auto three = hn::LoadDup128(Bytes(), kThree);
  for (int64_t i = 0; i < count; i += kPixels) {
    const auto pixel = [&](int64_t k)
                           HWY_ATTR { return ResizePixel(axis, std::min(i + k, count - 1), from); };
    const BytesV bytes = Clip(pixel(0), pixel(1), pixel(2), pixel(3));
    StoreBlocks(Bytes(), hn::TableLookupBytesOr0(bytes, three), to, i * 3);
  }
}

// A vector's bytes of a row of the result, of as many rows as the window has.
HWY_INLINE void ResizeColumns(const PairedAxis::Window& window, const PairedAxis::Pair* pair,
                              const uint8_t* const* rows, int64_t x, uint8_t* to) {
  const Bytes d;
  const BytesV zero = hn::Zero(d);
  Sums sums[4] = {NoSums(), NoSums(), NoSums(), NoSums()};
  for (int64_t j = 0; j < window.pairs; ++j) {
    const BytesV even = hn::LoadU(d, rows[2 * j] + x);
    const BytesV odd = hn::LoadU(d, rows[2 * j + 1] + x);
    const IntsV high = hn::Set(Ints(), pair[j].high);
    const IntsV low = hn::Set(Ints(), pair[j].low);
    const BytesV lower = hn::InterleaveLower(d, even, odd);
    const BytesV upper = hn::InterleaveUpper(d, even, odd);
    sums[0].Add(hn::InterleaveLower(d, lower, zero), high, low);
    sums[1].Add(hn::InterleaveUpper(d, lower, zero), high, low);
    sums[2].Add(hn::InterleaveLower(d, upper, zero), high, low);
    sums[3].Add(hn::InterleaveUpper(d, upper, zero), high, low);
  }
  hn::StoreU(Clip(sums[0].Rounded(), sums[1].Rounded(), sums[2].Rounded(), sums[3].Rounded()), d,
             to + x);
}

// Source rows at the width of the result, made in order and kept for as long as a window has them.
class RowSource {
 public:
  // `height` counts the rows of the longest window.
  RowSource(const Image& image, int64_t width, int64_t height)
      : image_(image),
        keeps_width_(width == image.width),
        axis_(keeps_width_ ? ResampleAxis{} : MakeResampleAxis(image.width, width)),
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
  PairedAxis axis_;
  int64_t last_byte_;  // how far behind a row's start loads reach
  int64_t stride_;
  int64_t kept_;
  std::vector<uint8_t> ring_;
  std::vector<uint8_t> padded_;
  int64_t done_ = 0;
};

void ResizeColumnsOfRow(const PairedAxis& axis, int64_t i, const std::vector<const uint8_t*>& rows,
                        int64_t bytes, uint8_t* to) {
  const PairedAxis::Window& window = axis.windows[static_cast<size_t>(i)];
  const PairedAxis::Pair* pair = axis.pairs_of(i);
  // The last vector of a row begins where it just fits in.
  for (int64_t x = 0; x < bytes; x += kVectorBytes) {
    ResizeColumns(window, pair, rows.data(), std::min(x, bytes - kVectorBytes), to);
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
  const PairedAxis axis(exact);
  RowSource source(image, out.cols / 3, exact.taps);
  // Narrower rows than a vector are resized in a copy.
  const bool narrow = out.cols < kVectorBytes;
  std::vector<uint8_t> copies(narrow ? static_cast<size_t>((2 * axis.stride + 1) * kVectorBytes)
                                     : 0);
  std::vector<const uint8_t*> rows(static_cast<size_t>(2 * axis.stride));
  for (int64_t i = 0; i < out.rows; ++i) {
    const auto [first, count] = exact.windows[static_cast<size_t>(i)];
    source.SkipTo(first);
    const uint8_t* row = nullptr;
    for (int64_t j = 0; j < 2 * axis.windows[static_cast<size_t>(i)].pairs; ++j) {
      if (j < count) row = source.Row(first + j);
      if (narrow && j < count) {
        uint8_t* copy = copies.data() + j * kVectorBytes;
        std::copy_n(row, out.cols, copy);
        row = copy;
      }
      rows[static_cast<size_t>(j)] = row;  // of weight 0 behind the window
    }
    if (narrow) {
      uint8_t* result = copies.data() + 2 * axis.stride * kVectorBytes;
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
