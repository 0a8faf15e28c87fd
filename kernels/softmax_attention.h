// Causal softmax attention with grouped keys (GQA), over a paged KV cache or a batch's own rows.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/matrix.h"
#include "kernels/context.h"
#include "kernels/slices.h"

namespace fulmen {

// Where the keys and values of one layer lie for the sequences of a batch. Position p of a sequence
// lies in its page p / page_tokens, at place p % page_tokens. Entries past a sequence's end are
// undefined and must not influence any result. All offsets and strides count floats.
struct KvCache {
  std::span<const std::span<float* const>> pages;  // [S], of each slice's sequence, in order
  int64_t page_tokens = 0;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  int64_t keys = 0;    // from the start of a page to its keys
  int64_t values = 0;  // and to its values
  int64_t head_stride = 0;
  int64_t token_stride = 0;

  // Keys and values of one head at `position`; those behind it on its page follow token_stride
  // apart.
  float* Keys(int64_t slice, int64_t position, int64_t kv_head) const {
    return Page(slice, position / page_tokens) + keys + kv_head * head_stride +
           position % page_tokens * token_stride;
  }
  float* Values(int64_t slice, int64_t position, int64_t kv_head) const {
    return Keys(slice, position, kv_head) - keys + values;
  }

 private:
  float* Page(int64_t slice, int64_t page) const {
    return pages[static_cast<size_t>(slice)][static_cast<size_t>(page)];
  }
};

// The cache of slices that begin their sequences and are not kept: the keys and values of the batch
// themselves, each slice one page. `kv` [T, 2 * kv_heads * head_dim] has them side by side; it must
// live as long.
class BatchKv {
 public:
  BatchKv(Matrix kv, int64_t kv_heads, const Slices& slices);
  BatchKv(const BatchKv&) = delete;
  BatchKv& operator=(const BatchKv&) = delete;

  const KvCache& cache() const { return cache_; }

 private:
  std::vector<float*> rows_;                    // [S]: the first of each slice
  std::vector<std::span<float* const>> pages_;  // [S]
  KvCache cache_;
};

// Writes keys and values [T, kv_heads * head_dim] to the positions of their slices, whose pages
// must be there. Keys are already rotated.
using StoreKvFn = void (*)(KernelContext&, ConstMatrix keys, ConstMatrix values,
                           const Slices& slices, const KvCache& cache);

// queries [T, heads * head_dim], already rotated; the query at position p of its sequence sees
// positions 0 .. p, which must all be in `cache`. Head h reads KV head h / (heads / kv_heads).
// Scores are scaled by 1/sqrt(head_dim). out [T, heads * head_dim]; log_sums [T, heads], where it
// is not empty: log of the sum of exp(score), which the backward pass needs. Memory is bounded
// whatever the context: no T x context matrix is ever held. A token's bits depend on its own
// sequence up to it and on nothing else, as in lightning_attention.h.
using SoftmaxAttentionFn = void (*)(KernelContext&, ConstMatrix queries, const KvCache& cache,
                                    const Slices& slices, Matrix out, Matrix log_sums);

// Stops where shapes contradict each other, or positions have no page.
void CheckSoftmax(ConstMatrix queries, const KvCache& cache, const Slices& slices, ConstMatrix out,
                  ConstMatrix log_sums);

// Training: slices that begin their sequences, with borders `starts`. Queries [T, heads * head_dim]
// and keys [T, kv_heads * head_dim] are already rotated; values as keys.
struct PackedAttention {
  ConstMatrix queries;
  ConstMatrix keys;
  ConstMatrix values;
  int64_t head_dim = 0;
  std::span<const int64_t> starts;
};

// Gradients with respect to queries, keys and values, overwritten, given dout and what the forward
// pass left. The probabilities are computed again, block by block. Dao, "FlashAttention-2" (2023),
// algorithm 2.
using SoftmaxAttentionBackwardFn = void (*)(KernelContext&, const PackedAttention& attention,
                                            ConstMatrix out, ConstMatrix log_sums, ConstMatrix dout,
                                            Matrix dqueries, Matrix dkeys, Matrix dvalues);

// As CheckSoftmax.
void CheckPacked(const PackedAttention& attention, ConstMatrix out, ConstMatrix log_sums);

}  // namespace fulmen
