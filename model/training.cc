#include "model/training.h"

#include <algorithm>
#include <numeric>
#include <optional>

#include "base/check.h"
#include "model/expert_capacity.h"
#include "model/forward_pass.h"

namespace fulmen {
namespace {

std::span<float> Row(const Matrix& vector) {
  return {vector.data, static_cast<size_t>(vector.cols)};
}

// The way back through the layers. Every d… is the gradient of the loss with respect to ….
class BackwardPass {
 public:
  BackwardPass(const Config& config, const Weights& weights, const Kernels& kernels,
               const TrainingKernels& training, KernelContext& context, const AttentionScope& scope,
               const Gradients& gradients)
      : config_(config),
        weights_(weights),
        kernels_(kernels),
        training_(training),
        context_(context),
        scope_(scope),
        gradients_(gradients) {}

  // The gradients of the router's losses, the same for all layers.
  struct RouterLoss {
    std::vector<float> coefficients;  // per expert, see RouterLossBackwardFn
    float z = 0;
  };

  // dhidden goes in as the gradient of the layer's output and comes out as that of its input.
  void Layer(int64_t layer, const LayerActivations& a, ConstMatrix input, const RouterLoss& loss,
             Matrix dhidden) const {
    const Workspace::Frame frame(context_.scratch);
    Mlp(layer, a, loss, dhidden);
    Attention(layer, a, input, dhidden);
  }

  // dx may be dy or the gradient of the bypass.
  void Norm(ConstMatrix x, const TensorView& weight, const Matrix& dweight, ConstMatrix dy,
            const Bypass& bypass, Matrix dx) const {
    training_.rms_norm_backward(context_, x, weight, config_.rms_norm_epsilon, dy, bypass, dx,
                                Row(dweight));
  }

 private:
  Matrix Allocate(int64_t rows, int64_t cols) const {
    return context_.scratch.AllocateMatrix(rows, cols);
  }
  // `x` itself where there is nothing to scale.
  ConstMatrix Scaled(float factor, ConstMatrix x) const {
    if (factor == 1.0F) return x;
    const Matrix scaled = Allocate(x.rows, x.cols);
    kernels_.residual(context_, factor, x, 0.0F, x, scaled);
    return scaled;
  }
  // y = x W^T: adds to dweight, and dx becomes (or has added to it) dy W.
  void Linear(ConstMatrix x, const TensorView& weight, ConstMatrix dy, const Matrix& dweight,
              bool add, Matrix dx) const {
    training_.linear_backward_weight(context_, x, dy, dweight);
    training_.linear_backward_input(context_, dy, weight, add, dx);
  }

  // The residual connection and the norm before a branch: dnormed is the gradient of the branch's
  // input, dhidden that of the output of the connection.
  void Join(const ResidualScale& scale, ConstMatrix x, const TensorView& weight,
            const Matrix& dweight, Matrix dnormed, Matrix dhidden) const {
    if (config_.post_norm) {
      Norm(x, weight, dweight, dnormed, {scale.alpha, dhidden}, dhidden);
    } else {
      Norm(x, weight, dweight, dnormed, {}, dnormed);
      kernels_.residual(context_, scale.alpha, dhidden, 1.0F, dnormed, dhidden);
    }
  }

  void Mlp(int64_t layer, const LayerActivations& a, const RouterLoss& loss, Matrix dhidden) const {
    const Workspace::Frame frame(context_.scratch);
    const auto index = static_cast<size_t>(layer);
    const LayerWeights& weights = weights_.layers[index];
    const auto& gradients = gradients_.layers[index];
    const ConstMatrix dbranch = Scaled(config_.mlp_residual.beta, dhidden);
    const Matrix dnormed = Allocate(dhidden.rows, dhidden.cols);
    const Matrix dexpert_weights = Allocate(dhidden.rows, config_.experts_per_token);
    const Matrix dlogits = Allocate(dhidden.rows, config_.experts);
    training_.moe_backward(context_, a.mlp_input, weights.experts, a.kept_experts, a.expert_weights,
                           a.moe, dbranch, dnormed, dexpert_weights, gradients.experts);
    training_.top_k_router_backward(context_, a.experts, a.expert_weights, dexpert_weights,
                                    dlogits);
    training_.router_loss_backward(context_, a.router_logits, loss.coefficients, loss.z, dlogits);
    training_.router_backward_weight(context_, a.mlp_input, dlogits, gradients.router);
    training_.router_backward_input(context_, dlogits, weights.router, /*add=*/true, dnormed);
    Join(config_.mlp_residual, a.middle, weights.mlp_norm, gradients.mlp_norm, dnormed, dhidden);
  }

