#include "kernels/kv_cache.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/check.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/register.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/kv_cache.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h:
#include "hwy/highway.h"
#include "kernels/cpu/tile-inl.h"

// One task is the tokens of a slice that lie in one tile of one KV head.
HWY_BEFORE_NAMESPACE();
namespace fulmen::cpu::HWY_NAMESPACE {
namespace {

// A row in the type of the cache; scales only in Q8_0. One per thread.
struct RoundedRow {
  std::byte* elements;
  uint16_t* scales;
};

// bytes = x / scale of one group; returns the scale as F16.
HWY_INLINE uint16_t QuantizeGroup(const float* HWY_RESTRICT x, int8_t* HWY_RESTRICT bytes) {
  const Floats d;
  FloatsV largest = hn::Zero(d);
  FloatsV sum = hn::Zero(d);  // NaN where one is, which a maximum may lose
  for (int64_t i = 0; i < kKvGroup; i += TileLanes()) {
    const FloatsV magnitude = hn::Abs(hn::LoadU(d, x + i));
    largest = hn::Max(largest, magnitude);
    sum = hn::Add(sum, magnitude);
  }
  const bool is_nan = std::isnan(hn::GetLane(hn::SumOfLanes(d, sum)));
  const float most = hn::GetLane(hn::MaxOfLanes(d, largest));
  const uint16_t scale_bits =
      F16FromF32(is_nan ? std::numeric_limits<float>::quiet_NaN() : most / 127);
  const float scale = F32FromF16(scale_bits);
  if (scale == 0 || !std::isfinite(scale)) {
    std::fill_n(bytes, kKvGroup, int8_t{1});  // shows a scale that is not finite
    return scale_bits;
  }
  const FloatsV inverse = hn::Set(d, 1 / scale);
  const hn::RebindToSigned<Floats> di;
  const hn::Rebind<int8_t, Floats> d8;
  for (int64_t i = 0; i < kKvGroup; i += TileLanes()) {
    const auto whole = hn::NearestInt(hn::Mul(hn::LoadU(d, x + i), inverse));
    const auto held = hn::Min(hn::Max(whole, hn::Set(di, -127)), hn::Set(di, 127));
    hn::StoreU(hn::DemoteTo(d8, held), d8, bytes + i);
  }
  return scale_bits;
}

void RoundRow(DType type, int64_t count, const float* x, const RoundedRow& row) {
  auto* halves = reinterpret_cast<uint16_t*>(row.elements);
  switch (type) {
    case DType::kF16:
      for (int64_t i = 0; i < count; ++i) halves[i] = F16FromF32(x[i]);
      return;
    case DType::kBF16:
      for (int64_t i = 0; i < count; ++i) halves[i] = BF16FromF32(x[i]);
      return;
    default:
      for (int64_t i = 0; i < count; i += kKvGroup) {
        row.scales[i / kKvGroup] =
            QuantizeGroup(x + i, reinterpret_cast<int8_t*>(row.elements) + i);
      }
  }
}

// Column `place` of an array of kKvTile columns.
template <class T>
void StoreColumn(const T* from, int64_t count, int64_t place, std::byte* array) {
  T* to = reinterpret_cast<T*>(array) + place;
  for (int64_t i = 0; i < count; ++i) to[i * kKvTile] = from[i];
}

void StoreKeys(const KvFormat& format, ConstMatrix keys, int64_t place, const RoundedRow& rounded,
               std::byte* tile) {
  const int64_t dim = format.head_dim;
  if (format.type == DType::kF32) {
    const Matrix columns(reinterpret_cast<float*>(tile), dim, kKvTile);
    return Transpose(keys, columns.Cols(place, keys.rows));
  }
  for (int64_t t = 0; t < keys.rows; ++t) {
    RoundRow(format.type, dim, keys.row(t), rounded);
    if (format.type == DType::kQ8_0) {
      StoreColumn(rounded.elements, dim, place + t, tile);
      StoreColumn(rounded.scales, dim / kKvGroup, place + t, tile + kKvTile * dim);
    } else {
      StoreColumn(reinterpret_cast<const uint16_t*>(rounded.elements), dim, place + t, tile);
    }
  }
}

void StoreValues(const KvFormat& format, ConstMatrix values, int64_t place,
                 const RoundedRow& rounded, std::byte* tile) {
  const int64_t dim = format.head_dim;
  if (format.type == DType::kF32) {
    auto* rows = reinterpret_cast<float*>(tile);
    for (int64_t t = 0; t < values.rows; ++t) {
      CopyRow(dim, values.row(t), rows + (place + t) * dim);
    }
    return;
  }
  const size_t row_bytes = BytesOf(format.type == DType::kQ8_0 ? DType::kI8 : format.type, dim);
  for (int64_t t = 0; t < values.rows; ++t) {
    RoundRow(format.type, dim, values.row(t), rounded);
    const auto row = static_cast<size_t>(place + t);
    std::memcpy(tile + row * row_bytes, rounded.elements, row_bytes);
    if (format.type != DType::kQ8_0) continue;
    const auto scales = static_cast<size_t>(dim / kKvGroup);
    std::memcpy(tile + kKvTile * dim + row * scales * sizeof(uint16_t), rounded.scales,
                scales * sizeof(uint16_t));
  }
}

void StoreKv(KernelContext& context, ConstMatrix keys, ConstMatrix values, const Slices& slices,
             const KvCache& cache) {
  const int64_t dim = cache.format.head_dim;
  const int64_t kv_heads = cache.format.kv_heads;
  CheckKvCache(cache, slices);
  FULMEN_CHECK(keys.cols == kv_heads * dim && values.cols == keys.cols && values.rows == keys.rows,
               "keys are [{}, {}], values [{}, {}] for {} heads of {}", keys.rows, keys.cols,
               values.rows, values.cols, kv_heads, dim);
  CheckSlices(slices, keys.rows);
  Workspace::Frame frame(context.scratch);
  const RoundedRow* rounded = AllocatePerThread(context, [&] {
    return RoundedRow{context.scratch.Allocate<std::byte>(dim * int64_t{sizeof(float)}),
                      context.scratch.Allocate<uint16_t>(dim / kKvGroup)};
  });
  for (int64_t s = 0; s < slices.count(); ++s) {
    if (slices.rows(s) == 0) continue;
    const int64_t first_tile = slices.position(s) / kKvTile;
    const int64_t tiles = (slices.end(s) - 1) / kKvTile - first_tile + 1;
    const int64_t work = slices.rows(s) * 2 * keys.cols / TileLanes();
    ForTasks(context.pool, tiles * kv_heads, work, [&](int64_t index, int worker) {
      const int64_t tile = first_tile + index / kv_heads;
      const int64_t head = index % kv_heads;
      const int64_t begin = std::max(slices.position(s), tile * kKvTile);
      const int64_t count = std::min(slices.end(s), (tile + 1) * kKvTile) - begin;
      const int64_t row = slices.first(s) + begin - slices.position(s);
      const int64_t place = begin % kKvTile;
      StoreKeys(cache.format, keys.Rows(row, count).Cols(head * dim, dim), place, rounded[worker],
                cache.Keys(s, begin, head));
      StoreValues(cache.format, values.Rows(row, count).Cols(head * dim, dim), place,
                  rounded[worker], cache.Values(s, begin, head));
    });
  }
}

void Fill(Kernels& kernels) { kernels.store_kv = StoreKv; }

}  // namespace
}  // namespace fulmen::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fulmen::cpu {

HWY_EXPORT(Fill);

void RegisterKvCache(Kernels& kernels) { HWY_DYNAMIC_DISPATCH(Fill)(kernels); }

}  // namespace fulmen::cpu
#endif
