// Rows of x as products read them: in tiles of kTileRows rows (the last may have fewer), the rows
// of a tile beside each other, in float32 or rounded to 8 bits. Included once per instruction set.
#if defined(FULMEN_KERNELS_CPU_ACTIVATIONS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FULMEN_KERNELS_CPU_ACTIVATIONS_INL_H_
#undef FULMEN_KERNELS_CPU_ACTIVATIONS_INL_H_
#else
#define FULMEN_KERNELS_CPU_ACTIVATIONS_INL_H_
#endif

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "base/quant_blocks.h"
#include "base/weight_matrix.h"
#include "kernels/cpu/byte_products.h"
#include "kernels/cpu/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fulmen::cpu::HWY_NAMESPACE {

// 6 x 4 sums, 4 weights and one row of x fit 32 registers; 3 x 4 sums, 3 rows and one weight, 16.
constexpr int64_t kTileRows = HWY_CAP_GE512 ? 6 : 3;

HWY_INLINE int64_t RoundUp(int64_t value, int64_t unit) { return (value + unit - 1) / unit * unit; }
HWY_INLINE int64_t CeilDiv(int64_t value, int64_t unit) { return (value + unit - 1) / unit; }

// What the instruction set offers for products of bytes, by itself and where the processor has
// AVX-VNNI, NEON's dot products or AMX.
constexpr ByteProducts kByteProducts =
    HWY_TARGET > HWY_AVX3_DL ? ByteProducts::kPairs : ByteProducts::kFours;
constexpr bool kMayHaveFours = HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_NEON;
constexpr bool kMayHaveAmx = HWY_ARCH_X86_64 && HWY_TARGET == HWY_AVX3_DL;

// Of products by AMX: rows of a tile, columns of one, and how many rows are worth it.
constexpr int64_t kAmxRows = 16;
constexpr int64_t kAmxColumns = 64;
constexpr int64_t kFewestAmxRows = 6;
constexpr int64_t kMostTileRows = std::max(kTileRows, kMayHaveAmx ? kAmxRows : 0);

// Whether instructions multiply bytes that both have a sign, and not one that has a sign by one
// that has none.
constexpr bool kBothSigned = HWY_ARCH_ARM_A64;

// x in float32, or as integers of 8 bits with one step for each block of columns, as many as the
// weight's own blocks have. As words, integers of 8 bits fill 16, and so do those of the weight.
enum class ActivationFormat : uint8_t {
  kFloat32,
  kBytesBy32,
  kBytesBy256,
  kWordsBy32,
  kWordsBy256,
  kTilesBy256,  // for AMX; of few rows, as kBytesBy256
  kBf16Parts,   // float32 as the sum of three BF16, for AMX
};

// With kPairs, weights beyond kMostNarrow are multiplied as words, but for kBothSigned: two
// products of any byte and one that was rounded to within kMostRounded fit 16 bits.
constexpr int kMostNarrow = 32;
constexpr int kMostRounded = 127;

// Multiplied as bytes, a weight that has a sign is stored as this much more, and what that adds to
// the sums is taken off: as much times the sum of x.
constexpr int OffsetOf(ByteProducts products) {
  if (kBothSigned) return 0;
  return products == ByteProducts::kPairs ? kMostNarrow : 128;
}
constexpr bool MultipliesWords(ByteProducts products) {
  return products == ByteProducts::kPairs && !kBothSigned;
}

// Calls visit.operator()<products>(), for one of those this instruction set offers.
template <class Visit>
HWY_INLINE auto VisitProducts(ByteProducts products, const Visit& visit) {
  if constexpr (kMayHaveFours) {
    if (products == ByteProducts::kFours) {
      return visit.template operator()<ByteProducts::kFours>();
    }
  }
  if constexpr (kMayHaveAmx) {
    if (products == ByteProducts::kTiles) {
      return visit.template operator()<ByteProducts::kTiles>();
    }
  }
  return visit.template operator()<kByteProducts>();
}

