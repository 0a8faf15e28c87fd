#include "model/training.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <numeric>
#include <optional>

#include "model/backward_pass.h"
#include "model/forward_pass.h"
#include "model/router_losses.h"

namespace fulmen {
namespace {

std::vector<int64_t> DocumentPositions(const PackedBatch& batch) {
  std::vector<int64_t> positions(batch.tokens.size());
  for (size_t document = 0; document + 1 < batch.starts.size(); ++document) {
    std::iota(positions.begin() + batch.starts[document],
              positions.begin() + batch.starts[document + 1], 0);
  }
  return positions;
}

CapacityStep StepOf(const LossOptions& options, int64_t tokens) {
  CapacityStep step = options.capacity_step;
  if (step.tokens == 0) step.tokens = tokens;
  return step;
}

// One batch: the forward pass and, with gradients, the backward pass.
class TrainingPass {
 public:
  // `gradients` is null where no backward pass follows.
  TrainingPass(const Config& config, const Weights& weights, const Compute& compute,
               const PackedBatch& batch, const LossOptions& options, const Gradients* gradients)
      : config_(config),
        weights_(weights),
        compute_(compute),
        batch_(batch),
        options_(options),
        gradients_(gradients),
        tokens_(static_cast<int64_t>(batch.tokens.size())),
        positions_(DocumentPositions(batch)),
        capacity_(options.capacity, config.layer_count(), config.experts, StepOf(options, tokens_)),
        scope_{.slices = {batch.starts, {}},
               .positions = positions_,
               .keep_activations = gradients != nullptr,
               .capacity = options.capacity > 0 ? &capacity_ : nullptr},
        forward_(config, weights, compute, scope_),
        router_(config, tokens_) {}
  TrainingPass(const TrainingPass&) = delete;
  TrainingPass& operator=(const TrainingPass&) = delete;
  ~TrainingPass() {
    while (!frames_.empty()) frames_.pop_back();  // the last one first
  }

  Result<Losses> Run() {
    const int64_t predicted = options_.step_predicted_tokens > 0 ? options_.step_predicted_tokens
                                                                 : batch_.PredictedTokens();
    if (tokens_ == 0 || predicted == 0) {
      return Fail(ErrorCode::kInvalidArgument, "a batch of {} tokens predicts nothing", tokens_);
    }
    frames_.emplace_back(compute_.context.scratch);
    const Matrix dhidden = gradients_ != nullptr ? AllocateHidden() : Matrix();
    FULMEN_TRY(Forward());
    const double sum = CrossEntropy(1.0F / static_cast<float>(predicted), dhidden);
    if (!std::isfinite(sum)) {
      return Fail(ErrorCode::kNonFinite,
                  "the head (after layer {}) gave a cross-entropy that is not finite",
                  config_.layer_count() - 1);
    }
    if (gradients_ != nullptr) FULMEN_TRY(Backward(dhidden));
    return MakeLosses(sum / static_cast<double>(predicted));
  }

 private:
  Matrix AllocateHidden() const {
    return compute_.context.scratch.AllocateMatrix(tokens_, config_.hidden_size);
  }
  // All activations: those of the last layer are needed as soon as they are there.
  bool Keeps(int64_t layer) const {
    return gradients_ != nullptr && (!options_.recompute || layer + 1 == config_.layer_count());
  }

  Status Forward() {
    for (int64_t layer = 0; layer <= config_.layer_count(); ++layer) {
      // Without a backward pass, two take turns.
      const bool reuse = gradients_ == nullptr && layer >= 2;
      inputs_.push_back(reuse ? inputs_[static_cast<size_t>(layer - 2)] : AllocateHidden());
    }
    compute_.kernels.embedding(compute_.context, batch_.tokens, weights_.token_embedding,
                               inputs_.front());
    if (!batch_.images.empty()) {
      vision_.emplace(config_, weights_, compute_, batch_.images,
                      gradients_ != nullptr ? &gradients_->vision : nullptr, options_.vision_tower);
      vision_->Forward(inputs_.front());
    }
    for (int64_t layer = 0; layer < config_.layer_count(); ++layer) {
      const auto index = static_cast<size_t>(layer);
      attention_.emplace_back();
      if (gradients_ != nullptr && !Keeps(layer)) {
        attention_.back() = forward_.AllocateAttentionOutput(layer, tokens_);
      }
      frames_.emplace_back(compute_.context.scratch);
      FULMEN_ASSIGN(const LayerActivations activations,
                    forward_.Layer(layer, inputs_[index], inputs_[index + 1], attention_.back()));
      FULMEN_TRY(CheckFinite(layer, inputs_[index + 1]));
      router_.AddLayer(compute_, layer, activations);
      tape_.push_back(Keeps(layer) ? activations : LayerActivations());
      if (!Keeps(layer)) frames_.pop_back();
    }
    return {};
  }

