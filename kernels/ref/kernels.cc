#include "kernels/kernels.h"

#include "kernels/ref/operations.h"
#include "kernels/ref/training_operations.h"
#include "kernels/training_kernels.h"

namespace fulmen {
namespace {

template <Precision kPrecision>
Kernels Forward() {
  Kernels kernels = RefKernels();
  kernels.linear = ref::kLinear<kPrecision>;
  kernels.moe = ref::Moe<kPrecision>;
  return kernels;
}

template <Precision kPrecision>
const TrainingKernels& Table() {
  static const TrainingKernels kernels = {
      .forward = Forward<kPrecision>(),
      .rms_norm_backward = ref::RmsNormBackward,
      .gated_rms_norm_backward = ref::GatedRmsNormBackward,
      .layer_norm_backward = ref::LayerNormBackward,
      .add_bias_backward = ref::AddBiasBackward,
      .bias_gelu_backward = ref::BiasGeluBackward,
      .embedding_backward = ref::EmbeddingBackward,
      .linear_backward_input = ref::kLinearBackwardInput<kPrecision>,
      .linear_backward_weight = ref::kLinearBackwardWeight<kPrecision>,
      .router_backward_input = ref::LinearBackwardInput,
      .router_backward_weight = ref::LinearBackwardWeight,
      .lightning_attention_backward = ref::LightningAttentionBackward,
      .softmax_attention_backward = ref::SoftmaxAttentionBackward,
      .bidirectional_attention_backward = ref::BidirectionalAttentionBackward,
      .top_k_router_backward = ref::TopKRouterBackward,
      .router_statistics = ref::CountRouterStatistics,
      .router_loss_backward = ref::RouterLossBackward,
      .moe_backward = ref::MoeBackward<kPrecision>,
      .cross_entropy = ref::CrossEntropy<kPrecision>,
      .adamw = ref::AdamW,
      .squared_norm = ref::SquaredNorm,
  };
  return kernels;
}

}  // namespace

const Kernels& RefKernels() {
  static const Kernels kernels = {
      .name = "ref",
      .embedding = ref::Embedding,
      .rms_norm = ref::RmsNorm,
      .gated_rms_norm = ref::GatedRmsNorm,
      .layer_norm = ref::LayerNorm,
      .add_bias = ref::AddBias,
      .bias_gelu = ref::BiasGelu,
      .residual = ref::Residual,
      .row_health = ref::CheckRows,
      .gather_rows = ref::GatherRows,
      .copy = ref::Copy,
      .linear = ref::Linear,
      .router_logits = ref::Linear,
      .repacked_bytes = ref::RepackedBytes,
      .repack = ref::Repack,
      .rope = ref::Rope,
      .lightning_attention = ref::LightningAttention,
      .lightning_state = ref::LightningState,
      .store_kv = ref::StoreKv,
      .softmax_attention = ref::SoftmaxAttention,
      .bidirectional_attention = ref::BidirectionalAttention,
      .top_k_router = ref::TopKRouter,
      .moe = ref::Moe<Precision::kFloat32>,
  };
  return kernels;
}

const TrainingKernels& RefTrainingKernels(Precision precision) {
  return precision == Precision::kFloat32 ? Table<Precision::kFloat32>()
                                          : Table<Precision::kBFloat16>();
}

}  // namespace fulmen