  void Attention(int64_t layer, const LayerActivations& a, ConstMatrix input,
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

  void Lightning(int64_t layer, const LayerActivations& a, ConstMatrix dbranch,
                 Matrix dnormed) const {
    const auto index = static_cast<size_t>(layer);
    const LayerWeights& weights = weights_.layers[index];
    const auto& gradients = gradients_.layers[index];
    const int64_t tokens = dbranch.rows;
    const Matrix dheads = Allocate(tokens, config_.attention_size());
    const Matrix dgate = Allocate(tokens, config_.attention_size());
    const Matrix gated = Allocate(tokens, config_.attention_size());
    training_.linear_backward_input(context_, dbranch, weights.attention_output, /*add=*/false,
                                    dheads);
    training_.gated_rms_norm_backward(context_, a.heads, weights.lightning_norm,
                                      ForwardPass::kLightningNormEpsilon, a.gate, dheads, dgate,
                                      gated, Row(gradients.lightning_norm));
    training_.linear_backward_weight(context_, gated, dbranch, gradients.attention_output);
    const Matrix dqkv = Allocate(tokens, a.qkv.cols);
    training_.lightning_attention_backward(context_, a.qkv, weights_.decay[index], scope_.starts,
                                           dheads, dqkv);
    Linear(a.attention_input, weights.qkv, dqkv, gradients.qkv, /*add=*/false, dnormed);
    Linear(a.attention_input, weights.output_gate, dgate, gradients.output_gate, /*add=*/true,
           dnormed);
  }

  void Softmax(int64_t layer, const LayerActivations& a, ConstMatrix dbranch,
               Matrix dnormed) const {
    const auto index = static_cast<size_t>(layer);
    const LayerWeights& weights = weights_.layers[index];
    const auto& gradients = gradients_.layers[index];
    const int64_t tokens = dbranch.rows;
    const Matrix dheads = Allocate(tokens, config_.attention_size());
    const Matrix dqueries = Allocate(tokens, config_.attention_size());
    const Matrix dkeys = Allocate(tokens, config_.kv_size());
    const Matrix dvalues = Allocate(tokens, config_.kv_size());
    Linear(a.heads, weights.attention_output, dbranch, gradients.attention_output, /*add=*/false,
           dheads);
    training_.softmax_attention_backward(
        context_, {a.queries, a.keys, a.values, config_.head_dim, scope_.starts}, a.heads,
        a.log_sums, dheads, dqueries, dkeys, dvalues);
    // A rotation's transpose is the rotation the other way.
    std::vector<float> reversed = weights_.inverse_frequencies;
    for (float& frequency : reversed) frequency = -frequency;
    kernels_.rope(context_, scope_.positions, reversed, config_.head_dim, dqueries);
    kernels_.rope(context_, scope_.positions, reversed, config_.head_dim, dkeys);
    Linear(a.attention_input, weights.query, dqueries, gradients.query, /*add=*/false, dnormed);
    Linear(a.attention_input, weights.key, dkeys, gradients.key, /*add=*/true, dnormed);
    Linear(a.attention_input, weights.value, dvalues, gradients.value, /*add=*/true, dnormed);
  }

  const Config& config_;
  const Weights& weights_;
  const Kernels& kernels_;
  const TrainingKernels& training_;
  KernelContext& context_;
  const AttentionScope& scope_;
  const Gradients& gradients_;
};

// The auxiliary and z losses over all layers, and what they add to the gradients of router logits.
class RouterLosses {
 public:
  RouterLosses(const Config& config, int64_t tokens)
      : experts_(static_cast<size_t>(config.experts)),
        slots_(static_cast<size_t>(config.experts_per_token)),
        tokens_(static_cast<double>(config.layer_count() * tokens)),
        counts_(static_cast<size_t>(config.layer_count()) * slots_ * experts_),
        probabilities_(experts_) {}