inline ActivationFormat FormatFor(const WeightMatrix& weight, ByteProducts products) {
  const bool words = MultipliesWords(products);
  switch (weight.type) {
    case DType::kBF16:
      return products == ByteProducts::kTiles ? ActivationFormat::kBf16Parts
                                              : ActivationFormat::kFloat32;
    case DType::kQ4_0:
    case DType::kQ4_1:
    case DType::kQ5_0:
    case DType::kQ5_1:
      return ActivationFormat::kBytesBy32;
    case DType::kQ4_K:
      return products == ByteProducts::kTiles ? ActivationFormat::kTilesBy256
                                              : ActivationFormat::kBytesBy256;
    case DType::kQ2_K:
    case DType::kQ3_K:
    case DType::kQ5_K:
    case DType::kQ6_K:
      return ActivationFormat::kBytesBy256;
    case DType::kQ8_0:
    case DType::kIQ4_NL:
      return words ? ActivationFormat::kWordsBy32 : ActivationFormat::kBytesBy32;
    case DType::kIQ4_XS:
      return words ? ActivationFormat::kWordsBy256 : ActivationFormat::kBytesBy256;
    default:
      return ActivationFormat::kFloat32;
  }
}
constexpr bool IsWords(ActivationFormat format) {
  return format == ActivationFormat::kWordsBy32 || format == ActivationFormat::kWordsBy256;
}
// Of BF16 parts, a block is the columns of a tile.
constexpr int64_t kBf16Columns = kSmallBlock;
constexpr int64_t kBf16PartsOfFloat = 3;
// Of x in 8 bits or as words.
constexpr int64_t BytesPerElement(ActivationFormat format) { return IsWords(format) ? 2 : 1; }
constexpr int64_t BlockOf(ActivationFormat format) {
  return format == ActivationFormat::kBytesBy32 || format == ActivationFormat::kWordsBy32 ||
                 format == ActivationFormat::kBf16Parts
             ? kSmallBlock
             : kSuperBlock;
}

// Sums of x are kept for groups of both sizes that scales and minima of weights have.
constexpr int64_t kSmallGroup = 16;
constexpr int64_t kLargeGroup = 32;
constexpr int kPairs = kSuperBlock / (2 * kLargeGroup);

// A tile of rows in 8 bits: x = step * q. Elements lie in fours, the fours of the rows beside each
// other; so do the steps of a block and the sums of a group of elements, those as whole numbers of
// steps. As words, the even two of a four come before the odd two. For AMX they lie as one of its
// tiles has them.
struct Int8Tile {
  // [cols / 4][rows][4], or as words (int16_t) [cols / 4][2][rows][2], or for AMX
  // [cols / kAmxColumns][rows][kAmxColumns]
  uint8_t* q;
  float* steps;            // [cols / block][rows]
  float* small_sums;       // [cols / kSmallGroup][rows]
  float* large_sums;       // [cols / kLargeGroup][rows]
  int32_t* small_offsets;  // the same sums times -OffsetOf
  int32_t* large_offsets;
  int32_t* sum_pairs;  // [cols / kSuperBlock][rows][kPairs]: two of those, in 16 bits each
  int64_t rows;
  bool for_amx;
};

struct PackedRows {
  ActivationFormat format;
  ByteProducts products;
  std::byte* data;
  int64_t rows;
  int64_t cols;

  // Whether AMX multiplies them: as tiles of kAmxRows rows.
  bool ForAmx() const {
    return kMayHaveAmx && (format == ActivationFormat::kBf16Parts ||
                           (format == ActivationFormat::kTilesBy256 && rows >= kFewestAmxRows));
  }
  int64_t TileRows() const { return ForAmx() ? kAmxRows : kTileRows; }
  int64_t Tiles() const { return CeilDiv(rows, TileRows()); }
  int64_t RowsOf(int64_t tile) const { return std::min(TileRows(), rows - tile * TileRows()); }
  int64_t block() const { return BlockOf(format); }
  int64_t RowBytes() const;
  // The rows from `first` on, where that begins a tile.
  PackedRows From(int64_t first, int64_t count) const {
    return {format, products, data + first * RowBytes(), count, cols};
  }

