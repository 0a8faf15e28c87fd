// The products of bytes and weights are exact whole numbers: a weight is two numbers of 11 bits, of
// which pairs are multiplied in 16 bits, or three of 8 bits where there is an instruction for four
// products of bytes. Sums may wrap around on the way; what they come to in the end fits.
#include "images/resample_fast.h"

#include <hwy/cache_control.h>

#include <algorithm>
#include <array>
#include <span>
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

// Windows filled up with weights of 0 to whole fours, which begin anywhere, or at multiples of 4.
enum class FoursBegin { kAnywhere, kAtMultiples };

struct FoursAxis {
  struct Window {
    int64_t first;  // source pixel
    int64_t fours;
  };
  std::vector<Window> windows;
  std::vector<FourWeights> weights;  // [result, stride]
  int64_t stride = 0;

  const FourWeights* weights_of(int64_t i) const { return weights.data() + i * stride; }
};

// `split` is a function from four weights to FourWeights.
FoursAxis InFours(const ResampleAxis& axis, FoursBegin begin,
                  FourWeights (*split)(const std::array<int32_t, 4>& weights)) {
  FoursAxis fours;
  const int64_t most_before = begin == FoursBegin::kAtMultiples ? 3 : 0;
  fours.stride = (most_before + axis.taps + 3) / 4;
  fours.weights.resize(axis.windows.size() * static_cast<size_t>(fours.stride));
  std::vector<std::array<int32_t, 4>> exact(static_cast<size_t>(fours.stride));
  for (size_t i = 0; i < axis.windows.size(); ++i) {
    const auto [first, count] = axis.windows[i];
    const int64_t before = first & most_before;
    fours.windows.push_back({first - before, (before + count + 3) / 4});
    std::ranges::fill(exact, std::array<int32_t, 4>{});
    for (int64_t j = 0; j < count; ++j) {
      exact[static_cast<size_t>((before + j) / 4)][static_cast<size_t>((before + j) % 4)] =
          axis.weights_of(static_cast<int64_t>(i))[j];
    }
    std::ranges::transform(exact, fours.weights.begin() + static_cast<int64_t>(i) * fours.stride,
                           split);
  }
  return fours;
}

