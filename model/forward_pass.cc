#include "model/forward_pass.h"

#include <algorithm>

namespace fulmen {

AttentionOutput ForwardPass::AllocateAttentionOutput(int64_t layer, int64_t tokens) const {
  if (IsLightning(layer)) return {};
  return {Allocate(tokens, config_.attention_size()), Allocate(tokens, config_.heads)};
}

LayerActivations ForwardPass::AllocateActivations(int64_t layer, int64_t tokens,
                                                  const AttentionOutput& keep) const {
  const auto choices = [&] {
    auto* data = context_.scratch.Allocate<int32_t>(tokens * config_.experts_per_token);
    return MatrixView<int32_t>(data, tokens, config_.experts_per_token);
  };
  LayerActivations a;
  a.attention_input = Allocate(tokens, config_.hidden_size);
  if (IsLightning(layer)) {
    a.qkv = Allocate(tokens, 3 * config_.attention_size());
    a.gate = Allocate(tokens, config_.attention_size());
  } else {
    a.queries = Allocate(tokens, config_.attention_size());
    a.keys = Allocate(tokens, config_.kv_size());
    a.values = Allocate(tokens, config_.kv_size());
    a.log_sums = keep.log_sums;
    if (trains() && a.log_sums.data == nullptr) a.log_sums = Allocate(tokens, config_.heads);
  }
  a.heads = keep.heads;
  if (a.heads.data == nullptr) a.heads = Allocate(tokens, config_.attention_size());
  a.mlp_input = Allocate(tokens, config_.hidden_size);
  a.router_logits = Allocate(tokens, config_.experts);
  a.experts = choices();
  a.kept_experts = scope_.capacity != nullptr ? choices() : a.experts;
  a.expert_weights = Allocate(tokens, config_.experts_per_token);
  if (trains()) {
    const int64_t slots = tokens * config_.experts_per_token;
    a.moe = {Allocate(slots, config_.ffn_size), Allocate(slots, config_.ffn_size)};
  }
  return a;
}

Result<LayerActivations> ForwardPass::Layer(int64_t layer, ConstMatrix input, Matrix output,
                                            const AttentionOutput& keep) const {
  LayerActivations a = AllocateActivations(layer, input.rows, keep);
  a.middle = trains() ? Allocate(input.rows, input.cols) : output;
  Attention(layer, input, /*known=*/false, a);
  FULMEN_TRY(Mlp(layer, a, output));
  if (kernels_.all_finite(context_, output)) return a;
  return Fail(ErrorCode::kNonFinite,
              "layer {} ({}) gave NaN or infinity at a position in {}..{} ({})", layer,
              IsLightning(layer) ? "lightning" : "softmax",
              *std::ranges::min_element(scope_.positions),
              *std::ranges::max_element(scope_.positions), kNonFiniteHint);
}

Result<LayerActivations> ForwardPass::Recompute(int64_t layer, ConstMatrix input,
                                                const AttentionOutput& kept) const {
  LayerActivations a = AllocateActivations(layer, input.rows, kept);
  a.middle = Allocate(input.rows, input.cols);
  Attention(layer, input, /*known=*/kept.heads.data != nullptr, a);
  FULMEN_TRY(Mlp(layer, a, {}));
  return a;
}

// output = alpha * (normed or x) + beta * branch. MiniMax-01 report, section 4.2.
void ForwardPass::AddBranch(const ResidualScale& scale, ConstMatrix x, ConstMatrix normed,
                            ConstMatrix branch, Matrix output) const {
  kernels_.residual(context_, scale.alpha, config_.post_norm ? normed : x, scale.beta, branch,
                    output);
}

void ForwardPass::Attention(int64_t layer, ConstMatrix input, bool known,
                            const LayerActivations& a) const {
  const Workspace::Frame frame(context_.scratch);
  const LayerWeights& weights = weights_.layers[static_cast<size_t>(layer)];
  const Matrix branch = Allocate(input.rows, config_.hidden_size);
  Norm(input, weights.attention_norm, a.attention_input);
  if (IsLightning(layer)) {
    Lightning(layer, a, branch);
  } else {
    Softmax(layer, a, known, branch);
  }
  AddBranch(IsLightning(layer) ? config_.lightning_residual : config_.softmax_residual, input,
            a.attention_input, branch, a.middle);
}

// branch = W_o (norm(attention(silu(W_qkv x))) * sigmoid(W_g x)). MiniMax-01 report, section 2.2.
void ForwardPass::Lightning(int64_t layer, const LayerActivations& a, Matrix branch) const {
  const LayerWeights& weights = weights_.layers[static_cast<size_t>(layer)];
  const std::vector<float>& decay = weights_.decay[static_cast<size_t>(layer)];
  Linear(a.attention_input, {{weights.qkv, a.qkv}, {weights.output_gate, a.gate}});
  Matrix gated = a.heads;
  if (trains()) {
    scope_.training->lightning_attention_packed(context_, a.qkv, decay, scope_.starts, a.heads);
    gated = Allocate(branch.rows, config_.attention_size());
  } else {
    kernels_.silu(context_, a.qkv, a.qkv);
    kernels_.lightning_attention(context_, a.qkv, decay, scope_.state->lightning(layer), a.heads);
  }
  kernels_.gated_rms_norm(context_, a.heads, weights.lightning_norm, kLightningNormEpsilon, a.gate,
                          gated);
  Linear(gated, {{weights.attention_output, branch}});
}

void ForwardPass::Softmax(int64_t layer, const LayerActivations& a, bool known,
                          Matrix branch) const {
  const LayerWeights& weights = weights_.layers[static_cast<size_t>(layer)];
  Linear(a.attention_input,
         {{weights.query, a.queries}, {weights.key, a.keys}, {weights.value, a.values}});
  kernels_.rope(context_, scope_.positions, weights_.inverse_frequencies, config_.head_dim,
                a.queries);
  kernels_.rope(context_, scope_.positions, weights_.inverse_frequencies, config_.head_dim, a.keys);
  if (!known && trains()) {
    scope_.training->softmax_attention_packed(
        context_, {a.queries, a.keys, a.values, config_.head_dim, scope_.starts}, a.heads,
        a.log_sums);
  } else if (!known) {
    scope_.state->StoreKv(layer, a.keys, a.values);
    kernels_.softmax_attention(context_, a.queries, scope_.state->kv(layer),
                               scope_.state->position(), a.heads);
  }
  Linear(a.heads, {{weights.attention_output, branch}});
}

Status ForwardPass::Mlp(int64_t layer, const LayerActivations& a, Matrix output) const {
  const Workspace::Frame frame(context_.scratch);
  const LayerWeights& weights = weights_.layers[static_cast<size_t>(layer)];
  const bool wanted = output.data != nullptr;
  const Matrix branch = wanted ? Allocate(output.rows, config_.hidden_size) : Matrix();
  Norm(a.middle, weights.mlp_norm, a.mlp_input);
  kernels_.linear(context_, a.mlp_input, {{weights.router, a.router_logits}});
  kernels_.top_k_router(context_, a.router_logits, a.experts, a.expert_weights);
  if (trains()) {
    if (scope_.capacity != nullptr) {
      FULMEN_TRY(scope_.capacity->Drop(layer, a.experts, a.kept_experts));
    }
    scope_.training->moe_train(context_, a.mlp_input, weights.experts, a.kept_experts,
                               a.expert_weights, a.moe, branch);
  } else {
    kernels_.moe(context_, a.mlp_input, weights.experts, a.experts, a.expert_weights, branch);
  }
  if (wanted) AddBranch(config_.mlp_residual, a.middle, a.mlp_input, branch, output);
  return {};
}

}  // namespace fulmen