  // In float32: vector by vector along the columns, padded with zeros to whole vectors.
  float* FloatTile(int64_t tile) const {
    return reinterpret_cast<float*>(data + tile * TileRows() * RowBytes());
  }
  // As BF16 parts: [cols / kBf16Columns][part, the largest first][rows of the tile][kBf16Columns],
  // padded with zeros to whole blocks.
  uint16_t* Bf16Tile(int64_t tile) const {
    return reinterpret_cast<uint16_t*>(data + tile * TileRows() * RowBytes());
  }
  Int8Tile QuantizedTile(int64_t tile) const {
    const int64_t count = RowsOf(tile);
    auto* q = reinterpret_cast<uint8_t*>(data + tile * TileRows() * RowBytes());
    auto* steps = reinterpret_cast<float*>(q + count * cols * BytesPerElement(format));
    float* small_sums = steps + count * (cols / block());
    float* large_sums = small_sums + count * (cols / kSmallGroup);
    auto* small_offsets = reinterpret_cast<int32_t*>(large_sums + count * (cols / kLargeGroup));
    int32_t* large_offsets = small_offsets + count * (cols / kSmallGroup);
    int32_t* sum_pairs = large_offsets + count * (cols / kLargeGroup);
    return {q,         steps, small_sums, large_sums, small_offsets, large_offsets,
            sum_pairs, count, ForAmx()};
  }
};

inline int64_t PackedRowBytes(ActivationFormat format, int64_t cols) {
  constexpr auto kFloat = static_cast<int64_t>(sizeof(float));
  if (format == ActivationFormat::kFloat32) return RoundUp(cols, LaneCount()) * kFloat;
  if (format == ActivationFormat::kBf16Parts) {
    return RoundUp(cols, kBf16Columns) * kBf16PartsOfFloat * static_cast<int64_t>(sizeof(uint16_t));
  }
  const int64_t sums = 2 * (cols / kSmallGroup + cols / kLargeGroup) + cols / (2 * kLargeGroup);
  return cols * BytesPerElement(format) + kFloat * (cols / BlockOf(format) + sums);
}
inline int64_t PackedRows::RowBytes() const { return PackedRowBytes(format, cols); }
// Of rows that begin tiles anywhere, with what may be read behind the last by whole tiles.
inline int64_t PackedBytes(ActivationFormat format, int64_t rows, int64_t cols) {
  return rows * PackedRowBytes(format, cols) + (kMayHaveAmx ? kAmxRows * kAmxColumns : 0);
}

// Columns [first, first + count) of the rows of a tile; `first` is whole vectors.
inline void PackFloats(const float* const* rows, int64_t first, int64_t count, const PackedRows& to,
                       int64_t tile) {
  const Floats d;
  const int64_t lanes = LaneCount();
  const int64_t beside = to.RowsOf(tile);
  float* out = to.FloatTile(tile) + first * beside;
  int64_t c = 0;
  for (; c + lanes <= count; c += lanes) {
    for (int64_t r = 0; r < beside; ++r, out += lanes) {
      hn::Store(hn::LoadU(d, rows[r] + c), d, out);
    }
  }
  if (c == count) return;
  for (int64_t r = 0; r < beside; ++r, out += lanes) {
    hn::Store(WidenFirst(d, rows[r] + c, static_cast<size_t>(count - c)), d, out);
  }
}

// The same as three BF16 whose sum it is: 8 bits of the 24 each, cut off rather than rounded, so
// that none overflows. The last part of what is not finite is NaN.
inline void PackBf16Parts(const float* const* rows, int64_t first, int64_t count,
                          const PackedRows& to, int64_t tile) {
  const Floats d;
  const hn::RebindToUnsigned<Floats> du;
  const hn::RebindToSigned<Floats> di;
  const hn::Rebind<uint16_t, Floats> du16;
  const int64_t beside = to.RowsOf(tile);
  uint16_t* block = to.Bf16Tile(tile) + first * beside * kBf16PartsOfFloat;
  for (int64_t begin = 0; begin < count; begin += kBf16Columns) {
    for (int64_t r = 0; r < beside; ++r) {
      for (int64_t c = begin; c < begin + kBf16Columns; c += LaneCount()) {
        FloatsV rest = count - c >= LaneCount() ? hn::LoadU(d, rows[r] + c)
                       : c < count ? WidenFirst(d, rows[r] + c, static_cast<size_t>(count - c))
                                   : hn::Zero(d);
        for (int64_t part = 0; part < kBf16PartsOfFloat; ++part) {
          const auto bits = hn::And(hn::BitCast(du, rest), hn::Set(du, 0xffff0000U));
          const auto halves = hn::BitCast(di, hn::ShiftRight<16>(bits));
          hn::StoreU(hn::DemoteTo(du16, halves), du16,
                     block + (part * beside + r) * kBf16Columns + c - begin);
          rest = hn::Sub(rest, hn::BitCast(d, bits));
        }
      }
    }
    block += beside * kBf16PartsOfFloat * kBf16Columns;
  }
}

