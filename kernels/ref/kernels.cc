#include "kernels/kernels.h"

#include "kernels/ref/training_operations.h"

namespace fulmen {

const Kernels& RefKernels() {
  static const Kernels kernels = {
      .name = "ref",
      .embedding = ref::Embedding,
      .rms_norm = ref::RmsNorm,
      .gated_rms_norm = ref::GatedRmsNorm,
      .residual = ref::Residual,
      .row_health = ref::CheckRows,
      .gather_rows = ref::GatherRows,
      .copy = ref::Copy,
      .linear = ref::Linear,
      .router_logits = ref::Linear,
      .rope = ref::Rope,
      .lightning_attention = ref::LightningAttention,
      .lightning_state = ref::LightningState,
      .store_kv = ref::StoreKv,
      .softmax_attention = ref::SoftmaxAttention,
      .top_k_router = ref::TopKRouter,
      .moe = ref::Moe<Precision::kFloat32>,
  };
  return kernels;
}

}  // namespace fulmen
