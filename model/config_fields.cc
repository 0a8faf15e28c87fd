#include "model/config_fields.h"

#include <algorithm>

namespace fulmen {
namespace {

// Far above any real model, low enough that no size computed from a config overflows 64 bits.
constexpr int64_t kMaxVocab = int64_t{1} << 24;
constexpr int64_t kMaxWidth = int64_t{1} << 19;  // hidden, expert width
constexpr int64_t kMaxHeads = int64_t{1} << 14;
constexpr int64_t kMaxExperts = int64_t{1} << 14;
constexpr int64_t kMaxExpertsInAll = int64_t{1} << 18;
constexpr int64_t kMaxPosition = (int64_t{1} << 31) - 1;
constexpr double kMaxResidual = 1e6;

bool IsSwitchedOff(const Json& value) {
  if (value.is_null()) return true;
  if (value.is_boolean()) return !value.get<bool>();
  if (value.is_number()) return value.get<double>() == 0;
  if (value.is_string()) return value.get_ref<const std::string&>().empty();
  if (value.is_array()) return std::ranges::all_of(value, IsSwitchedOff);
  return false;
}

void ReadHeads(JsonFields& fields, const GeometryNames& names, Config& config) {
  config.heads = fields.Integer(names.heads, kMaxHeads);
  config.kv_heads = fields.Integer(names.kv_heads, kMaxHeads, config.heads);
  if (config.heads % config.kv_heads != 0) {
    fields.Refuse(ErrorCode::kCorrupt, "{} {} should be a multiple of {} {}", names.heads,
                  config.heads, names.kv_heads, config.kv_heads);
  }
  if (fields.Find(names.head_dim) == nullptr && config.hidden_size % config.heads != 0) {
    fields.Refuse(ErrorCode::kCorrupt, "{} is missing and {} {} is no multiple of {} {}",
                  names.head_dim, names.hidden_size, config.hidden_size, names.heads, config.heads);
  }
  config.head_dim = fields.Integer(names.head_dim, kMaxAttention,
                                   std::max<int64_t>(1, config.hidden_size / config.heads));
  if (config.attention_size() > kMaxAttention) {
    fields.Refuse(ErrorCode::kCorrupt, "{} heads of {} channels exceed the limit of {} together",
                  config.heads, config.head_dim, kMaxAttention);
  }
}

void ReadExperts(JsonFields& fields, const GeometryNames& names, Config& config) {
  config.experts = fields.Integer(names.experts, kMaxExperts);
  config.experts_per_token = fields.Integer(names.experts_per_token, kMaxExperts);
  if (config.experts_per_token > config.experts) {
    fields.Refuse(ErrorCode::kCorrupt, "{} {} should be at most {} {}", names.experts_per_token,
                  config.experts_per_token, names.experts, config.experts);
  }
  if (config.experts * config.layer_count() > kMaxExpertsInAll) {
    fields.Refuse(ErrorCode::kCorrupt, "{} layers of {} experts exceed the limit of {} together",
                  config.layer_count(), config.experts, kMaxExpertsInAll);
  }
}

}  // namespace

void ReadGeometry(JsonFields& fields, const GeometryNames& names, Config& config) {
  config.vocab_size = fields.Integer(names.vocab_size, kMaxVocab);
  config.hidden_size = fields.Integer(names.hidden_size, kMaxWidth);
  config.ffn_size = fields.Integer(names.ffn_size, kMaxWidth);
  ReadHeads(fields, names, config);
  ReadExperts(fields, names, config);
  config.max_position = fields.Integer(names.max_position, kMaxPosition);
}

void CheckRotaryDim(JsonFields& fields, const char* name, const Config& config) {
  if (config.rotary_dim > config.head_dim || config.rotary_dim % 2 != 0 ||
      (HasSoftmax(config) && config.rotary_dim < 2)) {
    fields.Refuse(ErrorCode::kCorrupt,
                  "{} should be even and from 2 to the head dimension {}, found {}", name,
                  config.head_dim, config.rotary_dim);
  }
}

float ReadEpsilon(JsonFields& fields, const char* name) {
  return static_cast<float>(fields.Number(name, 1e-12, 1, 1e-5));
}

float ReadResidualWeight(JsonFields& fields, const char* name) {
  return static_cast<float>(fields.Number(name, -kMaxResidual, kMaxResidual, 1));
}

void RefuseSwitchedOn(JsonFields& fields, std::span<const char* const> names) {
  for (const char* name : names) {
    const Json* value = fields.Find(name);
    if (value == nullptr || IsSwitchedOff(*value)) continue;
    fields.Refuse(ErrorCode::kUnsupported, "{} is not supported, found {}", name, Shown(*value));
  }
}

bool HasSoftmax(const Config& config) {
  return std::ranges::find(config.layers, LayerKind::kSoftmax) != config.layers.end();
}

}  // namespace fulmen
