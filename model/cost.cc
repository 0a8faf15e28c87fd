#include "model/cost.h"

#include <algorithm>

#include "model/state.h"
#include "model/tensor_table.h"

namespace fulmen {
namespace {

bool IsActive(const TensorRow& row) {
  return row.role != TensorRole::kTokenEmbedding && row.role != TensorRole::kHead;
}

// How often a row's tensor occurs in the model.
int64_t Occurrences(const TensorRow& row, const Config& config) {
  const auto softmax = std::count(config.layers.begin(), config.layers.end(), LayerKind::kSoftmax);
  switch (row.scope) {
    case TensorScope::kModel:
      return row.absent_when_tied && config.tied_embeddings ? 0 : 1;
    case TensorScope::kEveryLayer:
      return config.layer_count();
    case TensorScope::kSoftmaxLayers:
      return softmax;
    case TensorScope::kLightningLayers:
      return config.layer_count() - softmax;
  }
  return 0;
}

// Elements of all occurrences of a row, with `experts` experts where it has one tensor per expert.
int64_t Elements(const TensorRow& row, const Config& config, int64_t experts) {
  return Occurrences(row, config) * ElementCount(TensorShape(row, config)) *
         (row.per_expert ? experts : 1);
}

double Bytes(const TensorView& view) { return static_cast<double>(view.bytes()); }

}  // namespace

int64_t ParameterCount(const Config& config) {
  int64_t count = 0;
  for (const TensorRow& row : TensorTable()) count += Elements(row, config, config.experts);
  return count;
}

int64_t ActiveParameterCount(const Config& config) {
  int64_t count = 0;
  for (const TensorRow& row : TensorTable()) {
    if (IsActive(row)) count += Elements(row, config, config.experts_per_token);
  }
  return count;
}

double ForwardFlops(const Config& config, int64_t tokens, int64_t position, int64_t logit_rows) {
  double per_token = 0;  // products with matrices
  for (const TensorRow& row : TensorTable()) {
    if (IsActive(row) && TensorShape(row, config).size() == 2) {
      per_token += 2.0 * static_cast<double>(Elements(row, config, config.experts_per_token));
    }
  }
  const auto softmax = static_cast<double>(
      std::count(config.layers.begin(), config.layers.end(), LayerKind::kSoftmax));
  const double lightning = static_cast<double>(config.layer_count()) - softmax;
  const auto width = static_cast<double>(config.attention_size());
  const auto count = static_cast<double>(tokens);
  const double seen = count * static_cast<double>(position) + count * (count + 1) / 2;
  return count * per_token + softmax * 4 * width * seen +
         lightning * count * 4 * width * static_cast<double>(config.head_dim) +
         2.0 * static_cast<double>(logit_rows) *
             static_cast<double>(config.vocab_size * config.hidden_size);
}

double PackedForwardFlops(const Config& config, std::span<const int64_t> starts,
                          int64_t logit_rows) {
  double flops = ForwardFlops(config, 0, 0, logit_rows);
  for (size_t i = 0; i + 1 < starts.size(); ++i) {
    flops += ForwardFlops(config, starts[i + 1] - starts[i], 0, 0);
  }
  return flops;
}

double DecodeBytes(const Model& model, int64_t position) {
  const Config& config = model.config;
  double bytes = Bytes(model.weights.head) + Bytes(model.weights.output_norm) +
                 Bytes(model.weights.token_embedding) / static_cast<double>(config.vocab_size);
  for (const LayerWeights& layer : model.weights.layers) {
    for (const TensorView* view :
         {&layer.attention_norm, &layer.mlp_norm, &layer.qkv, &layer.output_gate,
          &layer.lightning_norm, &layer.query, &layer.key, &layer.value, &layer.attention_output,
          &layer.router}) {
      if (!view->empty()) bytes += Bytes(*view);
    }
    const ExpertWeights& expert = layer.experts.front();
    bytes += static_cast<double>(config.experts_per_token) *
             (Bytes(expert.gate) + Bytes(expert.up) + Bytes(expert.down));
  }
  return bytes + static_cast<double>(position) * static_cast<double>(KvBytesPerToken(config)) +
         2.0 * static_cast<double>(LightningStateBytes(config));
}

}  // namespace fulmen
