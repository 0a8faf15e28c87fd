#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "kernels/ref/operations.h"

namespace fulmen::ref {
namespace {

constexpr DType kScale = DType::kF16;

// Place of element `index` of a half of a tile, and of the group with a common scale that it is in.
struct Place {
  int64_t element;
  int64_t scale;
};
Place KeyPlace(int64_t d, int64_t position) {
  const int64_t token = position % kKvTile;
  return {d * kKvTile + token, d / kKvGroup * kKvTile + token};
}
Place ValuePlace(int64_t d, int64_t position, int64_t dim) {
  const int64_t token = position % kKvTile;
  return {token * dim + d, token * (dim / kKvGroup) + d / kKvGroup};
}

// The scales of half a tile in Q8_0.
std::byte* Scales(std::byte* tile, int64_t dim) { return tile + kKvTile * dim; }

float Load(const KvCache& cache, std::byte* tile, Place place) {
  if (cache.format.type != DType::kQ8_0) {
    return LoadFloat(cache.format.type, tile, static_cast<size_t>(place.element));
  }
  const float scale =
      LoadFloat(kScale, Scales(tile, cache.format.head_dim), static_cast<size_t>(place.scale));
  return scale * static_cast<float>(reinterpret_cast<const int8_t*>(tile)[place.element]);
}

template <class T>
void StoreAt(std::byte* array, int64_t index, T value) {
  std::memcpy(array + index * static_cast<int64_t>(sizeof(T)), &value, sizeof(T));
}

// The scale of one group; NaN or infinite where an element is.
uint16_t GroupScale(const float* x) {
  float largest = 0;
  for (int64_t i = 0; i < kKvGroup; ++i) {
    if (std::isnan(x[i])) return F16FromF32(x[i]);
    largest = std::max(largest, std::abs(x[i]));
  }
  return F16FromF32(largest / 127);
}

int8_t Quantize(float x, uint16_t scale_bits) {
  const float scale = F32FromF16(scale_bits);
  if (scale == 0 || !std::isfinite(scale)) return 1;  // shows a scale that is not finite
  return static_cast<int8_t>(std::clamp(std::nearbyint(x * (1 / scale)), -127.0F, 127.0F));
}

// Element d of a head's keys or values x of one token.
void Store(const KvCache& cache, std::byte* tile, const float* x, int64_t d, Place place) {
  switch (cache.format.type) {
    case DType::kF32:
      return StoreAt(tile, place.element, x[d]);
    case DType::kF16:
      return StoreAt(tile, place.element, F16FromF32(x[d]));
    case DType::kBF16:
      return StoreAt(tile, place.element, BF16FromF32(x[d]));
    default:
      break;
  }
  const uint16_t scale = GroupScale(x + d / kKvGroup * kKvGroup);
  StoreAt(Scales(tile, cache.format.head_dim), place.scale, scale);
  StoreAt(tile, place.element, Quantize(x[d], scale));
}

// What one KV head of a sequence has at its first positions: [context, dim] each.
struct Context {
  std::vector<float> keys;
  std::vector<float> values;

