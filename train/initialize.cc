#include "train/initialize.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/random.h"
#include "model/synth.h"

namespace fulmen {
namespace {

constexpr float kRouterGain = 0.1F;
constexpr float kVisionEmbedding = 0.02F;
constexpr int64_t kReleasedTile = 336;

// 1 where the residual connections do not have DeepNorm's alpha.
float DeepNormBeta(const Config& config) {
  if (config.mlp_residual.alpha == 1) return 1;
  return static_cast<float>(std::pow(8.0 * static_cast<double>(config.layer_count()), -0.25));
}

float Gain(const TensorRow& row, const Config& config) {
  if (row.Is(&LayerWeights::value) || row.Is(&LayerWeights::attention_output) || row.per_expert()) {
    return DeepNormBeta(config);
  }
  return row.Is(&LayerWeights::router) ? kRouterGain : 1;
}

float Deviation(const TensorInstance& tensor, const Config& config) {
  const auto fan_in = static_cast<float>(tensor.shape[1]);
  if (tensor.row->Is(&ModelWeights::token_embedding)) return 1 / std::sqrt(fan_in);
  auto fan_out = static_cast<float>(tensor.shape[0]);
  if (tensor.row->Is(&LayerWeights::qkv)) fan_out /= 3;
  return Gain(*tensor.row, config) * std::sqrt(2 / (fan_in + fan_out));
}

// None for what is not random.
std::optional<float> VisionDeviation(const TensorInstance& tensor, const Config& config) {
  const TensorRow& row = *tensor.row;
  if (row.Is(&VisionWeights::newline)) {
    return 1 / std::sqrt(static_cast<float>(config.hidden_size));
  }
  if (row.Is(&VisionWeights::class_embedding) || row.Is(&VisionWeights::position_embedding)) {
    return kVisionEmbedding;
  }
  if (tensor.shape.size() == 1) return std::nullopt;
  const int64_t fan_in = ElementCount(tensor.shape) / tensor.shape[0];
  return 1 / std::sqrt(static_cast<float>(fan_in));
}

// The same for any number of threads.
void FillNormal(uint64_t stream, float deviation, ThreadPool& pool, std::span<float> values) {
  const auto count = static_cast<int64_t>(values.size());
  pool.ParallelFor((count + kRandomBlock - 1) / kRandomBlock, [&](int64_t block, int) {
    const int64_t first = block * kRandomBlock;
    FillRandom(DType::kF32, stream, first, std::min(kRandomBlock, count - first), deviation,
               reinterpret_cast<std::byte*>(values.data() + first));
  });
}

// Rows of the fused matrix lie q | k | v within each head.
void ScaleFusedValues(const Config& config, float factor, std::span<float> qkv) {
  const auto part = static_cast<size_t>(config.head_dim * config.hidden_size);
  for (size_t v = 2 * part; v < qkv.size(); v += 3 * part) {
    for (float& x : qkv.subspan(v, part)) x *= factor;
  }
}

}  // namespace

Result<Config> ModelConfig(const ModelSection& model, int64_t vocab_size,
                           std::vector<int32_t> eos_ids) {
  Config config;
  config.architecture = "MiniMaxText01ForCausalLM";
  config.vocab_size = vocab_size;
  config.hidden_size = model.hidden_size;
  config.ffn_size = model.intermediate_size;
  config.heads = model.heads;
  config.kv_heads = model.kv_heads;
  config.head_dim = model.head_dim;
  config.rotary_dim = model.rotary_dim;
  config.rope_base = model.rope_theta;
  config.experts = model.experts;
  config.experts_per_token = model.experts_per_token;
  config.max_position = model.max_position;
  config.post_norm = model.post_norm;
  config.tied_embeddings = model.tie_embeddings;
  config.eos_ids = std::move(eos_ids);
  config.layers = LayerPattern(model.layers, model.softmax_every);
  for (size_t i = 0; i < model.attn_type_list.size(); ++i) {
    config.layers[i] = model.attn_type_list[i] == 1 ? LayerKind::kSoftmax : LayerKind::kLightning;
  }
  if (config.post_norm && model.deepnorm) SetDeepNorm(config);
  return ParseConfig(ConfigToJson(config, "float32"), "the model of the config");
}

TileRules TilesOf(const VisionSection& vision) {
  TileRules tiles = {.tile = vision.tile, .patch = vision.patch, .pinpoints = {}};
  if (vision.grids.empty()) {
    for (const Size& size : ReleasedPinpoints()) {
      tiles.pinpoints.push_back(
          {size.width / kReleasedTile * vision.tile, size.height / kReleasedTile * vision.tile});
    }
  }
  for (const std::vector<int64_t>& grid : vision.grids) {
    tiles.pinpoints.push_back({grid[0] * vision.tile, grid[1] * vision.tile});
  }
  return tiles;
}

Status AddVision(const VisionSection& vision, std::optional<int32_t> image_token, Config& config) {
  if (config.vision) {
    return Fail(ErrorCode::kInvalidArgument,
                "[vision] is for a model of text, the model to go on from reads images already");
  }
  if (!image_token || *image_token >= config.vocab_size) {
    return Fail(ErrorCode::kInvalidArgument,
                "a tokenizer with the token <image> is expected of a model that reads images");
  }
  VisionConfig made = {.tiles = TilesOf(vision), .normalisation = ClipNormalisation()};
  made.width = vision.width;
  made.heads = vision.heads;
  made.ffn_size = vision.intermediate_size;
  made.layers = vision.layers;
  made.image_token = *image_token;
  config.vision = std::move(made);
  FULMEN_ASSIGN(config, ParseConfig(ConfigToJson(config, "float32"), "the model of the config"));
  return {};
}

void InitializeWeights(const Config& config, uint64_t seed, ThreadPool& pool, Parameters& weights) {
  for (size_t i = 0; i < weights.size(); ++i) {
    const TensorInstance& tensor = weights.tensor(i);
    if (tensor.row->in_vision()) continue;
    const std::span<float> values = weights.values(i);
    if (tensor.shape.size() == 1) {
      std::fill(values.begin(), values.end(), 1.0F);
      continue;
    }
    FillNormal(MixSeed({seed, i}), Deviation(tensor, config), pool, values);
    if (tensor.row->Is(&LayerWeights::qkv)) {
      ScaleFusedValues(config, DeepNormBeta(config), values);
    }
  }
  InitializeVision(config, seed, pool, weights);
}

void InitializeVision(const Config& config, uint64_t seed, ThreadPool& pool, Parameters& weights) {
  for (size_t i = 0; i < weights.size(); ++i) {
    const TensorInstance& tensor = weights.tensor(i);
    if (!tensor.row->in_vision()) continue;
    const std::span<float> values = weights.values(i);
    const std::optional<float> deviation = VisionDeviation(tensor, config);
    if (deviation) {
      FillNormal(MixSeed({seed, i}), *deviation, pool, values);
    } else {  // a norm's weight or any bias
      std::fill(values.begin(), values.end(), tensor.name.ends_with(".bias") ? 0.0F : 1.0F);
    }
  }
}

}  // namespace fulmen
