#include "train/training_memory.h"

#include <algorithm>
#include <cmath>

#include "base/machine.h"
#include "model/cost.h"
#include "train/schedule.h"

namespace fulmen {
namespace {

constexpr double kFloat = 4;  // bytes
// Of the cpu kernels: rows one thread works on, rows whose weight gradients are summed at a time,
// logits of one block, floats of a packed weight, tokens of a block of lightning attention, and the
// most parts the keys of a long document are cut into.
constexpr double kTaskRows = 96;
constexpr double kGradientRows = 768;
constexpr double kBlockLogits = 2 << 20;
constexpr double kPackedFloats = 4 << 20;
constexpr double kLightningBlock = 32;
constexpr double kKeyRange = 512;
constexpr double kKeyRanges = 4;

// The geometry in doubles, and what is counted from it in floats.
struct Counter {
  explicit Counter(const Config& config, const TrainingMemoryOptions& options)
      : hidden(static_cast<double>(config.hidden_size)),
        attention(static_cast<double>(config.attention_size())),
        kv(static_cast<double>(config.kv_size())),
        heads(static_cast<double>(config.heads)),
        ffn(static_cast<double>(config.ffn_size)),
        experts(static_cast<double>(config.experts)),
        slots(static_cast<double>(config.experts_per_token)),
        vocabulary(static_cast<double>(config.vocab_size)),
        tokens(static_cast<double>(options.batch_tokens)),
        length(static_cast<double>(std::min(options.max_length, options.batch_tokens))),
        threads(options.threads),
        capacity(options.capacity) {}

  // Of LayerActivations, for one token. `given`: the output of softmax attention lies elsewhere.
  double Layer(LayerKind kind, bool given) const {
    double count = 3 * hidden + experts + slots * (capacity ? 3 : 2) + 2 * slots * ffn;
    count += kind == LayerKind::kLightning ? 5 * attention : 2 * attention + 2 * kv + heads;
    return given && kind == LayerKind::kSoftmax ? count - AttentionOutput() : count;
  }
  double AttentionOutput() const { return attention + heads; }

  // What the threads and a packed expert take in each pass through the experts.
  double Experts() const {
    return 3 * hidden * ffn + threads * kTaskRows * (3 * hidden + ffn + 640);
  }
  double Forward() const {
    return tokens * hidden + std::max(Experts(), tokens * hidden);  // the router packs its input
  }
  double Logits() const {
    const double rows = std::min(tokens, std::max(kGradientRows / 2, kBlockLogits / vocabulary));
    return tokens * hidden + 2 * vocabulary * hidden + rows * (vocabulary + hidden) +
           threads * kTaskRows * hidden;
  }
  double ExpertsBackward() const {
    const double rows = std::min(tokens, kGradientRows);
    return tokens * (hidden + slots + experts) + Experts() + rows * (3 * ffn + 2 * hidden);
  }
  double LightningBackward() const {
    const double scores = threads * (length + 8 * kLightningBlock) * kLightningBlock;
    return tokens * (hidden + 6 * attention) +
           std::max(scores, std::min(kPackedFloats, 3 * hidden * attention));
  }
  double SoftmaxBackward() const {
    const double ranges = std::clamp(length / kKeyRange, 1.0, kKeyRanges);
    return tokens * (hidden + 2 * attention + 2 * kv) +
           tokens * (heads + attention * (ranges + 1) / 2);
  }

  double hidden, attention, kv, heads, ffn, experts, slots, vocabulary, tokens, length, threads;
  bool capacity;
};

double Activations(const Config& config, const Counter& counter, bool recompute) {
  double kept = static_cast<double>(config.layer_count() + 2) * counter.hidden;
  double largest = counter.Layer(config.layers.back(), false);
  for (size_t layer = 0; layer + 1 < config.layers.size(); ++layer) {
    const LayerKind kind = config.layers[layer];
    if (!recompute) {
      kept += counter.Layer(kind, false);
    } else {
      if (kind == LayerKind::kSoftmax) kept += counter.AttentionOutput();
      largest = std::max(largest, counter.Layer(kind, true));
    }
  }
  return counter.tokens * (kept + largest);
}

double LargestWorkspace(const Config& config, const Counter& counter) {
  double backward = counter.ExpertsBackward();
  for (const LayerKind kind : config.layers) {
    backward = std::max(backward, kind == LayerKind::kLightning ? counter.LightningBackward()
                                                                : counter.SoftmaxBackward());
  }
  const bool scaled = config.mlp_residual.beta != 1 || config.lightning_residual.beta != 1 ||
                      config.softmax_residual.beta != 1;
  if (scaled) backward += counter.tokens * counter.hidden;
  return std::max({counter.Forward(), counter.Logits(), backward});
}

// What images take in floats: kept for the backward pass, and at most besides.
struct VisionFloats {
  double kept = 0;
  double workspace = 0;
};

VisionFloats CountVision(const Config& config, double tokens) {
  if (!config.vision) return {};
  const VisionConfig& vision = *config.vision;
  const auto width = static_cast<double>(vision.width);
  const auto ffn = static_cast<double>(vision.ffn_size);
  const auto hidden = static_cast<double>(config.hidden_size);
  const double tiles = std::ceil(tokens / static_cast<double>(vision.patches()));
  const double rows = tiles * static_cast<double>(1 + vision.patches());
  const double patches = rows * static_cast<double>(vision.patch_values());
  VisionFloats floats;
  // Patches on the host and beside the kernels; the inputs of the norm and the layers; the
  // projector.
  floats.kept = 2 * patches + rows * width * static_cast<double>(vision.layers + 2) +
                rows * (width + 2 * hidden);
  // A layer that is computed again, its gradients, and those of its output and the projector's.
  floats.workspace = rows * (16 * width + 3 * ffn + 3 * hidden);
  return floats;
}

}  // namespace

TrainingMemory EstimateTrainingMemory(const Config& config, const TrainingMemoryOptions& options) {
  const Counter counter(config, options);
  TrainingMemory memory;
  memory.weights = kFloat * static_cast<double>(ParameterCount(config));
  memory.gradients = memory.weights;
  memory.moments = 2 * memory.weights;
  const VisionFloats vision = CountVision(config, counter.tokens);
  memory.activations = kFloat * (Activations(config, counter, options.recompute) + vision.kept);
  memory.workspace = kFloat * std::max(LargestWorkspace(config, counter), vision.workspace);
  return memory;
}

TrainingMemory RunMemory(const TrainingConfig& config, const Config& geometry, bool recompute) {
  TrainingMemoryOptions options;
  for (const StageConfig& stage : config.stages) {
    options.batch_tokens = std::max(options.batch_tokens, StageBatchTokens(config, stage));
    options.max_length = std::max(options.max_length, stage.max_length);
  }
  const auto threads = static_cast<int>(config.run.threads);
  options.threads = threads > 0 ? threads : AvailableProcessors();
  options.recompute = recompute;
  options.capacity = config.loss.capacity > 0;
  return EstimateTrainingMemory(geometry, options);
}

Status CheckRunMemory(const TrainingConfig& config, const Config& geometry) {
  const TrainingMemory memory = RunMemory(config, geometry, config.batch.recompute);
  const int64_t available = AvailableMemory();
  if (memory.total() <= static_cast<double>(available)) return {};
  return Fail(
      ErrorCode::kInvalidArgument,
      "this run takes {:.0f} bytes of memory, {:.0f} of them for a batch, and {} are there; "
      "smaller batch.tokens{} take less",
      memory.total(), memory.activations + memory.workspace, available,
      config.batch.recompute ? "" : " and batch.recompute");
}

}  // namespace fulmen