// Weights 0 and 2, and 1 and 3, as pairs of 16 bits: their upper and their lower halves.
constexpr int kLowBits = kWeightBits / 2;
FourWeights SplitInTwo(const std::array<int32_t, 4>& weights) {
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
FourWeights SplitInThree(const std::array<int32_t, 4>& weights) {
  std::array<uint32_t, 4> split = {};
  for (size_t i = 0; i < 4; ++i) {
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
// A block of 16 bytes of a vector belongs to a row.
using Ints = hn::CappedTag<int32_t, 16>;
using Shorts = hn::Repartition<int16_t, Ints>;
using Bytes = hn::Repartition<uint8_t, Ints>;
using IntsV = hn::Vec<Ints>;
using BytesV = hn::Vec<Bytes>;
constexpr int64_t kVectorBytes = static_cast<int64_t>(hn::MaxLanes(Bytes()));
constexpr int64_t kRows = kVectorBytes / 16;
// Vectors of rows that are resized together, so that each weight is loaded once for them.
constexpr int64_t kVectors = 2;
constexpr int64_t kBatch = kVectors * kRows;  // rows
constexpr int64_t kPixels = 4;                // of the result, made together: 12 bytes of a block

// Fours: neighbours in the form that they are multiplied in, four bytes in each lane of a vector.
// Sums: those of their products, the parts of weights apart.
#if HWY_TARGET <= HWY_AVX3_DL
struct Fours {
  BytesV bytes;
};
HWY_INLINE Fours MakeFours(BytesV bytes) { return {bytes}; }
HWY_INLINE Fours LoadFours(const uint8_t* from) { return {hn::LoadU(Bytes(), from)}; }
HWY_INLINE void StoreFours(const Fours& fours, uint8_t* to) {
  hn::StoreU(fours.bytes, Bytes(), to);
}

struct Sums {
  IntsV a, b, c;
  static constexpr auto kSplit = &SplitInThree;

  HWY_INLINE void Add(const Fours& fours, const FourWeights& weights) {
    a = AddProducts(a, fours.bytes, weights[0]);
    b = AddProducts(b, fours.bytes, weights[1]);
    c = AddProducts(c, fours.bytes, weights[2]);
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
using ShortsV = hn::Vec<Shorts>;
struct Fours {
  ShortsV even, odd;
};
HWY_INLINE Fours MakeFours(BytesV bytes) {
  const hn::RebindToUnsigned<Shorts> du;
  const auto words = hn::BitCast(du, bytes);
  return {hn::BitCast(Shorts(), hn::And(words, hn::Set(du, 0xFF))),
          hn::BitCast(Shorts(), hn::ShiftRight<8>(words))};
}
HWY_INLINE Fours LoadFours(const uint8_t* from) {
  const Bytes d;
  return {hn::BitCast(Shorts(), hn::LoadU(d, from)),
          hn::BitCast(Shorts(), hn::LoadU(d, from + kVectorBytes))};
}
HWY_INLINE void StoreFours(const Fours& fours, uint8_t* to) {
  const Bytes d;
  hn::StoreU(hn::BitCast(d, fours.even), d, to);
  hn::StoreU(hn::BitCast(d, fours.odd), d, to + kVectorBytes);
}

struct Sums {
  IntsV high, low;
  IntsV odd_high, odd_low;  // stay zero where the instruction set adds up neighbours
  static constexpr auto kSplit = &SplitInTwo;

  HWY_INLINE void Add(const Fours& fours, const FourWeights& weights) {
    AddPairs(fours.even, weights[0], weights[1]);
    AddPairs(fours.odd, weights[2], weights[3]);
  }
  HWY_INLINE IntsV Total() const {
    return hn::Add(hn::ShiftLeft<kLowBits>(hn::RearrangeToOddPlusEven(high, odd_high)),
                   hn::RearrangeToOddPlusEven(low, odd_low));
  }

 private:
  HWY_INLINE void AddPairs(ShortsV pairs, int32_t high_weights, int32_t low_weights) {
    const auto weights = [](int32_t two)
                             HWY_ATTR { return hn::BitCast(Shorts(), hn::Set(Ints(), two)); };
    high = hn::ReorderWidenMulAccumulate(Ints(), pairs, weights(high_weights), high, odd_high);
    low = hn::ReorderWidenMulAccumulate(Ints(), pairs, weights(low_weights), low, odd_low);
  }
};
HWY_INLINE Sums NoSums() {
  const IntsV zero = hn::Zero(Ints());
  return {zero, zero, zero, zero};
}
#endif
constexpr int64_t kFoursBytes = static_cast<int64_t>(sizeof(Fours));

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

// Four pixels of each of these rows, by colour. What is behind a row's end is black, and not read.
HWY_INLINE BytesV LoadPixels(const uint8_t* const* rows, int64_t at, int64_t row_bytes) {
  const Bytes d;
  const auto by_colour = hn::LoadDup128(d, kByColour);
  if (at + 16 <= row_bytes) {
    return hn::TableLookupBytesOr0(LoadBlocks(d, rows, at), by_colour);
  }
  std::array<std::array<uint8_t, 16>, kRows> ends = {};
  std::array<const uint8_t*, kRows> at_ends;
  for (size_t k = 0; k < kRows; ++k) {
    std::copy_n(rows[k] + at, std::min<int64_t>(row_bytes - at, 12), ends[k].begin());
    at_ends[k] = ends[k].data();
  }
  return hn::TableLookupBytesOr0(LoadBlocks(d, at_ends.data(), 0), by_colour);
}

// A batch of source rows in fours, [fours of a row, kVectors], which all results share.
void PrepareBatch(const Image& image, int64_t first_row, std::vector<uint8_t>& fours) {
  std::array<const uint8_t*, kBatch> rows;
  for (int64_t k = 0; k < kBatch; ++k) {
    rows[static_cast<size_t>(k)] = image.row(std::min(first_row + k, image.height - 1));
  }
  const int64_t row_bytes = image.width * 3;
  uint8_t* to = fours.data();
  for (int64_t at = 0; at < row_bytes; at += 12) {
    for (int64_t v = 0; v < kVectors; ++v, to += kFoursBytes) {
      StoreFours(MakeFours(LoadPixels(rows.data() + v * kRows, at, row_bytes)), to);
    }
  }
}

// Reading the source from memory takes as long as half of the sums: so the rows of the next batch
// are asked for while those of this one are multiplied.
class Ahead {
 public:
  Ahead(const Image& image, int64_t y)
      : at_(image.row(std::min(y, image.height))),
        end_(image.row(std::min(y + kBatch, image.height))) {}
  HWY_INLINE void Ask() {
    for (int line = 0; line < 4 && at_ < end_; ++line, at_ += 64) hwy::Prefetch(at_);
  }

 private:
  const uint8_t* at_;
  const uint8_t* end_;
};

// One pixel of each row.
HWY_INLINE void ResizePixel(const FoursAxis& axis, int64_t i, const uint8_t* prepared,
                            IntsV* pixels) {
  const auto [first, fours] = axis.windows[static_cast<size_t>(i)];
  const FourWeights* weights = axis.weights_of(i);
  const uint8_t* from = prepared + first / 4 * kVectors * kFoursBytes;
  static_assert(kVectors == 2);
  Sums sums0 = NoSums(), sums1 = NoSums();
  for (int64_t j = 0; j < fours; ++j, from += 2 * kFoursBytes) {
    sums0.Add(LoadFours(from), weights[j]);
    sums1.Add(LoadFours(from + kFoursBytes), weights[j]);
  }
  pixels[0] = Rounded(sums0);
  pixels[1] = Rounded(sums1);
}

void ResizeBatch(const FoursAxis& axis, const uint8_t* prepared, Ahead& ahead, uint8_t* const* to) {
  const auto count = static_cast<int64_t>(axis.windows.size());
  const auto three = hn::LoadDup128(Bytes(), kThree);
  for (int64_t i = 0; i < count; i += kPixels) {
    ahead.Ask();
    IntsV pixels[kPixels][kVectors];
    for (int64_t k = 0; k < kPixels; ++k) {
      ResizePixel(axis, std::min(i + k, count - 1), prepared, pixels[k]);
    }
    for (int64_t v = 0; v < kVectors; ++v) {
      const BytesV bytes = Clip(pixels[0][v], pixels[1][v], pixels[2][v], pixels[3][v]);
      StoreBlocks(Bytes(), hn::TableLookupBytesOr0(bytes, three), to + v * kRows, i * 3);
    }
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
    sums[0].Add(MakeFours(hn::BitCast(d, hn::InterleaveLower(ds, lower01, lower23))), weights[j]);
    sums[1].Add(MakeFours(hn::BitCast(d, hn::InterleaveUpper(ds, lower01, lower23))), weights[j]);
    sums[2].Add(MakeFours(hn::BitCast(d, hn::InterleaveLower(ds, upper01, upper23))), weights[j]);
    sums[3].Add(MakeFours(hn::BitCast(d, hn::InterleaveUpper(ds, upper01, upper23))), weights[j]);
  }
  hn::StoreU(Clip(Rounded(sums[0]), Rounded(sums[1]), Rounded(sums[2]), Rounded(sums[3])), d,
             to + x);
}

// One result, made as the rows of its source come by.
class Resizing {
 public:
  Resizing(const Image& image, MatrixView<uint8_t> out)
      : image_(image),
        out_(out),
        keeps_width_(out.cols == image.width * 3),
        keeps_height_(out.rows == image.height),
        across_(keeps_width_ ? FoursAxis{}
                             : InFours(MakeResampleAxis(image.width, out.cols / 3),
                                       FoursBegin::kAtMultiples, Sums::kSplit)),
        exact_down_(keeps_height_ ? ResampleAxis{} : MakeResampleAxis(image.height, out.rows)),
        down_(InFours(exact_down_, FoursBegin::kAnywhere, Sums::kSplit)),
        row_bytes_(std::max(out.cols, kVectorBytes)),
        stride_(row_bytes_ + kPixels * 3 + 16),  // what stores may write behind a row
        kept_(exact_down_.taps + kBatch),
        ring_(static_cast<size_t>(kept_ * stride_)),
        rows_(static_cast<size_t>(4 * down_.stride)),
        narrow_row_(out.cols < kVectorBytes ? kVectorBytes : 0) {}

  // Takes the batch that begins at row `y`, and writes the rows of the result that this completes.
  void Take(int64_t y, const uint8_t* prepared, Ahead& ahead) {
    const int64_t end = std::min(y + kBatch, image_.height);
    std::array<uint8_t*, kBatch> to;
    for (int64_t k = 0; k < kBatch; ++k) to[static_cast<size_t>(k)] = KeptRow(y + k);
    if (!keeps_width_) {
      ResizeBatch(across_, prepared, ahead, to.data());
    } else {
      for (int64_t k = y; k < end; ++k) std::copy_n(image_.row(k), out_.cols, KeptRow(k));
    }
    if (keeps_height_) {
      for (; done_ < end; ++done_) std::copy_n(KeptRow(done_), out_.cols, out_.row(done_));
      return;
    }
    for (; done_ < out_.rows && WindowEnd(done_) <= end; ++done_) WriteRow(done_);
  }

 private:
  uint8_t* KeptRow(int64_t y) { return ring_.data() + y % kept_ * stride_; }
  int64_t WindowEnd(int64_t i) const {
    const auto [first, count] = exact_down_.windows[static_cast<size_t>(i)];
    return first + count;
  }

  void WriteRow(int64_t i) {
    const auto [first, count] = exact_down_.windows[static_cast<size_t>(i)];
    const int64_t fours = down_.windows[static_cast<size_t>(i)].fours;
    for (int64_t j = 0; j < 4 * fours; ++j) {  // behind the window of weight 0
      rows_[static_cast<size_t>(j)] = KeptRow(first + std::min(j, count - 1));
    }
    uint8_t* to = narrow_row_.empty() ? out_.row(i) : narrow_row_.data();
    // The last vector of a row begins where it just fits in.
    for (int64_t x = 0; x < row_bytes_; x += kVectorBytes) {
      ResizeColumns(fours, down_.weights_of(i), rows_.data(),
                    std::min(x, row_bytes_ - kVectorBytes), to);
    }
    if (!narrow_row_.empty()) std::copy_n(to, out_.cols, out_.row(i));
  }

  const Image& image_;
  MatrixView<uint8_t> out_;
  bool keeps_width_;
  bool keeps_height_;
  FoursAxis across_;
  ResampleAxis exact_down_;
  FoursAxis down_;
  int64_t row_bytes_;  // at least a vector
  int64_t stride_;
  int64_t kept_;               // rows
  std::vector<uint8_t> ring_;  // the last rows of the source, at the width of the result
  std::vector<const uint8_t*> rows_;
  std::vector<uint8_t> narrow_row_;  // where a row of the result is less than a vector
  int64_t done_ = 0;                 // rows of the result
};

ImageDigest ResizeFast(const Image& image, std::span<const MatrixView<uint8_t>> outs) {
  CheckResize(image, outs);
  std::vector<Resizing> all;
  for (const MatrixView<uint8_t>& out : outs) all.emplace_back(image, out);
  std::vector<uint8_t> prepared(
      static_cast<size_t>((image.width + 3) / 4 * kVectors * kFoursBytes));
  PixelDigest digest(image.size());
  for (int64_t y = 0; y < image.height; y += kBatch) {
    digest.Add(image.row(y), std::min(kBatch, image.height - y) * image.width * 3);
    PrepareBatch(image, y, prepared);
    Ahead ahead(image, y + kBatch);
    for (Resizing& resizing : all) resizing.Take(y, prepared.data(), ahead);
  }
  return digest.Finish();
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