  void AddLayer(const TrainingKernels& training, KernelContext& context, int64_t layer,
                const LayerActivations& a) {
    const size_t size = slots_ * experts_;
    RouterStatistics statistics = {
        std::span(counts_).subspan(static_cast<size_t>(layer) * size, size), probabilities_};
    training.router_statistics(context, a.router_logits, a.experts, statistics);
    squared_log_sums_ += statistics.squared_log_sums;
  }

  // See Losses.
  std::vector<double> Choices() const {
    std::vector<double> choices(counts_.size() / slots_);
    for (size_t i = 0; i < counts_.size(); ++i) {
      choices[i / (slots_ * experts_) * experts_ + i % experts_] += counts_[i];
    }
    return choices;
  }

  double Auxiliary() const {
    const std::vector<double> shares = Shares();
    double sum = 0;
    for (size_t expert = 0; expert < experts_; ++expert) {
      sum += shares[expert] * probabilities_[expert] / tokens_;
    }
    return static_cast<double>(experts_) * sum;
  }
  double Z() const { return squared_log_sums_ / tokens_; }

  // The shares count as constants, as everywhere in the literature: a count has no gradient.
  BackwardPass::RouterLoss Backward(const LossOptions& options) const {
    BackwardPass::RouterLoss loss;
    for (const double share : Shares()) {
      loss.coefficients.push_back(static_cast<float>(options.step_share * options.auxiliary *
                                                     static_cast<double>(experts_) * share /
                                                     tokens_));
    }
    loss.z = static_cast<float>(options.step_share * options.z / tokens_);
    return loss;
  }

 private:
  // Per expert, the shares of tokens whose choice it is, summed over the slots.
  std::vector<double> Shares() const {
    std::vector<double> shares(experts_);
    for (size_t i = 0; i < counts_.size(); ++i) shares[i % experts_] += counts_[i];
    for (double& share : shares) share /= tokens_;
    return shares;
  }

