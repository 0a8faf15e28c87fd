#include "model/cost.h"

#include <algorithm>

#include "model/state.h"
#include "model/tensor_table.h"

namespace fulmen {
namespace {

bool IsActive(const TensorRow& row) {
  return !row.Is(&ModelWeights::token_embedding) && !row.Is(&ModelWeights::head);
}

// How often a row's tensor occurs in the model.
int64_t Occurrences(const TensorRow& row, const Config& config) {
  if (row.in_model()) return row.absent_when_tied && config.tied_embeddings ? 0 : 1;
  const auto softmax = std::count(config.layers.begin(), config.layers.end(), LayerKind::kSoftmax);
  switch (row.layers) {
    case LayerScope::kEvery:
      return config.layer_count();
    case LayerScope::kSoftmax:
      return softmax;
    case LayerScope::kLightning:
      return config.layer_count() - softmax;
  }
  return 0;
}

// Elements of all occurrences of a row, with `experts` experts where it has one tensor per expert.
int64_t Elements(const TensorRow& row, const Config& config, int64_t experts) {
  return Occurrences(row, config) * ElementCount(TensorShape(row, config)) *
         (row.per_expert() ? experts : 1);
}

// The share of a tensor's bytes that the step reads.
double ShareRead(const TensorRow& row, const Config& config, const DecodeStep& step) {
  if (row.per_expert()) return step.experts / static_cast<double>(config.experts);
  if (!row.Is(&ModelWeights::token_embedding)) return 1;
  return static_cast<double>(step.sequences) / static_cast<double>(config.vocab_size) +
         (config.tied_embeddings ? 1 : 0);
}

}  // namespace

int64_t ParameterCount(const Config& config) {
  int64_t count = 0;
  for (const TensorRow& row : TensorTable()) count += Elements(row, config, config.experts);
  return count + VisionParameterCount(config);
}

int64_t VisionParameterCount(const Config& config) {
  if (!config.vision) return 0;
  int64_t count = 0;
  for (const TensorRow& row : VisionTensorTable()) {
    const int64_t layers = row.per_tower_layer() ? config.vision->layers : 1;
    count += layers * ElementCount(TensorShape(row, config));
  }
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

double LightningDecodeBytes(const Config& config) {
  const auto layers = static_cast<double>(
      std::count(config.layers.begin(), config.layers.end(), LayerKind::kLightning));
  const auto dim = static_cast<double>(config.head_dim);
  constexpr double kBlock = kLightningBlock;
  const double state = dim * dim * (1 + 1 / kBlock);
  const double keys_and_values = 2 * dim * ((kBlock + 1) / 2 + 1);
  return layers * static_cast<double>(config.heads) * (state + keys_and_values) * sizeof(float);
}

double DecodeBytes(const Model& model, const DecodeStep& step, DType kv_type) {
  const Config& config = model.config;
  double bytes = 0;
  ForEachTensor(config, [&](const TensorRow& row, int64_t layer, int64_t expert) {
    if (row.in_vision()) return;
    const WeightMatrix& weight = TensorAt<WeightMatrix>(model.weights, row, layer, expert);
    bytes += ShareRead(row, config, step) * static_cast<double>(weight.bytes());
  });
  const double keys_and_values =
      static_cast<double>(step.position) * static_cast<double>(KvBytesPerToken(config, kv_type));
  return bytes +
         static_cast<double>(step.sequences) * (keys_and_values + LightningDecodeBytes(config));
}

}  // namespace fulmen
