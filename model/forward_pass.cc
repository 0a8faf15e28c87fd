#include "model/forward_pass.h"

#include <fmt/core.h>

#include <algorithm>

namespace fulmen {

ForwardPass::ForwardPass(const Config& config, const Weights& weights, const Compute& compute,
                         const BatchScope& scope)
    : config_(config), weights_(weights), compute_(compute), scope_(scope) {
  for (const SequenceState* sequence : scope.sequences) pages_.push_back(sequence->pages());
}

AttentionOutput ForwardPass::AllocateAttentionOutput(int64_t layer, int64_t tokens) const {
  if (IsLightning(layer)) return {};
  return {Allocate(tokens, config_.attention_size()), Allocate(tokens, config_.heads)};
}

LayerActivations ForwardPass::AllocateActivations(int64_t layer, int64_t tokens,
                                                  const AttentionOutput& keep) const {
  const auto choices = [&] {
    auto* data = compute_.context.scratch.Allocate<int32_t>(tokens * config_.experts_per_token);
    return MatrixView<int32_t>(data, tokens, config_.experts_per_token);
  };
  LayerActivations a;
  a.attention_input = Allocate(tokens, config_.hidden_size);
  if (IsLightning(layer)) {
    a.qkv = Allocate(tokens, 3 * config_.attention_size());
    a.gate = Allocate(tokens, config_.attention_size());
  } else {
    a.queries = Allocate(tokens, config_.attention_size());
    a.kv = Allocate(tokens, 2 * config_.kv_size());
    a.log_sums = keep.log_sums;
    if (scope_.keep_activations && a.log_sums.data == nullptr) {
      a.log_sums = Allocate(tokens, config_.heads);
    }
  }
  a.attended = keep.attended;
  if (a.attended.data == nullptr) a.attended = Allocate(tokens, config_.attention_size());
  a.mlp_input = Allocate(tokens, config_.hidden_size);
  a.router_logits = Allocate(tokens, config_.experts);
  a.experts = choices();
  a.kept_experts = scope_.capacity != nullptr ? choices() : a.experts;
  a.routing_weights = Allocate(tokens, config_.experts_per_token);
  if (scope_.keep_activations || scope_.keep_moe) {
    const int64_t slots = tokens * config_.experts_per_token;
    a.moe = {Allocate(slots, config_.ffn_size), Allocate(slots, config_.ffn_size)};
  }
  return a;
}

Result<LayerActivations> ForwardPass::Layer(int64_t layer, ConstMatrix input, Matrix output,
                                            const AttentionOutput& keep) const {
  LayerActivations a = AllocateActivations(layer, input.rows, keep);
  a.middle = scope_.keep_activations ? Allocate(input.rows, input.cols) : output;
  Attention(layer, input, /*known=*/false, a);
  FULMEN_TRY(Mlp(layer, a, output));
  return a;
}

Result<LayerActivations> ForwardPass::Recompute(int64_t layer, ConstMatrix input,
                                                const AttentionOutput& kept) const {
  LayerActivations a = AllocateActivations(layer, input.rows, kept);
  a.middle = Allocate(input.rows, input.cols);
  Attention(layer, input, /*known=*/kept.attended.data != nullptr, a);
  FULMEN_TRY(Mlp(layer, a, {}));
  return a;
}

// output = alpha * (normed or x) + beta * branch. MiniMax-01 report, section 4.2.
void ForwardPass::AddBranch(const ResidualScale& scale, ConstMatrix x, ConstMatrix normed,
                            ConstMatrix branch, Matrix output) const {
  compute_.kernels.residual(compute_.context, scale.alpha, config_.post_norm ? normed : x,
                            scale.beta, branch, output);
}

void ForwardPass::Attention(int64_t layer, ConstMatrix input, bool known,
                            const LayerActivations& a) const {
  const Workspace::Frame frame(compute_.context.scratch);
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
  Linear(a.attention_input, {{weights.qkv, a.qkv}, {weights.output_gate, a.gate}});
  AttendLightning(layer, a);
  const Matrix gated =
      scope_.keep_activations ? Allocate(branch.rows, config_.attention_size()) : a.attended;
  compute_.kernels.gated_rms_norm(compute_.context, a.attended, weights.lightning_norm,
                                  kLightningNormEpsilon, a.gate, gated);
  Linear(gated, {{weights.attention_output, branch}});
}

// A sequence's memory is what it is between two tokens, so for a fork the rows are taken up to
// there, and the rest after it.
void ForwardPass::AttendLightning(int64_t layer, const LayerActivations& a) const {
  int64_t first = 0;
  for (const ForkPoint& point : scope_.forks) {
    AttendLightningRows(layer, a, first, point.row);
    compute_.kernels.copy(compute_.context, std::as_bytes(point.sequence->lightning(layer)),
                          std::as_writable_bytes(point.fork->lightning(layer)));
    first = point.row;
  }
  AttendLightningRows(layer, a, first, a.qkv.rows);
}

void ForwardPass::AttendLightningRows(int64_t layer, const LayerActivations& a, int64_t first,
                                      int64_t last) const {
  if (first == last) return;
  std::vector<int64_t> starts = {0};
  std::vector<int64_t> positions;
  std::vector<float*> memory;
  const Slices& all = scope_.slices;
  for (int64_t s = 0; s < all.count(); ++s) {
    const int64_t from = std::max(first, all.first(s));
    const int64_t to = std::min(last, all.first(s + 1));
    if (from >= to) continue;
    starts.push_back(to - first);
    positions.push_back(all.position(s) + from - all.first(s));
    memory.push_back(scope_.sequences.empty()
                         ? nullptr
                         : scope_.sequences[static_cast<size_t>(s)]->lightning(layer).data());
  }
  compute_.kernels.lightning_attention(
      compute_.context, a.qkv.Rows(first, last - first), weights_.decay[static_cast<size_t>(layer)],
      {starts, positions}, memory, a.attended.Rows(first, last - first));
}

void ForwardPass::Softmax(int64_t layer, const LayerActivations& a, bool known,
                          Matrix branch) const {
  const LayerWeights& weights = weights_.layers[static_cast<size_t>(layer)];
  Linear(a.attention_input,
         {{weights.query, a.queries}, {weights.key, a.keys()}, {weights.value, a.values()}});
  for (const Matrix& rotated : {a.queries, a.keys()}) {
    compute_.kernels.rope(compute_.context, scope_.positions, weights_.inverse_frequencies,
                          config_.head_dim, rotated);
  }
  if (!known) AttendSoftmax(layer, a);
  Linear(a.attended, {{weights.attention_output, branch}});
}

void ForwardPass::AttendSoftmax(int64_t layer, const LayerActivations& a) const {
  const auto attend = [&](const KvCache& cache) {
    compute_.kernels.store_kv(compute_.context, a.keys(), a.values(), scope_.slices, cache);
    compute_.kernels.softmax_attention(compute_.context, a.queries, cache, scope_.slices,
                                       a.attended, a.log_sums);
  };
  if (scope_.sequences.empty()) {
    const Workspace::Frame frame(compute_.context.scratch);
    const BatchKv own(compute_.context.scratch, {DType::kF32, config_.kv_heads, config_.head_dim},
                      scope_.slices);
    return attend(own.cache());
  }
  KvCache cache = scope_.sequences.front()->Cache(layer);
  cache.pages = pages_;
  attend(cache);
}

Status ForwardPass::Mlp(int64_t layer, const LayerActivations& a, Matrix output) const {
  const Workspace::Frame frame(compute_.context.scratch);
  const LayerWeights& weights = weights_.layers[static_cast<size_t>(layer)];
  const bool wanted = output.data != nullptr;
  const Matrix branch = wanted ? Allocate(output.rows, config_.hidden_size) : Matrix();
  Norm(a.middle, weights.mlp_norm, a.mlp_input);
  compute_.kernels.router_logits(compute_.context, a.mlp_input,
                                 {{weights.router, a.router_logits}});
  compute_.kernels.top_k_router(compute_.context, a.router_logits, a.experts, a.routing_weights);
  if (scope_.capacity != nullptr) FULMEN_TRY(Drop(layer, a));
  compute_.kernels.moe(compute_.context, a.mlp_input, weights.experts, a.kept_experts,
                       a.routing_weights, a.moe, branch);
  if (wanted) AddBranch(config_.mlp_residual, a.middle, a.mlp_input, branch, output);
  return {};
}

// The host decides, as it alone can ask the other ranks.
Status ForwardPass::Drop(int64_t layer, const LayerActivations& a) const {
  std::vector<int32_t> memory(static_cast<size_t>(a.experts.rows * a.experts.cols));
  const MatrixView<int32_t> choices(memory.data(), a.experts.rows, a.experts.cols);
  compute_.kernels.copy(compute_.context, std::as_bytes(std::span(a.experts.data, memory.size())),
                        std::as_writable_bytes(std::span(memory)));
  FULMEN_TRY(scope_.capacity->Drop(layer, choices, choices));
  compute_.kernels.copy(compute_.context, std::as_bytes(std::span(memory)),
                        std::as_writable_bytes(std::span(a.kept_experts.data, memory.size())));
  return {};
}

Error NonFiniteLayer(const Config& config, int64_t layer, int64_t first, int64_t last) {
  const bool lightning = config.layers[static_cast<size_t>(layer)] == LayerKind::kLightning;
  return {ErrorCode::kNonFinite,
          fmt::format("layer {} ({}) gave NaN or infinity at a position in {}..{} ({})", layer,
                      lightning ? "lightning" : "softmax", first, last, kNonFiniteHint)};
}

Status CheckHealth(const Config& config, int64_t layer, std::span<const RowHealth> rows,
                   int64_t first) {
  if (rows.empty()) return {};
  const RowHealth worst = *std::ranges::max_element(rows);
  if (worst == RowHealth::kNotFinite && layer >= 0) {
    return tl::unexpected(NonFiniteLayer(config, layer, first, first + std::ssize(rows) - 1));
  }
  if (worst != RowHealth::kSquaresOverflow) return {};
  const std::string reader = layer + 1 == config.layer_count() ? std::string("the last norm")
                                                               : fmt::format("layer {}", layer + 1);
  return Fail(ErrorCode::kNonFinite,
              "the logits overflowed: what {} reads is so large that its squares exceed float32",
              reader);
}

}  // namespace fulmen
