#include "kernels/training.h"

#include "kernels/ref/operations.h"
#include "kernels/ref/training_operations.h"

namespace fulmen {

const TrainingKernels& RefTrainingKernels() {
  static const TrainingKernels kernels = {
      .rms_norm_backward = ref::RmsNormBackward,
      .silu_backward = ref::SiluBackward,
      .sigmoid_gate_backward = ref::SigmoidGateBackward,
      .embedding_backward = ref::EmbeddingBackward,
      .linear = ref::Linear,
      .linear_backward_input = ref::LinearBackwardInput,
      .linear_backward_weight = ref::LinearBackwardWeight,
      .lightning_attention_packed = ref::LightningAttentionPacked,
      .lightning_attention_backward = ref::LightningAttentionBackward,
      .softmax_attention_packed = ref::SoftmaxAttentionPacked,
      .softmax_attention_backward = ref::SoftmaxAttentionBackward,
      .top_k_router_backward = ref::TopKRouterBackward,
      .router_statistics = ref::CountRouterStatistics,
      .router_loss_backward = ref::RouterLossBackward,
      .moe_train = ref::MoeTrain,
      .moe_backward = ref::MoeBackward,
      .cross_entropy = ref::CrossEntropy,
      .adamw = ref::AdamW,
      .squared_norm = ref::SquaredNorm,
  };
  return kernels;
}

}  // namespace fulmen
