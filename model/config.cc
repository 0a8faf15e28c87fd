#include "model/config.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <string_view>

#include "base/check.h"
#include "model/config_fields.h"
#include "model/generation_config.h"
#include "model/gguf_config.h"
#include "model/gguf_vision.h"
#include "model/json_fields.h"

namespace fulmen {
namespace {

constexpr GeometryNames kConfigNames = {
    .vocab_size = "vocab_size",
    .hidden_size = "hidden_size",
    .ffn_size = "intermediate_size",
    .heads = "num_attention_heads",
    .kv_heads = "num_key_value_heads",
    .head_dim = "head_dim",
    .experts = "num_local_experts",
    .experts_per_token = "num_experts_per_tok",
    .max_position = "max_position_embeddings",
};

// Features of other models that some key switches on. Absent, null, false, 0 and "" switch off.
constexpr std::array kUnsupportedFields = {
    "shared_intermediate_size",
    "sliding_window",
    "quantization_config",
    "compression_config",
    "attention_bias",
    "qkv_bias",
    "mlp_bias",
    "use_bias",
    "use_qk_norm",
    "n_shared_experts",
    "num_mtp_modules",
    "final_logit_softcapping",
};

constexpr std::array kOriginalArchitectures = {"MiniMaxText01ForCausalLM", "MiniMaxM1ForCausalLM"};
constexpr std::string_view kNativeArchitecture = "MiniMaxForCausalLM";
constexpr const char* kNativeLightning = "linear_attention";
constexpr const char* kNativeSoftmax = "full_attention";
constexpr std::string_view kVisionArchitecture = "MiniMaxVL01ForConditionalGeneration";

bool IsOriginal(const std::string& architecture) {
  return std::find(kOriginalArchitectures.begin(), kOriginalArchitectures.end(), architecture) !=
         kOriginalArchitectures.end();
}

std::string ReadArchitecture(JsonFields& fields) {
  const std::string known = fmt::format("{}, {} and {}", fmt::join(kOriginalArchitectures, ", "),
                                        kNativeArchitecture, kVisionArchitecture);
  const Json* list = fields.Find("architectures");
  if (list == nullptr || !list->is_array() || list->size() != 1 || !list->front().is_string()) {
    fields.Refuse(ErrorCode::kCorrupt,
                  "architectures should list one name ({} are known), found {}", known,
                  list == nullptr ? "nothing" : Shown(*list));
    return "";
  }
  auto name = list->front().get<std::string>();
  if (!IsOriginal(name) && name != kNativeArchitecture && name != kVisionArchitecture) {
    fields.Refuse(ErrorCode::kUnsupported, "architecture {} is not known; {} are",
                  Shown(list->front()), known);
  }
  return name;
}

void RefuseUnsupported(JsonFields& fields) {
  RefuseSwitchedOn(fields, kUnsupportedFields);
  const Json* activation = fields.Find("hidden_act");
  if (activation != nullptr && *activation != "silu") {
    fields.Refuse(ErrorCode::kUnsupported, "hidden_act should be \"silu\", found {}",
                  Shown(*activation));
  }
}

// The list under `name`, one entry per layer, each `lightning` or `softmax`.
void ReadLayerList(JsonFields& fields, const char* name, const Json& lightning, const Json& softmax,
                   std::vector<LayerKind>& layers) {
  const Json* list = fields.Find(name);
  if (list == nullptr || !list->is_array()) {
    fields.Refuse(ErrorCode::kCorrupt, "{} should list the kind of every layer, found {}", name,
                  list == nullptr ? "nothing" : Shown(*list));
    return;
  }
  if (list->size() != layers.size()) {
    fields.Refuse(ErrorCode::kCorrupt, "{} lists {} layers, num_hidden_layers says {}", name,
                  list->size(), layers.size());
    return;
  }
  for (size_t i = 0; i < layers.size(); ++i) {
    const Json& kind = (*list)[i];
    if (kind != lightning && kind != softmax) {
      fields.Refuse(ErrorCode::kUnsupported, "{}[{}] should be {} or {}, found {}", name, i,
                    lightning.dump(), softmax.dump(), Shown(kind));
      return;
    }
    layers[i] = kind == softmax ? LayerKind::kSoftmax : LayerKind::kLightning;
  }
}

void ReadLayers(JsonFields& fields, Config& config) {
  const auto count = static_cast<size_t>(fields.Integer("num_hidden_layers", kMaxLayers));
  config.layers.assign(count, LayerKind::kLightning);
  if (!config.native) {
    ReadLayerList(fields, "attn_type_list", 0, 1, config.layers);
  } else if (fields.Find("layer_types") != nullptr) {
    ReadLayerList(fields, "layer_types", kNativeLightning, kNativeSoftmax, config.layers);
  } else {  // Transformers' default: alternate, softmax first
    for (size_t i = 0; i < count; i += 2) config.layers[i] = LayerKind::kSoftmax;
  }
}

// Refuses every rope type but the plain one.
void CheckRopeType(JsonFields& fields, std::string_view name, const Json& scaling) {
  if (!scaling.is_object()) {
    fields.Refuse(ErrorCode::kCorrupt, "{} should be an object, found {}", name, Shown(scaling));
    return;
  }
  for (const char* key : {"rope_type", "type"}) {
    const Json* type = JsonFields::Find(scaling, key);
    if (type != nullptr && *type != "default") {
      fields.Refuse(ErrorCode::kUnsupported, "{}.{} should be \"default\", found {}", name, key,
                    Shown(*type));
    }
  }
}

void ReadRope(JsonFields& fields, Config& config) {
  const Json* parameters = fields.Find("rope_parameters");
  if (parameters != nullptr) CheckRopeType(fields, "rope_parameters", *parameters);
  if (const Json* scaling = fields.Find("rope_scaling"); scaling != nullptr) {
    CheckRopeType(fields, "rope_scaling", *scaling);
    if (fields.ok() && JsonFields::Find(*scaling, "rope_type") == nullptr &&
        JsonFields::Find(*scaling, "type") == nullptr) {
      fields.Refuse(ErrorCode::kUnsupported, "rope_scaling is not supported, found {}",
                    Shown(*scaling));
    }
  }
  const auto find = [&](std::string_view name) {
    const Json* inner = parameters == nullptr ? nullptr : JsonFields::Find(*parameters, name);
    return inner != nullptr ? inner : fields.Find(name);
  };
  const Json* base = find("rope_theta");
  const bool needed = HasSoftmax(config);
  if (base == nullptr && needed) {
    fields.Refuse(ErrorCode::kCorrupt, "rope_theta is missing, also from rope_parameters");
  }
  config.rope_base = fields.Number(base, "rope_theta", 1, 1e30, config.rope_base);

  if (fields.Find("rotary_dim") != nullptr) {
    config.rotary_dim = fields.Integer("rotary_dim", kMaxAttention);
  } else {
    const double factor =
        fields.Number(find("partial_rotary_factor"), "partial_rotary_factor", 1e-6, 1, 1);
    config.rotary_dim = static_cast<int64_t>(static_cast<double>(config.head_dim) * factor);
  }
  // Layers without RoPE do not mind an odd head.
  if (!needed && fields.Find("rotary_dim") == nullptr) config.rotary_dim &= ~int64_t{1};
  CheckRotaryDim(fields, "rotary_dim", config);
}

ResidualScale ReadResidual(JsonFields& fields, const char* alpha, const char* beta) {
  return {ReadResidualWeight(fields, alpha), ReadResidualWeight(fields, beta)};
}

// The slopes of the heads, before the layer's factor.
std::vector<float> HeadSlopes(const Config& config) {
  const auto slope = [](int64_t index, int64_t of) {
    return static_cast<float>(
        std::exp2(-8.0 * static_cast<double>(index + 1) / static_cast<double>(of)));
  };
  // ALiBi's geometric sequence. In the original scheme a count that is no power of two takes that
  // of the power below, then every second one of the power above.
  int64_t whole = 1;
  while (2 * whole <= config.heads) whole *= 2;
  if (config.native) whole = config.heads;
  std::vector<float> slopes;
  for (int64_t h = 0; h < config.heads; ++h) {
    slopes.push_back(h < whole ? slope(h, whole) : slope(2 * (h - whole), 2 * whole));
  }
  return slopes;
}

// The part of a config.json that the schemes name alike.
Json CommonFields(const Config& config) {
  Json json;
  json["vocab_size"] = config.vocab_size;
  json["hidden_size"] = config.hidden_size;
  json["intermediate_size"] = config.ffn_size;
  json["num_hidden_layers"] = config.layer_count();
  json["num_attention_heads"] = config.heads;
  json["num_key_value_heads"] = config.kv_heads;
  json["head_dim"] = config.head_dim;
  json["rotary_dim"] = config.rotary_dim;
  json["rope_theta"] = config.rope_base;
  json["max_position_embeddings"] = config.max_position;
  json["num_local_experts"] = config.experts;
  json["num_experts_per_tok"] = config.experts_per_token;
  json["rms_norm_eps"] = ShortestDecimal(config.rms_norm_epsilon);
  json["hidden_act"] = "silu";
  json["tie_word_embeddings"] = config.tied_embeddings;
  json["bos_token_id"] = nullptr;
  json["eos_token_id"] = nullptr;
  if (config.eos_ids.size() == 1) json["eos_token_id"] = config.eos_ids.front();
  if (config.eos_ids.size() > 1) json["eos_token_id"] = config.eos_ids;
  json["attention_dropout"] = 0.0;
  json["sliding_window"] = nullptr;
  json["use_cache"] = true;
  return json;
}

Json OriginalFields(const Config& config) {
  const bool m1 = config.architecture == kOriginalArchitectures[1];
  std::vector<int> kinds;
  for (const LayerKind kind : config.layers) kinds.push_back(kind == LayerKind::kSoftmax ? 1 : 0);
  Json json;
  json["architectures"] = {kOriginalArchitectures[m1 ? 1 : 0]};
  json["model_type"] = m1 ? "minimax_m1" : "minimax_text_01";
  json["attn_type_list"] = kinds;
  json["postnorm"] = config.post_norm;
  json["layernorm_full_attention_alpha"] = ShortestDecimal(config.softmax_residual.alpha);
  json["layernorm_full_attention_beta"] = ShortestDecimal(config.softmax_residual.beta);
  json["layernorm_linear_attention_alpha"] = ShortestDecimal(config.lightning_residual.alpha);
  json["layernorm_linear_attention_beta"] = ShortestDecimal(config.lightning_residual.beta);
  json["layernorm_mlp_alpha"] = ShortestDecimal(config.mlp_residual.alpha);
  json["layernorm_mlp_beta"] = ShortestDecimal(config.mlp_residual.beta);
  json["shared_intermediate_size"] = 0;
  json["shared_moe_mode"] = "sigmoid";
  return json;
}

Json NativeFields(const Config& config) {
  Json json;
  json["architectures"] = {kNativeArchitecture};
  json["model_type"] = "minimax";
  json["layer_types"] = Json::array();
  for (const LayerKind kind : config.layers) {
    json["layer_types"].push_back(kind == LayerKind::kSoftmax ? kNativeSoftmax : kNativeLightning);
  }
  json["full_attn_alpha_factor"] = ShortestDecimal(config.softmax_residual.alpha);
  json["full_attn_beta_factor"] = ShortestDecimal(config.softmax_residual.beta);
  json["linear_attn_alpha_factor"] = ShortestDecimal(config.lightning_residual.alpha);
  json["linear_attn_beta_factor"] = ShortestDecimal(config.lightning_residual.beta);
  json["mlp_alpha_factor"] = ShortestDecimal(config.mlp_residual.alpha);
  json["mlp_beta_factor"] = ShortestDecimal(config.mlp_residual.beta);
  return json;
}

// The fields of a model of text, into `config`, whose scheme is known.
Result<Config> ParseText(const Json& json, const std::string& where, Config config) {
  JsonFields fields(json, where);
  RefuseUnsupported(fields);
  ReadLayers(fields, config);
  ReadGeometry(fields, kConfigNames, config);
  FULMEN_TRY(fields.status());
  ReadRope(fields, config);
  config.eos_ids = ReadTokenIds(fields, "eos_token_id", config.vocab_size);
  config.rms_norm_epsilon = ReadEpsilon(fields, "rms_norm_eps");
  config.tied_embeddings = fields.Boolean("tie_word_embeddings", false);
  config.post_norm = config.native || fields.Boolean("postnorm", false);
  if (config.native) {
    config.lightning_residual =
        ReadResidual(fields, "linear_attn_alpha_factor", "linear_attn_beta_factor");
    config.softmax_residual =
        ReadResidual(fields, "full_attn_alpha_factor", "full_attn_beta_factor");
    config.mlp_residual = ReadResidual(fields, "mlp_alpha_factor", "mlp_beta_factor");
  } else {
    config.lightning_residual =
        ReadResidual(fields, "layernorm_linear_attention_alpha", "layernorm_linear_attention_beta");
    config.softmax_residual =
        ReadResidual(fields, "layernorm_full_attention_alpha", "layernorm_full_attention_beta");
    config.mlp_residual = ReadResidual(fields, "layernorm_mlp_alpha", "layernorm_mlp_beta");
  }
  FULMEN_TRY(fields.status());
  return config;
}

// The released text_config has 8192 positions, fewer than one large image has tokens: it is what
// training went up to, not what the model can read. Its API took so many.
constexpr int64_t kVisionPositions = 1'000'192;

Result<Config> ParseWithVision(const Json& json, const std::string& where) {
  const Json* text = JsonFields::Find(json, "text_config");
  if (text == nullptr || !text->is_object()) {
    return Fail(ErrorCode::kCorrupt, "{}: text_config should be an object, found {}", where,
                text == nullptr ? "nothing" : Shown(*text));
  }
  Config config;
  config.architecture = kVisionArchitecture;
  config.native = JsonFields::Find(*text, "attn_type_list") == nullptr;
  FULMEN_ASSIGN(config, ParseText(*text, where + ": text_config", std::move(config)));
  FULMEN_ASSIGN(config.vision, ParseVisionConfig(json, config.vocab_size, where));
  JsonFields fields(json, where);
  config.tied_embeddings = fields.Boolean("tie_word_embeddings", config.tied_embeddings);
  FULMEN_TRY(fields.status());
  if (config.max_position <= LargestImage(config.vision->tiles)) {
    config.max_position = kVisionPositions;
  }
  return config;
}

}  // namespace

Result<Config> ParseConfig(const Json& json, const std::string& where) {
  if (!json.is_object()) {
    return Fail(ErrorCode::kCorrupt, "{}: expected an object, found {}", where, Shown(json));
  }
  JsonFields fields(json, where);
  Config config;
  config.architecture = ReadArchitecture(fields);
  FULMEN_TRY(fields.status());
  if (config.architecture == kVisionArchitecture) return ParseWithVision(json, where);
  config.native = !IsOriginal(config.architecture);
  return ParseText(json, where, std::move(config));
}

Result<Config> ReadConfig(const ModelFiles& files) {
  if (files.gguf()) {
    FULMEN_ASSIGN(Config config, ConfigFromGguf(*files.gguf()));
    if (!files.mmproj()) return config;
    FULMEN_ASSIGN(config.vision, VisionFromGguf(*files.mmproj(), config));
    return config;
  }
  FULMEN_ASSIGN(const NamedJson json, files.ReadConfig());
  FULMEN_ASSIGN(Config config, ParseConfig(json.json, json.where));
  if (!config.vision) return config;
  FULMEN_ASSIGN(const std::optional<NamedJson> preprocessor, files.ReadPreprocessorConfig());
  if (preprocessor) {
    FULMEN_TRY(ReadPreprocessorConfig(preprocessor->json, preprocessor->where, *config.vision));
  }
  return config;
}

Json ConfigToJson(const Config& config, const std::string& dtype) {
  Json text = config.native ? NativeFields(config) : OriginalFields(config);
  text.update(CommonFields(config));
  Json json = text;
  if (config.vision) {
    json = VisionConfigToJson(*config.vision);
    json["architectures"] = {kVisionArchitecture};
    json["model_type"] = "minimax_vl_01";
    json["tie_word_embeddings"] = config.tied_embeddings;
    json["text_config"] = std::move(text);
  }
  json["torch_dtype"] = dtype;
  return json;
}

std::vector<float> LightningDecay(const Config& config, int64_t layer) {
  FULMEN_CHECK(layer >= 0 && layer < config.layer_count(), "layer {}", layer);
  constexpr double kEpsilon = 1e-5;
  const auto last = static_cast<double>(config.layer_count() - 1) + (config.native ? kEpsilon : 0);
  const double depth = last == 0 ? 0.0 : static_cast<double>(layer) / last;
  // Rounded to float32 where the released code rounds.
  const auto factor = static_cast<float>(1 - depth + kEpsilon);
  std::vector<float> decay = HeadSlopes(config);
  for (float& slope : decay) slope *= factor;
  return decay;
}

std::vector<float> RopeInverseFrequencies(const Config& config) {
  // Rounded to float32 where the released code rounds.
  std::vector<float> frequencies;
  for (int64_t i = 0; i < config.rotary_dim / 2; ++i) {
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(config.rotary_dim);
    const double power = std::pow(config.rope_base, static_cast<double>(exponent));
    frequencies.push_back(1.0F / static_cast<float>(power));
  }
  return frequencies;
}

}  // namespace fulmen
