#include "eval/logits.h"

#include <algorithm>

#include "formats/safetensors.h"
#include "model/forward.h"
#include "model/vision.h"

namespace fulmen {
namespace {

using Declarations = std::vector<SafetensorsWriter::Declaration>;

int64_t LogitRows(const NamedPrompt& prompt, const LogitsOptions& options) {
  const auto tokens = static_cast<int64_t>(prompt.ids.size());
  return options.last > 0 ? std::min(options.last, tokens) : tokens;
}

Declarations Declare(const Config& config, const std::vector<NamedPrompt>& prompts,
                     const LogitsOptions& options) {
  Declarations tensors;
  for (const NamedPrompt& prompt : prompts) {
    const auto tokens = static_cast<int64_t>(prompt.ids.size());
    const std::string& name = prompt.name;
    const Shape choices = {config.layer_count(), tokens, config.experts_per_token};
    if (!prompt.images.empty()) tensors.push_back({name + ".ids", DType::kI64, {tokens}});
    tensors.push_back(
        {name + ".logits", DType::kF32, {LogitRows(prompt, options), config.vocab_size}});
    if (options.hidden) {
      tensors.push_back(
          {name + ".hidden", DType::kF32, {config.layer_count() + 1, tokens, config.hidden_size}});
    }
    if (options.experts) {
      tensors.push_back({name + ".experts", DType::kI32, choices});
      tensors.push_back({name + ".expert_weights", DType::kF32, choices});
    }
    for (int64_t layer = 0; options.state && layer < config.layer_count(); ++layer) {
      if (config.layers[static_cast<size_t>(layer)] != LayerKind::kLightning) continue;
      tensors.push_back({name + ".state." + std::to_string(layer),
                         DType::kF32,
                         {config.heads, config.head_dim, config.head_dim}});
    }
  }
  return tensors;
}

template <class T>
Status WriteValues(SafetensorsWriter& writer, const std::vector<T>& values) {
  return writer.Write(std::as_bytes(std::span(values)));
}

// A [groups, T, width] tensor filled a chunk of T at a time.
template <class T>
class Gathered {
 public:
  Gathered(bool wanted, int64_t groups, int64_t tokens, int64_t width, int64_t chunk)
      : groups_(groups), tokens_(tokens), width_(width) {
    if (!wanted) return;
    whole_.resize(static_cast<size_t>(groups * tokens * width));
    chunk_.resize(static_cast<size_t>(groups * chunk * width));
  }
  // Where a forward call leaves [groups, count, width]; null when not wanted.
  T* chunk() { return chunk_.empty() ? nullptr : chunk_.data(); }
  void Take(int64_t first, int64_t count) {
    if (chunk_.empty()) return;
    for (int64_t group = 0; group < groups_; ++group) {
      std::copy_n(chunk_.data() + group * count * width_, count * width_,
                  whole_.data() + (group * tokens_ + first) * width_);
    }
  }
  const std::vector<T>& whole() const { return whole_; }

 private:
  int64_t groups_;
  int64_t tokens_;
  int64_t width_;
  std::vector<T> chunk_;
  std::vector<T> whole_;
};

Status WritePrompt(const Model& model, const Compute& compute, const NamedPrompt& prompt,
                   const LogitsOptions& options, SafetensorsWriter& writer,
                   const std::function<void(int64_t)>& progress, const std::atomic<bool>* cancel) {
  const Config& config = model.config;
  const auto tokens = static_cast<int64_t>(prompt.ids.size());
  const int64_t chunk = std::min(options.chunk, tokens);
  const int64_t layers = config.layer_count();
  const int64_t k = config.experts_per_token;
  Gathered<float> hidden(options.hidden, layers + 1, tokens, config.hidden_size, chunk);
  Gathered<int32_t> experts(options.experts, layers, tokens, k, chunk);
  Gathered<float> routing_weights(options.experts, layers, tokens, k, chunk);
  const ForwardCapture capture = {hidden.chunk(), experts.chunk(), routing_weights.chunk()};

  std::vector<ImageFeatures> features;
  for (const PromptImage& image : prompt.images) {
    features.emplace_back(image.image, *config.vision, compute.context.scratch.memory());
  }
  if (!prompt.images.empty()) {
    FULMEN_TRY(WriteValues(writer, std::vector<int64_t>(prompt.ids.begin(), prompt.ids.end())));
  }
  StatePool states(config, {.kv_type = options.kv_type});
  FULMEN_ASSIGN(SequenceState state, states.Create());
  std::vector<float> logits(
      static_cast<size_t>(std::min(chunk, LogitRows(prompt, options)) * config.vocab_size));
  const int64_t first_row = tokens - LogitRows(prompt, options);
  for (int64_t first = 0; first < tokens; first += chunk) {
    if (cancel != nullptr && cancel->load()) return Fail(ErrorCode::kCancelled, "interrupted");
    const int64_t count = std::min(chunk, tokens - first);
    const int64_t rows = std::clamp(first + count - first_row, int64_t{0}, count);
    const std::span ids =
        std::span(prompt.ids).subspan(static_cast<size_t>(first), static_cast<size_t>(count));
    FULMEN_TRY(state.Reserve(count));
    ForwardBatch batch;
    batch.Add(ids, state, rows);
    for (size_t i = 0; i < features.size(); ++i) {
      if (prompt.images[i].IsIn(first, first + count)) {
        features[i].Encode(model, compute, features[i].tiles_left());
      }
      AddImageRows(prompt.images[i], features[i].matrix(), first, first + count, 0, batch);
    }
    FULMEN_TRY(
        Forward(model, compute, batch, Matrix(logits.data(), rows, config.vocab_size), capture)
            .front());
    FULMEN_TRY(writer.Write(
        std::as_bytes(std::span(logits).first(static_cast<size_t>(rows * config.vocab_size)))));
    hidden.Take(first, count);
    experts.Take(first, count);
    routing_weights.Take(first, count);
    progress(count);
  }
  FULMEN_TRY(WriteValues(writer, hidden.whole()));
  FULMEN_TRY(WriteValues(writer, experts.whole()));
  FULMEN_TRY(WriteValues(writer, routing_weights.whole()));
  for (int64_t layer = 0; options.state && layer < layers; ++layer) {
    if (config.layers[static_cast<size_t>(layer)] != LayerKind::kLightning) continue;
    std::vector<float> values(static_cast<size_t>(config.attention_size() * config.head_dim));
    compute.kernels.lightning_state(
        compute.context, model.weights.decay[static_cast<size_t>(layer)], state.position(),
        state.lightning(layer).data(),
        Matrix(values.data(), config.attention_size(), config.head_dim));
    FULMEN_TRY(WriteValues(writer, values));
  }
  return {};
}

}  // namespace

Status WriteLogits(const Model& model, const Compute& compute,
                   const std::vector<NamedPrompt>& prompts, const LogitsOptions& options,
                   const std::string& path, const std::function<void(int64_t)>& progress,
                   const std::atomic<bool>* cancel) {
  FULMEN_ASSIGN(SafetensorsWriter writer,
                SafetensorsWriter::Create(path, Declare(model.config, prompts, options)));
  for (const NamedPrompt& prompt : prompts) {
    FULMEN_TRY(WritePrompt(model, compute, prompt, options, writer, progress, cancel));
  }
  return writer.Finish();
}

}  // namespace fulmen
