// The operations of training as one table: those of kernels.h, and what it needs besides.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/status.h"
#include "kernels/adamw.h"
#include "kernels/cross_entropy.h"
#include "kernels/kernels.h"

namespace fulmen {

// What operands of dense products are rounded to before they are multiplied. Sums are float32, as
// is everything else: norms, router, attention between its projections, softmax, optimizer.
enum class Precision : uint8_t { kFloat32, kBFloat16 };

struct TrainingKernels {
  // Those of kernels.h, but linear and moe are of the precision, and made for many rows: the order
  // of their sums is their own.
  Kernels forward;
  RmsNormBackwardFn rms_norm_backward = nullptr;
  GatedRmsNormBackwardFn gated_rms_norm_backward = nullptr;
  LayerNormBackwardFn layer_norm_backward = nullptr;
  AddBiasBackwardFn add_bias_backward = nullptr;
  BiasGeluBackwardFn bias_gelu_backward = nullptr;
  EmbeddingBackwardFn embedding_backward = nullptr;
  LinearBackwardInputFn linear_backward_input = nullptr;
  LinearBackwardWeightFn linear_backward_weight = nullptr;
  // The backward pass of router_logits, float32 whatever the precision.
  LinearBackwardInputFn router_backward_input = nullptr;
  LinearBackwardWeightFn router_backward_weight = nullptr;
  LightningAttentionBackwardFn lightning_attention_backward = nullptr;
  SoftmaxAttentionBackwardFn softmax_attention_backward = nullptr;
  SoftmaxAttentionBackwardFn bidirectional_attention_backward = nullptr;
  TopKRouterBackwardFn top_k_router_backward = nullptr;
  RouterStatisticsFn router_statistics = nullptr;
  RouterLossBackwardFn router_loss_backward = nullptr;
  MoeBackwardFn moe_backward = nullptr;
  CrossEntropyFn cross_entropy = nullptr;
  AdamWFn adamw = nullptr;
  SquaredNormFn squared_norm = nullptr;
};

const TrainingKernels& RefTrainingKernels(Precision precision = Precision::kFloat32);
// Of the instruction set CpuKernels() chose; checked and failing as there.
Result<const TrainingKernels*> CpuTrainingKernels(Precision precision = Precision::kFloat32);
// As SelectKernels.
Result<const TrainingKernels*> SelectTrainingKernels(std::string_view name,
                                                     Precision precision = Precision::kFloat32);
// "float32" or "bfloat16".
Result<Precision> PrecisionFromName(std::string_view name);

}  // namespace fulmen
