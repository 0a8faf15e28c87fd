// What tests of training's softmax attention share.
#pragma once

#include "kernels/kernels.h"

namespace fulmen::testing {

// The forward pass of packed training.
inline void AttendPacked(const Kernels& kernels, KernelContext& context,
                         const PackedAttention& attention, Matrix out, Matrix log_sums) {
  const Slices slices = {attention.starts, {}};
  const int64_t kv_heads = attention.keys.cols / attention.head_dim;
  const Workspace::Frame frame(context.scratch);
  const BatchKv own(context.scratch, {DType::kF32, kv_heads, attention.head_dim}, slices);
  kernels.store_kv(context, attention.keys, attention.values, slices, own.cache());
  kernels.softmax_attention(context, attention.queries, own.cache(), slices, out, log_sums);
}

}  // namespace fulmen::testing
