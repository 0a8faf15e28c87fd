// Softmax attention with grouped keys (GQA): causal over a paged KV cache, and of whole slices.
#pragma once

#include <cstdint>
#include <span>

#include "base/matrix.h"
#include "kernels/context.h"
#include "kernels/kv_cache.h"
#include "kernels/slices.h"

namespace fulmen {

// Writes keys and values [T, kv_heads * head_dim] to the positions of their slices, whose pages
// must be there, in the type of the cache. Keys are already rotated.
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

// Slices that begin their sequences, with borders `starts`, and of which no keys are kept. Queries
// [T, heads * head_dim] and keys [T, kv_heads * head_dim] are already rotated, where they are at
// all; values as keys. Head h reads KV head h / (heads / kv_heads).
struct PackedAttention {
  ConstMatrix queries;
  ConstMatrix keys;
  ConstMatrix values;
  int64_t head_dim = 0;
  std::span<const int64_t> starts;
};

// Every query sees all keys of its slice: the attention of encoders, of images among others.
// Scores, out, log_sums and bounded memory as in softmax_attention. The bits of a slice depend on
// nothing but its rows. Vaswani et al., "Attention Is All You Need" (2017), section 3.2.
using BidirectionalAttentionFn = void (*)(KernelContext&, const PackedAttention& attention,
                                          Matrix out, Matrix log_sums);

// Gradients of softmax_attention, and of bidirectional_attention, with respect to queries, keys and
// values, overwritten, given dout and what the forward
// pass left; log_sums is not empty. The probabilities are computed again, block by block. Dao,
// "FlashAttention-2" (2023), algorithm 2.
using SoftmaxAttentionBackwardFn = void (*)(KernelContext&, const PackedAttention& attention,
                                            ConstMatrix out, ConstMatrix log_sums, ConstMatrix dout,
                                            Matrix dqueries, Matrix dkeys, Matrix dvalues);

// As CheckSoftmax; log_sums may be empty.
void CheckPacked(const PackedAttention& attention, ConstMatrix out, ConstMatrix log_sums);

}  // namespace fulmen