  Context(const KvCache& cache, int64_t slice, int64_t kv_head, int64_t context) {
    const int64_t dim = cache.format.head_dim;
    for (int64_t p = 0; p < context; ++p) {
      std::byte* key_tile = cache.Keys(slice, p, kv_head);
      std::byte* value_tile = cache.Values(slice, p, kv_head);
      for (int64_t d = 0; d < dim; ++d) {
        keys.push_back(Load(cache, key_tile, KeyPlace(d, p)));
        values.push_back(Load(cache, value_tile, ValuePlace(d, p, dim)));
      }
    }
  }
  // Rows [first, end).
  Context(const PackedAttention& attention, int64_t first, int64_t end, int64_t kv_head) {
    const int64_t dim = attention.head_dim;
    for (int64_t p = first; p < end; ++p) {
      const float* key = attention.keys.row(p) + kv_head * dim;
      const float* value = attention.values.row(p) + kv_head * dim;
      keys.insert(keys.end(), key, key + dim);
      values.insert(values.end(), value, value + dim);
    }
  }
};

// One query of one head over the `context` first positions; returns the log of the sum of
// exp(score).
double Query(const float* query, const Context& seen, int64_t dim, int64_t context, float* out) {
  const double scale = 1.0 / std::sqrt(static_cast<double>(dim));
  std::vector<double> scores(static_cast<size_t>(context));
  for (int64_t p = 0; p < context; ++p) {
    const float* key = seen.keys.data() + p * dim;
    double sum = 0.0;
    for (int64_t d = 0; d < dim; ++d) sum += double{query[d]} * double{key[d]};
    scores[static_cast<size_t>(p)] = sum * scale;
  }
  const double largest = *std::max_element(scores.begin(), scores.end());
  std::vector<double> sums(static_cast<size_t>(dim), 0.0);
  double total = 0.0;
  for (int64_t p = 0; p < context; ++p) {
    const double weight = std::exp(scores[static_cast<size_t>(p)] - largest);
    const float* value = seen.values.data() + p * dim;
    total += weight;
    for (int64_t d = 0; d < dim; ++d) sums[static_cast<size_t>(d)] += weight * double{value[d]};
  }
  for (int64_t d = 0; d < dim; ++d) {
    out[d] = static_cast<float>(sums[static_cast<size_t>(d)] / total);
  }
  return largest + std::log(total);
}

}  // namespace

void StoreKv(KernelContext&, ConstMatrix keys, ConstMatrix values, const Slices& slices,
             const KvCache& cache) {
  const int64_t dim = cache.format.head_dim;
  for (int64_t s = 0; s < slices.count(); ++s) {
    for (int64_t t = 0; t < slices.rows(s); ++t) {
      for (int64_t h = 0; h < cache.format.kv_heads; ++h) {
        const int64_t position = slices.position(s) + t;
        const int64_t row = slices.first(s) + t;
        for (int64_t d = 0; d < dim; ++d) {
          Store(cache, cache.Keys(s, position, h), keys.row(row) + h * dim, d,
                KeyPlace(d, position));
          Store(cache, cache.Values(s, position, h), values.row(row) + h * dim, d,
                ValuePlace(d, position, dim));
        }
      }
    }
  }
}

void SoftmaxAttention(KernelContext&, ConstMatrix queries, const KvCache& cache,
                      const Slices& slices, Matrix out, Matrix log_sums) {
  CheckSoftmax(queries, cache, slices, out, log_sums);
  const int64_t dim = cache.format.head_dim;
  const int64_t heads = queries.cols / dim;
  const int64_t group = heads / cache.format.kv_heads;
  for (int64_t s = 0; s < slices.count(); ++s) {
    for (int64_t kv_head = 0; kv_head < cache.format.kv_heads; ++kv_head) {
      const Context seen(cache, s, kv_head, slices.rows(s) == 0 ? 0 : slices.end(s));
      for (int64_t t = 0; t < slices.rows(s); ++t) {
        const int64_t row = slices.first(s) + t;
        for (int64_t h = kv_head * group; h < (kv_head + 1) * group; ++h) {
          const double log_sum = Query(queries.row(row) + h * dim, seen, dim,
                                       slices.position(s) + t + 1, out.row(row) + h * dim);
          if (log_sums.data != nullptr) log_sums.row(row)[h] = static_cast<float>(log_sum);
        }
      }
    }
  }
}

void BidirectionalAttention(KernelContext&, const PackedAttention& attention, Matrix out,
                            Matrix log_sums) {
  CheckPacked(attention, out, log_sums);
  const int64_t dim = attention.head_dim;
  const int64_t heads = attention.queries.cols / dim;
  const int64_t group = attention.queries.cols / attention.keys.cols;
  const Slices slices = {.starts = attention.starts, .positions = {}};
  for (int64_t s = 0; s < slices.count(); ++s) {
    const int64_t first = slices.first(s);
    const int64_t end = first + slices.rows(s);
    for (int64_t h = 0; h < heads; ++h) {
      const Context seen(attention, first, end, h / group);
      for (int64_t row = first; row < end; ++row) {
        const double log_sum = Query(attention.queries.row(row) + h * dim, seen, dim, end - first,
                                     out.row(row) + h * dim);
        if (log_sums.data != nullptr) log_sums.row(row)[h] = static_cast<float>(log_sum);
      }
    }
  }
}

}  // namespace fulmen::ref