  Status CheckFinite(int64_t layer, ConstMatrix output) const {
    std::vector<RowHealth> health(batch_.tokens.size());
    compute_.kernels.row_health(compute_.context, output, health);
    if (std::ranges::count(health, RowHealth::kNotFinite) == 0) return {};
    const auto [first, last] = std::ranges::minmax_element(positions_);
    return tl::unexpected<Error>(NonFiniteLayer(config_, layer, *first, *last));
  }

  // The sum over the predicted tokens; dhidden becomes the gradient of the output norm's result.
  double CrossEntropy(float scale, Matrix dhidden) const {
    const Workspace::Frame frame(compute_.context.scratch);
    const Matrix normed = AllocateHidden();
    forward_.Norm(inputs_.back(), weights_.output_norm, normed);
    return compute_.training->cross_entropy(compute_.context, normed, weights_.head, batch_.targets,
                                            scale, dhidden,
                                            gradients_ != nullptr ? gradients_->head : Matrix());
  }

  Status Backward(Matrix dhidden) {
    const BackwardPass backward(config_, weights_, compute_, scope_, *gradients_);
    backward.Norm(inputs_.back(), weights_.output_norm, gradients_->output_norm, dhidden, {},
                  dhidden);
    const BackwardPass::RouterLoss router_loss = router_.Backward(options_);
    for (int64_t layer = config_.layer_count() - 1; layer >= 0; --layer) {
      const auto index = static_cast<size_t>(layer);
      if (!Keeps(layer)) {
        frames_.emplace_back(compute_.context.scratch);
        FULMEN_ASSIGN(tape_[index], forward_.Recompute(layer, inputs_[index], attention_[index]));
      }
      backward.Layer(layer, tape_[index], inputs_[index], router_loss, dhidden);
      frames_.pop_back();
      if (options_.gradients_ready) FULMEN_TRY(options_.gradients_ready(layer));
    }
    if (vision_) vision_->Backward(dhidden);
    compute_.training->embedding_backward(compute_.context, batch_.tokens, dhidden,
                                          gradients_->token_embedding);
    return options_.gradients_ready ? options_.gradients_ready(-1) : Status();
  }

  Losses MakeLosses(double cross_entropy) const {
    Losses losses;
    losses.cross_entropy = cross_entropy;
    losses.auxiliary = router_.Auxiliary();
    losses.z = router_.Z();
    losses.choices = router_.Choices();
    losses.dropped =
        static_cast<double>(capacity_.dropped()) /
        static_cast<double>(config_.layer_count() * tokens_ * config_.experts_per_token);
    losses.total = cross_entropy + options_.auxiliary * losses.auxiliary + options_.z * losses.z;
    return losses;
  }

  const Config& config_;
  const Weights& weights_;
  const Compute& compute_;
  const PackedBatch& batch_;
  const LossOptions& options_;
  const Gradients* gradients_;
  int64_t tokens_;
  std::vector<int64_t> positions_;
  ExpertCapacity capacity_;
  BatchScope scope_;
  ForwardPass forward_;
  RouterLosses router_;
  std::optional<VisionTraining> vision_;
  // inputs_[l] is the residual stream before layer l; the last is the model's output.
  std::vector<Matrix> inputs_;
  std::vector<AttentionOutput> attention_;  // of layers that will be computed again
  std::vector<LayerActivations> tape_;      // valid while the layer has a frame
  std::deque<Workspace::Frame> frames_;     // of the pass, then of layers
};

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

Result<Losses> ForwardBackward(const Config& config, const Weights& weights, const Compute& compute,
                               const PackedBatch& batch, const LossOptions& options,
                               const Gradients& gradients) {
  return TrainingPass(config, weights, compute, batch, options, &gradients).Run();
}

Result<Losses> ForwardLosses(const Config& config, const Weights& weights, const Compute& compute,
                             const PackedBatch& batch, const LossOptions& options) {
  return TrainingPass(config, weights, compute, batch, options, nullptr).Run();
}

}  // namespace fulmen