  size_t experts_;
  size_t slots_;
  double tokens_;                      // of all layers
  std::vector<double> counts_;         // [layers * k * E]
  std::vector<double> probabilities_;  // [E], summed over the layers
  double squared_log_sums_ = 0;
};

int64_t CountDropped(MatrixView<const int32_t> kept) {
  return std::count(kept.data, kept.data + kept.rows * kept.cols, -1);
}

std::vector<int64_t> DocumentPositions(const PackedBatch& batch) {
  std::vector<int64_t> positions(batch.tokens.size());
  for (size_t document = 0; document + 1 < batch.starts.size(); ++document) {
    std::iota(positions.begin() + batch.starts[document],
              positions.begin() + batch.starts[document + 1], 0);
  }
  return positions;
}

}  // namespace

void PackedBatch::Add(std::span<const int32_t> document) {
  if (document.empty()) return;
  if (starts.empty()) starts.push_back(0);
  tokens.insert(tokens.end(), document.begin(), document.end());
  targets.insert(targets.end(), document.begin() + 1, document.end());
  targets.push_back(-1);
  starts.push_back(static_cast<int64_t>(tokens.size()));
}

int64_t PackedBatch::PredictedTokens() const {
  return std::count_if(targets.begin(), targets.end(), [](int32_t target) { return target >= 0; });
}

Result<Losses> ForwardBackward(const Config& config, const Weights& weights, const Kernels& kernels,
                               const TrainingKernels& training, KernelContext& context,
                               const PackedBatch& batch, const LossOptions& options,
                               const Gradients& gradients) {
  const auto tokens = static_cast<int64_t>(batch.tokens.size());
  const int64_t predicted =
      options.step_predicted_tokens > 0 ? options.step_predicted_tokens : batch.PredictedTokens();
  if (predicted == 0) {
    return Fail(ErrorCode::kInvalidArgument,
                "a batch of {} tokens in {} documents predicts nothing", tokens,
                batch.starts.size() - 1);
  }
  const Workspace::Frame frame(context.scratch);
  const std::vector<int64_t> positions = DocumentPositions(batch);
  std::optional<ExpertCapacity> capacity;
  if (options.capacity > 0) {
    capacity.emplace(options.capacity, config.layer_count(), config.experts, options.ranks);
  }
  const AttentionScope scope = {nullptr, &training, batch.starts, positions,
                                capacity ? &*capacity : nullptr};
  const ForwardPass forward(config, weights, kernels, context, scope);
  const BackwardPass backward(config, weights, kernels, training, context, scope, gradients);

  // inputs[l] is the residual stream before layer l; the last is the model's output.
  std::vector<Matrix> inputs;
  std::vector<LayerActivations> tape;
  RouterLosses router(config, tokens);
  int64_t dropped = 0;
  for (int64_t layer = 0; layer <= config.layer_count(); ++layer) {
    inputs.push_back(context.scratch.AllocateMatrix(tokens, config.hidden_size));
  }
  kernels.embedding(context, batch.tokens, weights.token_embedding, inputs.front());
  for (int64_t layer = 0; layer < config.layer_count(); ++layer) {
    const auto index = static_cast<size_t>(layer);
    std::optional<Workspace::Frame> layer_frame;
    if (options.recompute) layer_frame.emplace(context.scratch);
    FULMEN_ASSIGN(const LayerActivations activations,
                  forward.Layer(layer, inputs[index], inputs[index + 1]));
    router.AddLayer(training, context, layer, activations);
    dropped += CountDropped(activations.kept_experts);
    if (!options.recompute) tape.push_back(activations);
  }

  const Matrix normed = context.scratch.AllocateMatrix(tokens, config.hidden_size);
  const Matrix dhidden = context.scratch.AllocateMatrix(tokens, config.hidden_size);
  forward.Norm(inputs.back(), weights.output_norm, normed);
  const double sum =
      training.cross_entropy(context, normed, weights.head, batch.targets,
                             1.0F / static_cast<float>(predicted), dhidden, gradients.head);
  backward.Norm(inputs.back(), weights.output_norm, gradients.output_norm, dhidden, {}, dhidden);
  const BackwardPass::RouterLoss router_loss = router.Backward(options);
  for (int64_t layer = config.layer_count() - 1; layer >= 0; --layer) {
    const auto index = static_cast<size_t>(layer);
    const Workspace::Frame layer_frame(context.scratch);
    if (options.recompute) {
      FULMEN_ASSIGN(const LayerActivations activations,
                    forward.Layer(layer, inputs[index], inputs[index + 1]));
      backward.Layer(layer, activations, inputs[index], router_loss, dhidden);
    } else {
      backward.Layer(layer, tape[index], inputs[index], router_loss, dhidden);
    }
    if (options.gradients_ready) FULMEN_TRY(options.gradients_ready(layer));
  }
  training.embedding_backward(context, batch.tokens, dhidden, gradients.token_embedding);
  if (options.gradients_ready) FULMEN_TRY(options.gradients_ready(-1));

  Losses losses;
  losses.cross_entropy = sum / static_cast<double>(predicted);
  losses.auxiliary = router.Auxiliary();
  losses.z = router.Z();
  losses.choices = router.Choices();
  losses.dropped = static_cast<double>(dropped) /
                   static_cast<double>(config.layer_count() * tokens * config.experts_per_token);
  losses.total = losses.cross_entropy + options.auxiliary * losses.auxiliary + options.z * losses.z;
  return losses;
}

}  // namespace fulmen
