// Documents packed end to end along a sequence, as the kernels of training share them out.
#pragma once

#include <cstdint>
#include <span>

#include "base/workspace.h"
#include "kernels/softmax_attention.h"

namespace fulmen::cpu {

struct Document {
  int64_t first;
  int64_t tokens;
};

// The documents between the borders `starts`, which must rise from 0 to `tokens`; the longest come
// first, so that threads end together. Empty ones are left out.
std::span<const Document> LongestFirst(Workspace& workspace, std::span<const int64_t> starts,
                                       int64_t tokens);

// Stops where shapes contradict each other; `out` and `log_sums` as in SoftmaxAttentionPackedFn.
void CheckShapes(const PackedAttention& attention, ConstMatrix out, ConstMatrix log_sums);

// Pairs of a query and a key it sees.
int64_t SeenPairs(std::span<const Document> documents);

}  // namespace fulmen::cpu
