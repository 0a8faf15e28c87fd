// Tiles of the KV cache as products read them: float32, whatever they are kept in. Included once
// per instruction set.

// The toggle lets foreach_target.h include this file again for the next instruction set.
#if defined(FULMEN_KERNELS_CPU_KV_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FULMEN_KERNELS_CPU_KV_INL_H_
#undef FULMEN_KERNELS_CPU_KV_INL_H_
#else
#define FULMEN_KERNELS_CPU_KV_INL_H_
#endif

#include <algorithm>
#include <cstdint>

#include "base/check.h"
#include "base/matrix.h"
#include "hwy/highway.h"
#include "kernels/cpu/tile-inl.h"
#include "kernels/kv_cache.h"

HWY_BEFORE_NAMESPACE();
namespace fulmen::cpu::HWY_NAMESPACE {

// Calls visit with a pointer to elements of the float type that a cache is kept in.
template <class Visit>
HWY_INLINE void VisitKvElements(DType type, const std::byte* half_tile, const Visit& visit) {
  switch (type) {
    case DType::kF32:
      return visit(reinterpret_cast<const float*>(half_tile));
    case DType::kF16:
      return visit(reinterpret_cast<const hwy::float16_t*>(half_tile));
    case DType::kBF16:
      return visit(reinterpret_cast<const hwy::bfloat16_t*>(half_tile));
    default:
      FULMEN_CHECK(false, "{} is no float type of a cache", DTypeName(type));
  }
}

// Of Q8_0, the bytes of half a tile and the scales behind them.
struct GroupedBytes {
  const int8_t* bytes;
  const hwy::float16_t* scales;

  GroupedBytes(const std::byte* half_tile, int64_t dim)
      : bytes(reinterpret_cast<const int8_t*>(half_tile)),
        scales(reinterpret_cast<const hwy::float16_t*>(half_tile + kKvTile * dim)) {}
};

HWY_INLINE FloatsV WidenBytes(const int8_t* from) {
  const Floats d;
  const hn::RebindToSigned<Floats> di;
  return hn::ConvertTo(d, hn::PromoteTo(di, hn::LoadU(hn::Rebind<int8_t, Floats>(), from)));
}

// to [head_dim, kKvTile] = the keys of a tile.
inline HWY_NOINLINE void UnpackKeys(const KvFormat& format, const std::byte* keys, Matrix to) {
  const Floats d;
  const int64_t dim = format.head_dim;
  if (format.type != DType::kQ8_0) {
    return VisitKvElements(format.type, keys, [&](const auto* from) HWY_ATTR {
      for (int64_t i = 0; i < dim * kKvTile; i += TileLanes()) {
        hn::StoreU(Widen(d, from + i), d, to.data + i);
      }
    });
  }
  const GroupedBytes q(keys, dim);
  for (int64_t first = 0; first < dim; first += kKvGroup) {
    for (int64_t token = 0; token < kKvTile; token += TileLanes()) {
      const FloatsV scale = Widen(d, q.scales + first / kKvGroup * kKvTile + token);
      for (int64_t i = first * kKvTile + token; i < (first + kKvGroup) * kKvTile; i += kKvTile) {
        hn::StoreU(hn::Mul(scale, WidenBytes(q.bytes + i)), d, to.data + i);
      }
    }
  }
}

// to [tokens, padded head_dim] = the first values of a tile, with zeros behind each row.
inline HWY_NOINLINE void UnpackValues(const KvFormat& format, const std::byte* values, Matrix to) {
  const Floats d;
  const int64_t dim = format.head_dim;
  if (format.type != DType::kQ8_0) {
    return VisitKvElements(format.type, values, [&](const auto* from) HWY_ATTR {
      const int64_t whole = dim / TileLanes() * TileLanes();
      for (int64_t t = 0; t < to.rows; ++t, from += dim) {
        float* row = to.row(t);
        for (int64_t c = 0; c < whole; c += TileLanes()) hn::StoreU(Widen(d, from + c), d, row + c);
        if (whole == dim) continue;
        hn::StoreU(WidenFirst(d, from + whole, static_cast<size_t>(dim - whole)), d, row + whole);
      }
    });
  }
  const GroupedBytes q(values, dim);
  const int64_t groups = dim / kKvGroup;  // of a token
  HWY_ALIGN float scales[hn::MaxLanes(Floats())];
  for (int64_t g = 0; g < to.rows * groups; ++g) {
    // Those of a tile are a whole number of vectors.
    if (g % TileLanes() == 0) hn::Store(Widen(d, q.scales + g), d, scales);
    const FloatsV scale = hn::Set(d, scales[g % TileLanes()]);
    float* row = to.row(g / groups) + g % groups * kKvGroup;
    for (int64_t c = 0; c < kKvGroup; c += TileLanes()) {
      hn::StoreU(hn::Mul(scale, WidenBytes(q.bytes + g * kKvGroup + c)), d, row + c);
    }
  }
}

}  // namespace fulmen::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // FULMEN_KERNELS_CPU_KV_INL_H_
