#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/ref/operations.h"

namespace fulmen::ref {
namespace {

// One query of one head over the `context` first positions of its sequence; returns the log of the
// sum of exp(score).
double Query(const float* query, const KvCache& cache, int64_t slice, int64_t kv_head,
             int64_t context, float* out) {
  const int64_t dim = cache.head_dim;
  const double scale = 1.0 / std::sqrt(static_cast<double>(dim));
  std::vector<double> scores(static_cast<size_t>(context));
  for (int64_t p = 0; p < context; ++p) {
    const float* key = cache.Keys(slice, p, kv_head);
    double sum = 0.0;
    for (int64_t d = 0; d < dim; ++d) sum += double{query[d]} * double{key[d]};
    scores[static_cast<size_t>(p)] = sum * scale;
  }
  const double largest = *std::max_element(scores.begin(), scores.end());
  std::vector<double> sums(static_cast<size_t>(dim), 0.0);
  double total = 0.0;
  for (int64_t p = 0; p < context; ++p) {
    const double weight = std::exp(scores[static_cast<size_t>(p)] - largest);
    const float* value = cache.Values(slice, p, kv_head);
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
  const int64_t dim = cache.head_dim;
  for (int64_t s = 0; s < slices.count(); ++s) {
    for (int64_t t = 0; t < slices.rows(s); ++t) {
      for (int64_t h = 0; h < cache.kv_heads; ++h) {
        const int64_t position = slices.position(s) + t;
        const int64_t row = slices.first(s) + t;
        std::copy_n(keys.row(row) + h * dim, dim, cache.Keys(s, position, h));
        std::copy_n(values.row(row) + h * dim, dim, cache.Values(s, position, h));
      }
    }
  }
}

void SoftmaxAttention(KernelContext&, ConstMatrix queries, const KvCache& cache,
                      const Slices& slices, Matrix out, Matrix log_sums) {
  CheckSoftmax(queries, cache, slices, out, log_sums);
  const int64_t dim = cache.head_dim;
  const int64_t heads = queries.cols / dim;
  for (int64_t s = 0; s < slices.count(); ++s) {
    for (int64_t t = 0; t < slices.rows(s); ++t) {
      const int64_t row = slices.first(s) + t;
      for (int64_t h = 0; h < heads; ++h) {
        const double log_sum =
            Query(queries.row(row) + h * dim, cache, s, h / (heads / cache.kv_heads),
                  slices.position(s) + t + 1, out.row(row) + h * dim);
        if (log_sums.data != nullptr) log_sums.row(row)[h] = static_cast<float>(log_sum);
      }
    }
  }
}

}  // namespace fulmen::ref
