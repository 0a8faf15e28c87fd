#include "model/backward_pass.h"

#include <span>

namespace fulmen {
namespace {

std::span<float> Row(const Matrix& vector) {
  return {vector.data, static_cast<size_t>(vector.cols)};
}

}  // namespace

void BackwardPass::Layer(int64_t layer, const LayerActivations& a, ConstMatrix input,
                         const RouterLoss& loss, Matrix dhidden) const {
  const Workspace::Frame frame(compute_.context.scratch);
  Mlp(layer, a, loss, dhidden);
  Attention(layer, a, input, dhidden);
}

void BackwardPass::Norm(ConstMatrix x, const WeightMatrix& weight, const Matrix& dweight,
                        ConstMatrix dy, const SkipConnection& skip, Matrix dx) const {
  compute_.training->rms_norm_backward(compute_.context, x, weight, config_.rms_norm_epsilon, dy,
                                       skip, dx, Row(dweight));
}

ConstMatrix BackwardPass::Scaled(float factor, ConstMatrix x) const {
  if (factor == 1.0F) return x;
  const Matrix scaled = Allocate(x.rows, x.cols);
  compute_.kernels.residual(compute_.context, factor, x, 0.0F, x, scaled);
  return scaled;
}

void BackwardPass::Linear(ConstMatrix x, const WeightMatrix& weight, ConstMatrix dy,
                          const Matrix& dweight, bool add, Matrix dx) const {
  compute_.training->linear_backward_weight(compute_.context, x, dy, dweight);
  compute_.training->linear_backward_input(compute_.context, dy, weight, add, dx);
}

void BackwardPass::Join(const ResidualScale& scale, ConstMatrix x, const WeightMatrix& weight,
                        const Matrix& dweight, Matrix dnormed, Matrix dhidden) const {
  if (config_.post_norm) {
    Norm(x, weight, dweight, dnormed, {scale.alpha, dhidden}, dhidden);
  } else {
    Norm(x, weight, dweight, dnormed, {}, dnormed);
    compute_.kernels.residual(compute_.context, scale.alpha, dhidden, 1.0F, dnormed, dhidden);
  }
}

void BackwardPass::Mlp(int64_t layer, const LayerActivations& a, const RouterLoss& loss,
                       Matrix dhidden) const {
  const Workspace::Frame frame(compute_.context.scratch);
  const auto index = static_cast<size_t>(layer);
  const LayerWeights& weights = weights_.layers[index];
  const auto& gradients = gradients_.layers[index];
  const ConstMatrix dbranch = Scaled(config_.mlp_residual.beta, dhidden);
  const Matrix dnormed = Allocate(dhidden.rows, dhidden.cols);
  const Matrix drouting_weights = Allocate(dhidden.rows, config_.experts_per_token);
  const Matrix dlogits = Allocate(dhidden.rows, config_.experts);
  compute_.training->moe_backward(compute_.context, a.mlp_input, weights.experts, a.kept_experts,
                                  a.routing_weights, a.moe, dbranch, dnormed, drouting_weights,
                                  gradients.experts);
  compute_.training->top_k_router_backward(compute_.context, a.experts, a.routing_weights,
                                           drouting_weights, dlogits);
  compute_.training->router_loss_backward(compute_.context, a.router_logits, loss.coefficients,
                                          loss.z, dlogits);
  compute_.training->router_backward_weight(compute_.context, a.mlp_input, dlogits,
                                            gradients.router);
  compute_.training->router_backward_input(compute_.context, dlogits, weights.router, /*add=*/true,
                                           dnormed);
  Join(config_.mlp_residual, a.middle, weights.mlp_norm, gradients.mlp_norm, dnormed, dhidden);
}

void BackwardPass::Attention(int64_t layer, const LayerActivations& a, ConstMatrix input,
                             Matrix dhidden) const {
  const auto index = static_cast<size_t>(layer);
  const LayerWeights& weights = weights_.layers[index];
  const auto& gradients = gradients_.layers[index];
  const bool lightning = config_.layers[index] == LayerKind::kLightning;
  const ResidualScale& scale = lightning ? config_.lightning_residual : config_.softmax_residual;
  const ConstMatrix dbranch = Scaled(scale.beta, dhidden);
  const Matrix dnormed = Allocate(dhidden.rows, dhidden.cols);
  if (lightning) {
    Lightning(layer, a, dbranch, dnormed);
  } else {
    Softmax(layer, a, dbranch, dnormed);
  }
  Join(scale, input, weights.attention_norm, gradients.attention_norm, dnormed, dhidden);
}

void BackwardPass::Lightning(int64_t layer, const LayerActivations& a, ConstMatrix dbranch,
                             Matrix dnormed) const {
  const auto index = static_cast<size_t>(layer);
  const LayerWeights& weights = weights_.layers[index];
  const auto& gradients = gradients_.layers[index];
  const int64_t tokens = dbranch.rows;
  const Matrix dheads = Allocate(tokens, config_.attention_size());
  const Matrix dgate = Allocate(tokens, config_.attention_size());
  const Matrix gated = Allocate(tokens, config_.attention_size());
  compute_.training->linear_backward_input(compute_.context, dbranch, weights.attention_output,
                                           /*add=*/false, dheads);
  compute_.training->gated_rms_norm_backward(compute_.context, a.attended, weights.lightning_norm,
                                             ForwardPass::kLightningNormEpsilon, a.gate, dheads,
                                             dgate, gated, Row(gradients.lightning_norm));
  compute_.training->linear_backward_weight(compute_.context, gated, dbranch,
                                            gradients.attention_output);
  const Matrix dqkv = Allocate(tokens, a.qkv.cols);
  compute_.training->lightning_attention_backward(compute_.context, a.qkv, weights_.decay[index],
                                                  scope_.slices.starts, dheads, dqkv);
  Linear(a.attention_input, weights.qkv, dqkv, gradients.qkv, /*add=*/false, dnormed);
  Linear(a.attention_input, weights.output_gate, dgate, gradients.output_gate, /*add=*/true,
         dnormed);
}

void BackwardPass::Softmax(int64_t layer, const LayerActivations& a, ConstMatrix dbranch,
                           Matrix dnormed) const {
  const auto index = static_cast<size_t>(layer);
  const LayerWeights& weights = weights_.layers[index];
  const auto& gradients = gradients_.layers[index];
  const int64_t tokens = dbranch.rows;
  const Matrix dheads = Allocate(tokens, config_.attention_size());
  const Matrix dqueries = Allocate(tokens, config_.attention_size());
  const Matrix dkeys = Allocate(tokens, config_.kv_size());
  const Matrix dvalues = Allocate(tokens, config_.kv_size());
  Linear(a.attended, weights.attention_output, dbranch, gradients.attention_output,
         /*add=*/false, dheads);
  compute_.training->softmax_attention_backward(
      compute_.context, {a.queries, a.keys(), a.values(), config_.head_dim, scope_.slices.starts},
      a.attended, a.log_sums, dheads, dqueries, dkeys, dvalues);
  // A rotation's transpose is the rotation the other way.
  std::vector<float> reversed = weights_.inverse_frequencies;
  for (float& frequency : reversed) frequency = -frequency;
  compute_.kernels.rope(compute_.context, scope_.positions, reversed, config_.head_dim, dqueries);
  compute_.kernels.rope(compute_.context, scope_.positions, reversed, config_.head_dim, dkeys);
  Linear(a.attention_input, weights.query, dqueries, gradients.query, /*add=*/false, dnormed);
  Linear(a.attention_input, weights.key, dkeys, gradients.key, /*add=*/true, dnormed);
  Linear(a.attention_input, weights.value, dvalues, gradients.value, /*add=*/true, dnormed);
}

}  // namespace fulmen
