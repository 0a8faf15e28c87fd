#include "kernels/softmax_attention.h"

namespace fulmen {

void CheckSoftmax(ConstMatrix queries, const KvCache& cache, const Slices& slices, ConstMatrix out,
                  ConstMatrix log_sums) {
  const int64_t dim = cache.format.head_dim;
  const int64_t kv_heads = cache.format.kv_heads;
  FULMEN_CHECK(dim > 0 && kv_heads > 0 && queries.cols % (dim * kv_heads) == 0 &&
                   out.cols == queries.cols && out.rows == queries.rows,
               "queries are [{}, {}], out [{}, {}] for {} KV heads of {}", queries.rows,
               queries.cols, out.rows, out.cols, kv_heads, dim);
  FULMEN_CHECK(log_sums.data == nullptr ||
                   (log_sums.rows == queries.rows && log_sums.cols == queries.cols / dim),
               "log_sums is [{}, {}] for {} rows of {} heads", log_sums.rows, log_sums.cols,
               queries.rows, queries.cols / dim);
  CheckSlices(slices, queries.rows);
  CheckKvCache(cache, slices);
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
  FULMEN_CHECK(
      out.rows == q.rows && out.cols == q.cols &&
          (log_sums.data == nullptr || (log_sums.rows == q.rows && log_sums.cols == q.cols / dim)),
      "out is [{}, {}], log_sums [{}, {}] for {} heads of {}", out.rows, out.cols, log_sums.rows,
      log_sums.cols, q.cols / dim, dim);
  CheckSlices({.starts = attention.starts, .positions = {}}, q.rows);
}

}  // namespace fulmen
