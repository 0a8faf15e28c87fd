#include "kernels/softmax_attention.h"

#include <algorithm>

namespace fulmen {

BatchKv::BatchKv(Matrix kv, int64_t kv_heads, const Slices& slices) {
  for (int64_t s = 0; s < slices.count(); ++s) rows_.push_back(kv.row(slices.first(s)));
  for (float*& row : rows_) pages_.emplace_back(&row, 1);
  const int64_t width = kv.cols / 2;
  cache_ = {.pages = pages_,
            .page_tokens = std::max<int64_t>(kv.rows, 1),
            .kv_heads = kv_heads,
            .head_dim = width / kv_heads,
            .keys = 0,
            .values = width,
            .head_stride = width / kv_heads,
            .token_stride = kv.stride};
}

void CheckSoftmax(ConstMatrix queries, const KvCache& cache, const Slices& slices, ConstMatrix out,
                  ConstMatrix log_sums) {
  const int64_t dim = cache.head_dim;
  FULMEN_CHECK(dim > 0 && cache.kv_heads > 0 && queries.cols % (dim * cache.kv_heads) == 0 &&
                   out.cols == queries.cols && out.rows == queries.rows,
               "queries are [{}, {}], out [{}, {}] for {} KV heads of {}", queries.rows,
               queries.cols, out.rows, out.cols, cache.kv_heads, dim);
  FULMEN_CHECK(log_sums.data == nullptr ||
                   (log_sums.rows == queries.rows && log_sums.cols == queries.cols / dim),
               "log_sums is [{}, {}] for {} rows of {} heads", log_sums.rows, log_sums.cols,
               queries.rows, queries.cols / dim);
  CheckSlices(slices, queries.rows);
  FULMEN_CHECK(static_cast<int64_t>(cache.pages.size()) == slices.count(),
               "{} sequences of pages for {} slices", cache.pages.size(), slices.count());
  for (int64_t s = 0; s < slices.count(); ++s) {
    const auto pages = static_cast<int64_t>(cache.pages[static_cast<size_t>(s)].size());
    FULMEN_CHECK((slices.end(s) + cache.page_tokens - 1) / cache.page_tokens <= pages,
                 "slice {} ends at position {}, with {} pages of {}", s, slices.end(s), pages,
                 cache.page_tokens);
  }
}

void CheckPacked(const PackedAttention& attention, ConstMatrix out, ConstMatrix log_sums) {
  const ConstMatrix& q = attention.queries;
  const ConstMatrix& k = attention.keys;
  const ConstMatrix& v = attention.values;
  const int64_t dim = attention.head_dim;
  FULMEN_CHECK(dim > 0 && q.cols % dim == 0 && k.cols % dim == 0 && k.cols > 0 &&
                   q.cols % k.cols == 0 && k.rows == q.rows && v.rows == q.rows && v.cols == k.cols,
               "queries are [{}, {}], keys [{}, {}], values [{}, {}] for heads of {}", q.rows,
               q.cols, k.rows, k.cols, v.rows, v.cols, dim);
  FULMEN_CHECK(out.rows == q.rows && out.cols == q.cols && log_sums.rows == q.rows &&
                   log_sums.cols == q.cols / dim,
               "out is [{}, {}], log_sums [{}, {}] for {} heads of {}", out.rows, out.cols,
               log_sums.rows, log_sums.cols, q.cols / dim, dim);
  CheckSlices({.starts = attention.starts, .positions = {}}, q.rows);
}

}  // namespace fulmen