// Of x while it is packed: sums of bytes that have no sign are one instruction.
constexpr int kZeroPoint = 128;

// q[0 .. count) and the step of one block: the nearest multiples of max |x| / kMostRounded, and
// kZeroPoint more. What is not finite makes the step NaN, so that it is seen in every output.
// Returns the step.
HWY_INLINE float RoundBlock(const float* x, int64_t count, uint8_t* q) {
  const Floats d;
  const hn::RebindToSigned<Floats> di;
  const hn::Rebind<uint8_t, Floats> du8;
  FloatsV largest = hn::Zero(d);
  FloatsV not_finite = hn::Zero(d);
  for (int64_t c = 0; c < count; c += LaneCount()) {
    const FloatsV v = hn::LoadU(d, x + c);
    largest = hn::Max(largest, hn::Abs(v));
    not_finite = hn::MulAdd(v, hn::Zero(d), not_finite);
  }
  const float most = hn::GetLane(hn::MaxOfLanes(d, largest));
  const float zero = hn::GetLane(hn::SumOfLanes(d, not_finite));  // or NaN
  constexpr float kTiny = 0x1p-120F;                              // whose inverse is still finite
  const FloatsV inverse = hn::Set(d, most > kTiny ? kMostRounded / most : 0.0F);
  for (int64_t c = 0; c < count; c += LaneCount()) {
    const auto rounded = hn::NearestInt(hn::Mul(hn::LoadU(d, x + c), inverse));
    hn::StoreU(hn::DemoteTo(du8, hn::Add(rounded, hn::Set(di, kZeroPoint))), du8, q + c);
  }
  return (most > kTiny ? most / kMostRounded : 0.0F) + zero;
}

// Sums of 8 bytes each.
template <int kBlock>
HWY_INLINE void SumEights(const uint8_t* q, uint64_t* sums) {
  const hn::CappedTag<uint8_t, kSmallBlock> d;
  const hn::Repartition<uint64_t, decltype(d)> d64;
  for (size_t i = 0; i < kBlock; i += hn::Lanes(d)) {
    hn::StoreU(hn::SumsOf8(hn::Load(d, q + i)), d64, sums + i / 8);
  }
}

// One row of a block of bytes, each with its zero point, to an Int8Tile whose block is at `to`.
template <int kBlock>
HWY_INLINE void StoreBlockForAmx(const uint8_t* q, int64_t row, int64_t rows, uint8_t* to) {
  const hn::CappedTag<uint8_t, kAmxColumns> d;
  for (int c = 0; c < kBlock; c += kAmxColumns) {
    uint8_t* out = to + c * rows + row * kAmxColumns;
    for (int i = 0; i < kAmxColumns; i += static_cast<int>(hn::Lanes(d))) {
      hn::StoreU(hn::Xor(hn::Load(d, q + c + i), hn::Set(d, kZeroPoint)), d, out + i);
    }
  }
}
template <int kBlock, ActivationFormat kFormat>
HWY_INLINE void StoreBlock(const uint8_t* q, int64_t row, int64_t rows, uint8_t* to) {
  for (int i = 0; i < kBlock; i += 4) {
    if constexpr (IsWords(kFormat)) {
      const auto word = [&](int k) { return static_cast<int16_t>(q[i + k] - kZeroPoint); };
      const int16_t twos[2][2] = {{word(0), word(2)}, {word(1), word(3)}};
      std::memcpy(to + 2 * i * rows + 4 * row, twos[0], sizeof(twos[0]));
      std::memcpy(to + 2 * i * rows + 4 * (rows + row), twos[1], sizeof(twos[1]));
    } else {
      uint32_t four;
      std::memcpy(&four, q + i, sizeof(four));
      four ^= kZeroPoint * 0x01010101U;  // less the zero point
      std::memcpy(to + i * rows + 4 * row, &four, sizeof(four));
    }
  }
}

