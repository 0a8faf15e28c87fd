#include "model/gguf_config.h"

#include <algorithm>
#include <array>
#include <string>

#include "model/config_fields.h"
#include "model/generation_config.h"
#include "model/json_fields.h"
#include "model/tensor_table.h"

namespace fulmen {
namespace {

constexpr const char* kArchitectureKey = "general.architecture";
constexpr std::string_view kArchitecture = "minimax-01";
constexpr const char* kSuppressedKey = "tokenizer.ggml.suppress_tokens";
constexpr const char* kVocabulary = "the number of rows of token_embd.weight";  // no key has it

constexpr const char* kLayers = "minimax-01.block_count";
constexpr const char* kLightningLayers = "minimax-01.attention.recurrent_layers";
constexpr const char* kSoftmaxInterval = "minimax-01.full_attention_interval";
constexpr const char* kValueDim = "minimax-01.attention.value_length";
constexpr const char* kEpsilon = "minimax-01.attention.layer_norm_rms_epsilon";
constexpr const char* kResidual = "minimax-01.residual_scale";
constexpr const char* kRotaryDim = "minimax-01.rope.dimension_count";
constexpr const char* kRopeBase = "minimax-01.rope.freq_base";
constexpr const char* kRopeScaling = "minimax-01.rope.scaling.type";
constexpr const char* kGating = "minimax-01.expert_gating_func";
constexpr GeometryNames kGgufNames = {
    .vocab_size = kVocabulary,
    .hidden_size = "minimax-01.embedding_length",
    .ffn_size = "minimax-01.feed_forward_length",
    .heads = "minimax-01.attention.head_count",
    .kv_heads = "minimax-01.attention.head_count_kv",
    .head_dim = "minimax-01.attention.key_length",
    .experts = "minimax-01.expert_count",
    .experts_per_token = "minimax-01.expert_used_count",
    .max_position = "minimax-01.context_length",
};
// Tokens that end a text, a turn or a message.
constexpr std::array kEndKeys = {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id",
                                 "tokenizer.ggml.eom_token_id"};
// Features of other models.
constexpr std::array kUnsupportedKeys = {
    "minimax-01.attention.sliding_window", "minimax-01.attn_logit_softcapping",
    "minimax-01.expert_shared_count",      "minimax-01.expert_shared_feed_forward_length",
    "minimax-01.final_logit_softcapping",  "minimax-01.leading_dense_block_count",
    "minimax-01.nextn_predict_layers",
};

// The values of these keys under their names; an array is named as such, since none is expected.
Json Scalars(const GgufHeader& header) {
  Json json = Json::object();
  const auto add = [&](const char* key) {
    const GgufValue* value = header.Find(key);
    if (value == nullptr) return;
    json[key] =
        value->array ? Json(fmt::format("an array of {} values", value->size)) : value->ToJson();
  };
  for (const char* key :
       {kLayers, kValueDim, kEpsilon, kResidual, kRotaryDim, kRopeBase, kRopeScaling, kGating,
        kGgufNames.hidden_size, kGgufNames.ffn_size, kGgufNames.heads, kGgufNames.kv_heads,
        kGgufNames.head_dim, kGgufNames.experts, kGgufNames.experts_per_token,
        kGgufNames.max_position}) {
    add(key);
  }
  for (const char* key : kEndKeys) add(key);
  for (const char* key : kUnsupportedKeys) add(key);
  return json;
}

Status CheckArchitecture(const GgufModel& model) {
  FULMEN_ASSIGN(const std::string_view found,
                model.header().FindString(kArchitectureKey, model.where()));
  if (found == kArchitecture) return {};
  return Fail(ErrorCode::kUnsupported, "{}: {} is \"{}\", models of {} are supported",
              model.where(), kArchitectureKey, found, kArchitecture);
}

std::string NameOf(TensorMember<WeightMatrix> member, int64_t layer) {
  return TensorName(RowOf(member).gguf.name, layer, -1);
}

void ReadLayers(JsonFields& fields, const GgufModel& model, Config& config) {
  config.layers.resize(static_cast<size_t>(fields.Integer(kLayers, kMaxLayers)));
  for (int64_t layer = 0; layer < config.layer_count() && fields.ok(); ++layer) {
    const std::string lightning = NameOf(&LayerWeights::qkv, layer);
    const std::string softmax = NameOf(&LayerWeights::query, layer);
    const bool is_lightning = model.Find(lightning) != nullptr;
    if (!is_lightning && model.Find(softmax) == nullptr) {
      fields.Refuse(ErrorCode::kNotFound, "tensor \"{}\" is missing (and so is \"{}\")", lightning,
                    softmax);
    }
    config.layers[static_cast<size_t>(layer)] =
        is_lightning ? LayerKind::kLightning : LayerKind::kSoftmax;
  }
}

const char* NameOf(bool lightning) { return lightning ? "lightning" : "softmax"; }

bool IsLightning(const Config& config, int64_t layer) {
  return config.layers[static_cast<size_t>(layer)] == LayerKind::kLightning;
}

// One flag for all layers, or one for each.
void CheckLightningLayers(JsonFields& fields, const GgufValue& value, const Config& config) {
  if (value.array && value.size != config.layers.size()) {
    fields.Refuse(ErrorCode::kCorrupt, "{} should have {} elements, found {}", kLightningLayers,
                  config.layer_count(), value.size);
    return;
  }
  for (int64_t layer = 0; layer < config.layer_count(); ++layer) {
    const Json flag = value.Element(value.array ? static_cast<size_t>(layer) : 0);
    const bool is_flag = flag.is_boolean() || IntegerIn(flag, 0, 1);
    if (!is_flag) {
      fields.Refuse(ErrorCode::kCorrupt, "{} should hold 0 and 1, found {}", kLightningLayers,
                    Shown(flag));
      return;
    }
    const bool lightning = flag.is_boolean() ? flag.get<bool>() : flag == 1;
    if (lightning == IsLightning(config, layer)) continue;
    fields.Refuse(ErrorCode::kCorrupt, "{} has {} for layer {}, but its tensors are those of {}",
                  kLightningLayers, Shown(flag), layer, NameOf(!lightning));
    return;
  }
}

void CheckSoftmaxInterval(JsonFields& fields, const GgufValue& value, const Config& config) {
  const int64_t interval = value.array ? 0 : value.Integer().value_or(0);
  if (interval < 1) {
    fields.Refuse(ErrorCode::kCorrupt, "{} should be a whole number of at least 1, found {}",
                  kSoftmaxInterval, value.array ? "an array" : Shown(value.ToJson()));
    return;
  }
  for (int64_t layer = 0; layer < config.layer_count(); ++layer) {
    const bool lightning = (layer + 1) % interval != 0;
    if (lightning == IsLightning(config, layer)) continue;
    fields.Refuse(ErrorCode::kCorrupt,
                  "{} is {}, by which layer {} is {}, but its tensors are those of {}",
                  kSoftmaxInterval, interval, layer, NameOf(lightning), NameOf(!lightning));
    return;
  }
}

// Other programs go by what the metadata says of layers, the flags first.
void CheckLayerKinds(JsonFields& fields, const GgufHeader& header, const Config& config) {
  if (const GgufValue* flags = header.Find(kLightningLayers)) {
    CheckLightningLayers(fields, *flags, config);
  } else if (const GgufValue* interval = header.Find(kSoftmaxInterval)) {
    CheckSoftmaxInterval(fields, *interval, config);
  }
}

void ReadGgufRope(JsonFields& fields, Config& config) {
  if (const Json* type = fields.Find(kRopeScaling); type != nullptr && *type != "none") {
    fields.Refuse(ErrorCode::kUnsupported, "{} should be \"none\", found {}", kRopeScaling,
                  Shown(*type));
  }
  if (HasSoftmax(config) && fields.Find(kRopeBase) == nullptr) {
    fields.Refuse(ErrorCode::kCorrupt, "{} is missing", kRopeBase);
  }
  config.rope_base = fields.Number(kRopeBase, 1, 1e30, config.rope_base);
  config.rotary_dim = fields.Integer(kRotaryDim, kMaxAttention, config.head_dim);
  CheckRotaryDim(fields, kRotaryDim, config);
}

void CheckFeatures(JsonFields& fields, const Config& config) {
  RefuseSwitchedOn(fields, kUnsupportedKeys);
  if (fields.Integer(kValueDim, kMaxAttention, config.head_dim) != config.head_dim) {
    fields.Refuse(ErrorCode::kUnsupported, "{} should be the same as {}, {}, found {}", kValueDim,
                  kGgufNames.head_dim, config.head_dim, Shown(*fields.Find(kValueDim)));
  }
  constexpr int64_t kSoftmaxGating = 1;
  if (const Json* gating = fields.Find(kGating); gating != nullptr && *gating != kSoftmaxGating) {
    fields.Refuse(ErrorCode::kUnsupported, "{} should be {} (softmax), found {}", kGating,
                  kSoftmaxGating, Shown(*gating));
  }
}

}  // namespace

Result<Config> ConfigFromGguf(const GgufModel& model) {
  FULMEN_TRY(CheckArchitecture(model));
  Json json = Scalars(model.header());
  const std::string embedding = NameOf(&ModelWeights::token_embedding, -1);
  const GgufTensor* table = model.Find(embedding);
  if (table == nullptr || table->shape.empty()) {
    return Fail(ErrorCode::kNotFound, "{}: tensor \"{}\" is missing", model.where(), embedding);
  }
  json[kVocabulary] = table->shape.front();

  JsonFields fields(json, model.where());
  Config config;
  config.architecture = kArchitecture;
  ReadLayers(fields, model, config);
  ReadGeometry(fields, kGgufNames, config);
  FULMEN_TRY(fields.status());
  CheckLayerKinds(fields, model.header(), config);
  ReadGgufRope(fields, config);
  CheckFeatures(fields, config);
  config.rms_norm_epsilon = ReadEpsilon(fields, kEpsilon);
  config.tied_embeddings = model.Find(NameOf(&ModelWeights::head, -1)) == nullptr;
  const float alpha = ReadResidualWeight(fields, kResidual);
  config.lightning_residual.alpha = alpha;
  config.softmax_residual.alpha = alpha;
  config.mlp_residual.alpha = alpha;
  for (const char* key : kEndKeys) {
    for (const int32_t id : ReadTokenIds(fields, key, config.vocab_size)) {
      if (std::ranges::find(config.eos_ids, id) == config.eos_ids.end()) {
        config.eos_ids.push_back(id);
      }
    }
  }
  FULMEN_TRY(fields.status());
  return config;
}

Result<std::vector<int32_t>> SuppressedIds(const GgufModel& model, int64_t vocab_size) {
  const GgufValue* value = model.header().Find(kSuppressedKey);
  std::vector<int32_t> ids;
  if (value == nullptr) return ids;
  for (size_t i = 0; i < value->size; ++i) {
    const int64_t id = value->Integer(i).value_or(-1);
    if (id < 0 || id >= vocab_size) {
      return Fail(ErrorCode::kCorrupt, "{}: {} should hold tokens below {}, found {}",
                  model.where(), kSuppressedKey, vocab_size, Shown(value->Element(i)));
    }
    ids.push_back(static_cast<int32_t>(id));
  }
  std::ranges::sort(ids);
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  return ids;
}

}  // namespace fulmen
