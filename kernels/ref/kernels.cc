#include "kernels/kernels.h"

#include "kernels/ref/operations.h"

namespace fulmen {

const Kernels& RefKernels() {
  static const Kernels kernels = {
      .name = "ref",
      .embedding = ref::Embedding,
      .rms_norm = ref::RmsNorm,
      .silu = ref::Silu,
      .gated_rms_norm = ref::GatedRmsNorm,
      .residual = ref::Residual,
      .all_finite = ref::AllFinite,
      .linear = ref::Linear,
      .rope = ref::Rope,
      .lightning_attention = ref::LightningAttention,
      .softmax_attention = ref::SoftmaxAttention,
      .top_k_router = ref::TopKRouter,
      .moe = ref::Moe,
  };
  return kernels;
}

}  // namespace fulmen
