// Causal softmax attention over a paged KV cache, with grouped keys (GQA).
#pragma once

#include <cstdint>
#include <span>

#include "base/matrix.h"
#include "kernels/context.h"

namespace fulmen {

// Read-only view of one layer's cached keys and values for one sequence. Position p lies in page
// p / page_tokens. A page is float32 keys [kv_heads, page_tokens, head_dim], then values of the
// same shape; entries past the sequence's end are undefined and must not influence any result.
struct KvPages {
  std::span<const float* const> pages;
  int64_t page_tokens = 0;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;

  const float* Keys(int64_t page, int64_t kv_head) const {
    return pages[static_cast<size_t>(page)] + kv_head * page_tokens * head_dim;
  }
  const float* Values(int64_t page, int64_t kv_head) const {
    return Keys(page, kv_heads + kv_head);
  }
};

// queries [T, heads * head_dim], already rotated; query t stands at position first_position + t and
// sees cached positions 0 .. first_position + t, which must all be in `kv`. Head h reads KV head
// h / (heads / kv_heads). Scores are scaled by 1/sqrt(head_dim). out [T, heads * head_dim].
// Memory is bounded whatever the context: no T x context matrix is ever held.
using SoftmaxAttentionFn = void (*)(KernelContext&, ConstMatrix queries, const KvPages& kv,
                                    int64_t first_position, Matrix out);

// Training: documents packed end to end, with borders `starts` rising from 0 to T; a query sees its
// own document up to itself. Queries [T, heads * head_dim] and keys [T, kv_heads * head_dim] are
// already rotated; values as keys.
struct PackedAttention {
  ConstMatrix queries;
  ConstMatrix keys;
  ConstMatrix values;
  int64_t head_dim = 0;
  std::span<const int64_t> starts;
};

// out [T, heads * head_dim]; log_sums [T, heads]: log of the sum of exp(score), which the backward
// pass needs. No T x T matrix is held.
using SoftmaxAttentionPackedFn = void (*)(KernelContext&, const PackedAttention& attention,
                                          Matrix out, Matrix log_sums);

// Gradients with respect to queries, keys and values, overwritten, given dout and what the forward
// pass left. The probabilities are computed again, block by block. Dao, "FlashAttention-2" (2023),
// algorithm 2.
using SoftmaxAttentionBackwardFn = void (*)(KernelContext&, const PackedAttention& attention,
                                            ConstMatrix out, ConstMatrix log_sums, ConstMatrix dout,
                                            Matrix dqueries, Matrix dkeys, Matrix dvalues);

}  // namespace fulmen
