#include "kernels/cpu/packing.h"

#include <algorithm>

#include "base/check.h"

namespace fulmen::cpu {

std::span<const Document> LongestFirst(Workspace& workspace, std::span<const int64_t> starts,
                                       int64_t tokens) {
  FULMEN_CHECK(!starts.empty() && starts.front() == 0 && starts.back() == tokens,
               "document borders must rise from 0 to {}", tokens);
  Document* documents = workspace.Allocate<Document>(static_cast<int64_t>(starts.size()));
  size_t count = 0;
  for (size_t i = 0; i + 1 < starts.size(); ++i) {
    FULMEN_CHECK(starts[i] <= starts[i + 1], "document border {} is {}, the next one {}", i,
                 starts[i], starts[i + 1]);
    if (starts[i] == starts[i + 1]) continue;
    documents[count++] = {.first = starts[i], .tokens = starts[i + 1] - starts[i]};
  }
  std::sort(documents, documents + count, [](const Document& a, const Document& b) {
    return a.tokens != b.tokens ? a.tokens > b.tokens : a.first < b.first;
  });
  return {documents, count};
}

void CheckShapes(const PackedAttention& attention, ConstMatrix out, ConstMatrix log_sums) {
  const ConstMatrix& q = attention.queries;
  const ConstMatrix& k = attention.keys;
  FULMEN_CHECK(attention.head_dim > 0 && q.cols % attention.head_dim == 0 &&
                   k.cols % attention.head_dim == 0 && k.cols > 0 && q.cols % k.cols == 0,
               "queries are [{}, {}], keys [{}, {}] for heads of {}", q.rows, q.cols, k.rows,
               k.cols, attention.head_dim);
  FULMEN_CHECK(k.rows == q.rows && attention.values.rows == q.rows &&
                   attention.values.cols == k.cols && out.rows == q.rows && out.cols == q.cols &&
                   log_sums.rows == q.rows && log_sums.cols == q.cols / attention.head_dim,
               "queries are [{}, {}], values [{}, {}], out [{}, {}], log_sums [{}, {}]", q.rows,
               q.cols, attention.values.rows, attention.values.cols, out.rows, out.cols,
               log_sums.rows, log_sums.cols);
}

int64_t SeenPairs(std::span<const Document> documents) {
  int64_t pairs = 0;
  for (const Document& document : documents) {
    pairs += document.tokens * (document.tokens + 1) / 2;
  }
  return pairs;
}

}  // namespace fulmen::cpu
