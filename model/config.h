// The geometry and constants of one model: everything the tensors themselves do not say.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "formats/model_files.h"
#include "model/vision_config.h"

namespace fulmen {

enum class LayerKind : uint8_t { kLightning, kSoftmax };

// Beyond every model; what ParseConfig refuses more than.
inline constexpr int64_t kMaxLayers = int64_t{1} << 14;

// The weights of the two summands of a residual connection: h <- alpha * residual + beta * branch.
struct ResidualScale {
  float alpha = 1;
  float beta = 1;
};

// Immutable once made. Dimensions are named as in the literature; all are counts of elements.
struct Config {
  std::string architecture;  // as the file spells it, e.g. "MiniMaxText01ForCausalLM", "minimax-01"
  bool native = false;       // the Transformers-native scheme, which has slopes of its own
  int64_t vocab_size = 0;
  int64_t hidden_size = 0;
  int64_t ffn_size = 0;  // width of one expert
  int64_t heads = 0;
  int64_t kv_heads = 0;  // softmax layers only
  int64_t head_dim = 0;
  int64_t rotary_dim = 0;  // leading channels of a head that RoPE rotates; even, at most head_dim
  double rope_base = 10000;
  int64_t experts = 0;
  int64_t experts_per_token = 0;
  int64_t max_position = 0;  // context limit in tokens
  float rms_norm_epsilon = 1e-5F;
  bool post_norm = true;  // the residual is the normalised value
  bool tied_embeddings = false;
  std::vector<LayerKind> layers;
  ResidualScale lightning_residual;
  ResidualScale softmax_residual;
  ResidualScale mlp_residual;
  std::vector<int32_t> eos_ids;             // may be empty; the tokenizer may name more
  std::optional<VisionConfig> vision = {};  // of a model that reads images

  int64_t layer_count() const { return static_cast<int64_t>(layers.size()); }
  int64_t attention_size() const { return heads * head_dim; }
  int64_t kv_size() const { return kv_heads * head_dim; }
};

// From a config.json of the original scheme (MiniMaxText01ForCausalLM, MiniMaxM1ForCausalLM) or the
// Transformers-native one (MiniMaxForCausalLM), or of a model with images
// (MiniMaxVL01ForConditionalGeneration), whose text half has either. Untrusted input:
// contradictions, absurd sizes and features we do not have are errors that name the field. `where`
// names the file.
Result<Config> ParseConfig(const Json& json, const std::string& where);
// Of a model's files, of either kind.
Result<Config> ReadConfig(const ModelFiles& files);

// Inverse of ParseConfig, in the config's scheme. `dtype` is "float32", "bfloat16" or "float16".
Json ConfigToJson(const Config& config, const std::string& dtype);

// decay[h] of layer `layer`: 2^(-8(h+1)/heads) * (1 - layer/(L-1) + 1e-5). In the original scheme
// with the ALiBi interpolation for head counts that are no power of two, as in the released code of
// MiniMax-01; in the native scheme with L - 1 + 1e-5 for L - 1, as in Transformers.
std::vector<float> LightningDecay(const Config& config, int64_t layer);

// base^(-2i/rotary_dim) for i in [0, rotary_dim/2).
std::vector<float> RopeInverseFrequencies(const Config& config);

}  // namespace fulmen
