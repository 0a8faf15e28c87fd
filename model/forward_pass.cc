#include "model/forward_pass.h"

#include <algorithm>

namespace fulmen {

Matrix ForwardPass::Copy(ConstMatrix x) const {
  Matrix copy = Allocate(x.rows, x.cols);
  std::copy_n(x.data, x.rows * x.cols, copy.data);
  return copy;
}

Result<LayerActivations> ForwardPass::Layer(int64_t layer, Matrix hidden) const {
  LayerActivations a;
  Attention(layer, hidden, a);
  if (keeps()) a.middle = Copy(hidden);
  Mlp(layer, hidden, a);
  if (kernels_.all_finite(context_, hidden)) return a;
  return Fail(
      ErrorCode::kNonFinite, "layer {} ({}) gave NaN or infinity at a position in {}..{}", layer,
      config_.layers[static_cast<size_t>(layer)] == LayerKind::kLightning ? "lightning" : "softmax",
      scope_.positions.front(), scope_.positions.back());
}

// h <- alpha * (normed or h) + beta * branch. MiniMax-01 report, section 4.2.
void ForwardPass::AddBranch(const ResidualScale& scale, ConstMatrix normed, ConstMatrix branch,
                            Matrix hidden) const {
  kernels_.residual(context_, scale.alpha, config_.post_norm ? normed : hidden, scale.beta, branch,
                    hidden);
}

void ForwardPass::Attention(int64_t layer, Matrix hidden, LayerActivations& a) const {
  const LayerWeights& weights = weights_.layers[static_cast<size_t>(layer)];
  a.attention_input = Allocate(hidden.rows, config_.hidden_size);
  Norm(hidden, weights.attention_norm, a.attention_input);
  a.heads = Allocate(hidden.rows, config_.attention_size());
  Matrix branch = Allocate(hidden.rows, config_.hidden_size);
  const bool lightning = config_.layers[static_cast<size_t>(layer)] == LayerKind::kLightning;
  if (lightning) {
    Lightning(layer, a, branch);
  } else {
    Softmax(layer, a, branch);
  }
  AddBranch(lightning ? config_.lightning_residual : config_.softmax_residual, a.attention_input,
            branch, hidden);
}

// branch = W_o (norm(attention(silu(W_qkv x))) * sigmoid(W_g x)). MiniMax-01 report, section 2.2.
void ForwardPass::Lightning(int64_t layer, LayerActivations& a, Matrix branch) const {
  const LayerWeights& weights = weights_.layers[static_cast<size_t>(layer)];
  const std::vector<float>& decay = weights_.decay[static_cast<size_t>(layer)];
  a.qkv = Allocate(branch.rows, 3 * config_.attention_size());
  a.gate = Allocate(branch.rows, config_.attention_size());
  kernels_.linear(context_, a.attention_input, weights.qkv, a.qkv);
  kernels_.linear(context_, a.attention_input, weights.output_gate, a.gate);
  Matrix gated = a.heads;
  if (keeps()) {
    const Matrix activated = Copy(a.qkv);
    kernels_.silu(context_, activated);
    scope_.training->lightning_attention_packed(context_, activated, decay, scope_.starts, a.heads);
    gated = Allocate(branch.rows, config_.attention_size());
  } else {
    kernels_.silu(context_, a.qkv);
    kernels_.lightning_attention(context_, a.qkv, decay, scope_.state->lightning(layer), a.heads);
  }
  kernels_.rms_norm(context_, a.heads, weights.lightning_norm, kLightningNormEpsilon, gated);
  kernels_.sigmoid_gate(context_, a.gate, gated);
  kernels_.linear(context_, gated, weights.attention_output, branch);
}

void ForwardPass::Softmax(int64_t layer, LayerActivations& a, Matrix branch) const {
  const LayerWeights& weights = weights_.layers[static_cast<size_t>(layer)];
  a.queries = Allocate(branch.rows, config_.attention_size());
  a.keys = Allocate(branch.rows, config_.kv_size());
  a.values = Allocate(branch.rows, config_.kv_size());
  kernels_.linear(context_, a.attention_input, weights.query, a.queries);
  kernels_.linear(context_, a.attention_input, weights.key, a.keys);
  kernels_.linear(context_, a.attention_input, weights.value, a.values);
  kernels_.rope(context_, scope_.positions, weights_.inverse_frequencies, config_.head_dim,
                a.queries);
  kernels_.rope(context_, scope_.positions, weights_.inverse_frequencies, config_.head_dim, a.keys);
  if (keeps()) {
    a.log_sums = Allocate(branch.rows, config_.heads);
    scope_.training->softmax_attention_packed(
        context_, {a.queries, a.keys, a.values, config_.head_dim, scope_.starts}, a.heads,
        a.log_sums);
  } else {
    scope_.state->StoreKv(layer, a.keys, a.values);
    kernels_.softmax_attention(context_, a.queries, scope_.state->kv(layer),
                               scope_.state->position(), a.heads);
  }
  kernels_.linear(context_, a.heads, weights.attention_output, branch);
}

void ForwardPass::Mlp(int64_t layer, Matrix hidden, LayerActivations& a) const {
  const LayerWeights& weights = weights_.layers[static_cast<size_t>(layer)];
  const int64_t tokens = hidden.rows;
  const int64_t k = config_.experts_per_token;
  a.mlp_input = Allocate(tokens, config_.hidden_size);
  a.router_logits = Allocate(tokens, config_.experts);
  a.expert_weights = Allocate(tokens, k);
  a.experts = MatrixView<int32_t>(context_.scratch.Allocate<int32_t>(tokens * k), tokens, k);
  Matrix branch = Allocate(tokens, config_.hidden_size);
  Norm(hidden, weights.mlp_norm, a.mlp_input);
  kernels_.linear(context_, a.mlp_input, weights.router, a.router_logits);
  kernels_.top_k_router(context_, a.router_logits, a.experts, a.expert_weights);
  if (keeps()) {
    a.moe = {Allocate(tokens * k, config_.ffn_size), Allocate(tokens * k, config_.ffn_size)};
    scope_.training->moe_train(context_, a.mlp_input, weights.experts, a.experts, a.expert_weights,
                               a.moe, branch);
  } else {
    kernels_.moe(context_, a.mlp_input, weights.experts, a.experts, a.expert_weights, branch);
  }
  AddBranch(config_.mlp_residual, a.mlp_input, branch, hidden);
}

}  // namespace fulmen
