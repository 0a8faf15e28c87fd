#include "model/generation_config.h"

namespace fulmen {
namespace {

constexpr int64_t kMaxCount = (int64_t{1} << 31) - 1;
constexpr double kMaxNumber = 1e6;

std::optional<double> ReadNumber(JsonFields& fields, const char* name, double low, double high) {
  if (fields.Find(name) == nullptr) return std::nullopt;
  return fields.Number(name, low, high, low);
}

std::optional<int64_t> ReadCount(JsonFields& fields, const char* name, int64_t low) {
  const Json* value = fields.Find(name);
  if (value == nullptr) return std::nullopt;
  const std::optional<int64_t> count = IntegerIn(*value, low, kMaxCount);
  if (!count) {
    fields.Refuse(ErrorCode::kCorrupt, "{} should be a whole number from {} to {}, found {}", name,
                  low, kMaxCount, Shown(*value));
  }
  return count;
}

}  // namespace

std::vector<int32_t> ReadTokenIds(JsonFields& fields, std::string_view name, int64_t vocab_size) {
  const Json* value = fields.Find(name);
  if (value == nullptr) return {};
  const Json list = value->is_array() ? *value : Json::array({*value});
  std::vector<int32_t> ids;
  for (const Json& item : list) {
    const std::optional<int64_t> id = IntegerIn(item, 0, vocab_size - 1);
    if (!id) {
      fields.Refuse(ErrorCode::kCorrupt, "{} should be a token below vocab_size {}, found {}", name,
                    vocab_size, Shown(item));
      return {};
    }
    ids.push_back(static_cast<int32_t>(*id));
  }
  return ids;
}

Result<GenerationConfig> ParseGenerationConfig(const Json& json, int64_t vocab_size,
                                               const std::string& where) {
  if (!json.is_object()) {
    return Fail(ErrorCode::kCorrupt, "{}: expected an object, found {}", where, Shown(json));
  }
  JsonFields fields(json, where);
  GenerationConfig config;
  config.eos_ids = ReadTokenIds(fields, "eos_token_id", vocab_size);
  config.suppressed = ReadTokenIds(fields, "suppress_tokens", vocab_size);
  config.temperature = ReadNumber(fields, "temperature", 0, kMaxNumber);
  config.top_k = ReadCount(fields, "top_k", 0);
  config.top_p = ReadNumber(fields, "top_p", 0, 1);
  config.min_p = ReadNumber(fields, "min_p", 0, 1);
  config.repetition_penalty = ReadNumber(fields, "repetition_penalty", 1 / kMaxNumber, kMaxNumber);
  config.max_new_tokens = ReadCount(fields, "max_new_tokens", 1);
  if (!fields.Boolean("do_sample", true)) config.temperature = 0;
  FULMEN_TRY(fields.status());
  return config;
}

Result<GenerationConfig> ReadGenerationConfig(const ModelFiles& files, int64_t vocab_size) {
  FULMEN_ASSIGN(const std::optional<NamedJson> found, files.ReadGenerationConfig());
  if (!found) return GenerationConfig();
  return ParseGenerationConfig(found->json, vocab_size, found->where);
}

}  // namespace fulmen