// One row of a block of columns, from `column` on.
template <ActivationFormat kFormat>
HWY_INLINE void PackInt8Block(const float* x, int64_t column, int64_t row, int offset,
                              const Int8Tile& to) {
  constexpr int kBlock = BlockOf(kFormat);
  HWY_ALIGN uint8_t q[kBlock];
  HWY_ALIGN uint64_t sums[kBlock / 8];
  to.steps[column / kBlock * to.rows + row] = RoundBlock(x, kBlock, q);
  uint8_t* block = to.q + column * to.rows * BytesPerElement(kFormat);
  if (kFormat == ActivationFormat::kTilesBy256 && to.for_amx) {
    StoreBlockForAmx<kBlock>(q, row, to.rows, block);
  } else {
    StoreBlock<kBlock, kFormat>(q, row, to.rows, block);
  }
  SumEights<kBlock>(q, sums);
  // Arrays of their own, which the compiler makes vectors of: where they go, rows lie between.
  int32_t small[kBlock / kSmallGroup];
  int32_t large[kBlock / kLargeGroup];
  for (int g = 0; g < kBlock / kSmallGroup; ++g) {
    small[g] = static_cast<int32_t>(sums[2 * g] + sums[2 * g + 1]) - kSmallGroup * kZeroPoint;
  }
  for (int g = 0; g < kBlock / kLargeGroup; ++g) large[g] = small[2 * g] + small[2 * g + 1];
  for (int g = 0; g < kBlock / kSmallGroup; ++g) {
    const int64_t at = (column / kSmallGroup + g) * to.rows + row;
    to.small_sums[at] = static_cast<float>(small[g]);
    to.small_offsets[at] = -offset * small[g];
  }
  for (int g = 0; g < kBlock / kLargeGroup; ++g) {
    const int64_t at = (column / kLargeGroup + g) * to.rows + row;
    to.large_sums[at] = static_cast<float>(large[g]);
    to.large_offsets[at] = -offset * large[g];
  }
  if constexpr (kBlock == kSuperBlock) {
    int32_t* pairs = to.sum_pairs + (column / kSuperBlock * to.rows + row) * kPairs;
    for (int p = 0; p < kPairs; ++p) {
      pairs[p] = (large[2 * p] & 0xffff) | large[2 * p + 1] << 16;
    }
  }
}

// As PackFloats; `first` and `count` are whole blocks.
template <ActivationFormat kFormat>
inline void PackInt8(const float* const* rows, int64_t first, int64_t count, const PackedRows& to,
                     int64_t tile) {
  const Int8Tile out = to.QuantizedTile(tile);
  for (int64_t r = 0; r < out.rows; ++r) {
    for (int64_t c = 0; c < count; c += BlockOf(kFormat)) {
      PackInt8Block<kFormat>(rows[r] + c, first + c, r, OffsetOf(to.products), out);
    }
  }
}

// rows[r] points at column `first` of row r of the tile.
inline void PackColumns(const float* const* rows, int64_t first, int64_t count,
                        const PackedRows& to, int64_t tile) {
  switch (to.format) {
    case ActivationFormat::kFloat32:
      return PackFloats(rows, first, count, to, tile);
    case ActivationFormat::kBytesBy32:
      return PackInt8<ActivationFormat::kBytesBy32>(rows, first, count, to, tile);
    case ActivationFormat::kBytesBy256:
      return PackInt8<ActivationFormat::kBytesBy256>(rows, first, count, to, tile);
    case ActivationFormat::kWordsBy32:
      return PackInt8<ActivationFormat::kWordsBy32>(rows, first, count, to, tile);
    case ActivationFormat::kWordsBy256:
      return PackInt8<ActivationFormat::kWordsBy256>(rows, first, count, to, tile);
    case ActivationFormat::kTilesBy256:
      return PackInt8<ActivationFormat::kTilesBy256>(rows, first, count, to, tile);
    case ActivationFormat::kBf16Parts:
      return PackBf16Parts(rows, first, count, to, tile);
  }
}

}  // namespace fulmen::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // FULMEN_KERNELS_CPU_ACTIVATIONS_INL_H_
