#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/ref/operations.h"

namespace fulmen::ref {
namespace {

// One query of one head over the `context` first positions.
void Query(const float* query, const KvPages& kv, int64_t kv_head, int64_t context, float* out) {
  const int64_t dim = kv.head_dim;
  const double scale = 1.0 / std::sqrt(static_cast<double>(dim));
  std::vector<double> scores(static_cast<size_t>(context));
  for (int64_t p = 0; p < context; ++p) {
    const float* key = kv.Keys(p / kv.page_tokens, kv_head) + (p % kv.page_tokens) * dim;
    double sum = 0.0;
    for (int64_t d = 0; d < dim; ++d) sum += double{query[d]} * double{key[d]};
    scores[static_cast<size_t>(p)] = sum * scale;
  }
  const double largest = *std::max_element(scores.begin(), scores.end());
  std::vector<double> sums(static_cast<size_t>(dim), 0.0);
  double total = 0.0;
  for (int64_t p = 0; p < context; ++p) {
    const double weight = std::exp(scores[static_cast<size_t>(p)] - largest);
    const float* value = kv.Values(p / kv.page_tokens, kv_head) + (p % kv.page_tokens) * dim;
    total += weight;
    for (int64_t d = 0; d < dim; ++d) sums[static_cast<size_t>(d)] += weight * double{value[d]};
  }
  for (int64_t d = 0; d < dim; ++d) {
    out[d] = static_cast<float>(sums[static_cast<size_t>(d)] / total);
  }
}

}  // namespace

void SoftmaxAttention(KernelContext&, ConstMatrix queries, const KvPages& kv,
                      int64_t first_position, Matrix out) {
  const int64_t heads = queries.cols / kv.head_dim;
  const int64_t capacity = static_cast<int64_t>(kv.pages.size()) * kv.page_tokens;
  FULMEN_CHECK(queries.cols == heads * kv.head_dim && heads % kv.kv_heads == 0 &&
                   out.cols == queries.cols && out.rows == queries.rows,
               "queries are [{}, {}], out [{}, {}] for {} KV heads of {}", queries.rows,
               queries.cols, out.rows, out.cols, kv.kv_heads, kv.head_dim);
  FULMEN_CHECK(first_position + queries.rows <= capacity,
               "{} queries from position {} over {} slots", queries.rows, first_position, capacity);
  for (int64_t t = 0; t < queries.rows; ++t) {
    for (int64_t h = 0; h < heads; ++h) {
      Query(queries.row(t) + h * kv.head_dim, kv, h / (heads / kv.kv_heads), first_position + t + 1,
            out.row(t) + h * kv.head_dim);
    }
  }
}

}  // namespace fulmen::ref
