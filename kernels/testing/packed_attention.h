// What tests of softmax attention over slices that nobody keeps share.
#pragma once

#include <string>

#include "kernels/training_kernels.h"

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

enum class Mask : uint8_t { kCausal, kNone };
inline constexpr Mask kMasks[] = {Mask::kCausal, Mask::kNone};

inline std::string MaskName(Mask mask) { return mask == Mask::kCausal ? "causal" : "unmasked"; }

inline void AttendPacked(Mask mask, const Kernels& kernels, KernelContext& context,
                         const PackedAttention& attention, Matrix out, Matrix log_sums) {
  if (mask == Mask::kCausal) return AttendPacked(kernels, context, attention, out, log_sums);
  kernels.bidirectional_attention(context, attention, out, log_sums);
}

inline SoftmaxAttentionBackwardFn BackwardOf(Mask mask, const TrainingKernels& kernels) {
  return mask == Mask::kCausal ? kernels.softmax_attention_backward
                               : kernels.bidirectional_attention_backward;
}

}  // namespace fulmen::testing
