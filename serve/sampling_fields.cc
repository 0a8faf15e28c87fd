#include "serve/sampling_fields.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "base/parse_number.h"
#include "serve/answer_rules.h"

namespace fulmen {
namespace {

constexpr size_t kMostFields = 1000;
constexpr size_t kMostModelBytes = 1000;
constexpr size_t kMostStops = 4;
constexpr size_t kMostStopBytes = 1000;
constexpr size_t kMostIds = 1000;  // in a list of stop tokens or of biases
constexpr int64_t kMostPriority = 1'000'000;

constexpr UnsupportedField kExtensions[] = {
    {"include_stop_str_in_output"},
    {"prompt_logprobs"},
    {"bad_words"},
    {"guided_whitespace_pattern"},
    {"structural_tag"},
    {"allowed_token_ids"},
    {"thinking_token_budget"},
    {"truncate_prompt_tokens"},
    {"use_beam_search"},
    {"length_penalty", 1},
    {"typical_p", 1},
    {"mirostat", 0},
    {"return_token_ids"},
    {"return_tokens_as_token_ids"},
    {"logits_processors"},
};

bool IsOff(const Json& value, double off) {
  if (value.is_number()) return value.get<double>() == off;
  if (value.is_boolean()) return !value.get<bool>();
  if (value.is_string()) return value.get_ref<const std::string&>().empty();
  return value.empty();  // null, [], {}
}

ApiResult<void> ReadLogitBias(const Fields& fields, SamplingRequest& sampling) {
  const Json& biases = fields.At("logit_bias");
  if (biases.is_null()) return {};
  if (!biases.is_object() || biases.size() > kMostIds) {
    return fields.Wrong("logit_bias",
                        fmt::format("an object of up to {} token ids and numbers", kMostIds));
  }
  for (const auto& [key, bias] : biases.items()) {
    const Result<int32_t> id = ParseNumber<int32_t>(key, {.low = 0});
    const bool in_range =
        bias.is_number() && bias.get<double>() >= -100 && bias.get<double>() <= 100;
    if (!id || !in_range) {
      return ApiFail(ApiErrorKind::kInvalid, fields.PathOf("logit_bias"),
                     "expected token ids with a number from -100 to 100 each, found {}: {}",
                     Shown(key), Shown(bias));
    }
    sampling.logit_bias.emplace(*id, bias.get<double>());
  }
  return {};
}

ApiResult<void> ReadStops(const Fields& fields, Generation& generation) {
  FULMEN_API_ASSIGN(generation.stop, fields.Strings("stop", kMostStops));
  for (const std::string& stop : generation.stop) {
    if (stop.size() > kMostStopBytes) {
      return fields.Wrong("stop", fmt::format("strings of up to {} bytes", kMostStopBytes));
    }
  }
  FULMEN_API_ASSIGN(const Json* ids, fields.List("stop_token_ids"));
  const std::string expected = fmt::format("a list of up to {} token ids", kMostIds);
  if (ids->size() > kMostIds) return fields.Wrong("stop_token_ids", expected);
  for (const Json& id : *ids) {
    const auto number = IntegerIn(id, 0, kMostTokens);
    if (!number) return fields.Wrong("stop_token_ids", expected);
    generation.stop_token_ids.push_back(static_cast<int32_t>(*number));
  }
  FULMEN_API_ASSIGN(generation.ignore_eos, fields.Bool("ignore_eos", false));
  FULMEN_API_ASSIGN(const auto min_tokens, fields.Integer("min_tokens", 0, kMostTokens));
  generation.min_tokens = min_tokens.value_or(0);
  if (generation.max_tokens && generation.min_tokens > *generation.max_tokens) {
    return ApiFail(ApiErrorKind::kInvalid, fields.PathOf("min_tokens"),
                   "expected no more than the {} tokens of the answer, found {}",
                   *generation.max_tokens, generation.min_tokens);
  }
  return {};
}

}  // namespace

ApiResult<Fields> RequestFields(const Json& body) {
  FULMEN_API_ASSIGN(Fields fields, Fields::Of(body));
  if (body.size() > kMostFields) {
    return ApiFail(ApiErrorKind::kInvalid, "", "expected a request of at most {} fields, found {}",
                   kMostFields, body.size());
  }
  return fields;
}

ApiResult<std::string> ReadModelName(const Fields& fields) {
  FULMEN_API_ASSIGN(std::optional<std::string> model, fields.String("model"));
  if (!model) return std::string();
  if (model->size() <= kMostModelBytes) return *std::move(model);
  return fields.Wrong("model", "the name of a model");
}

ApiResult<void> ReadSampling(const Fields& fields, Generation& generation) {
  SamplingRequest& sampling = generation.sampling;
  FULMEN_API_ASSIGN(sampling.temperature, fields.Number("temperature", 0, 2));
  FULMEN_API_ASSIGN(sampling.top_p, fields.Number("top_p", 0, 1));
  FULMEN_API_ASSIGN(sampling.presence_penalty, fields.Number("presence_penalty", -2, 2));
  FULMEN_API_ASSIGN(sampling.frequency_penalty, fields.Number("frequency_penalty", -2, 2));
  FULMEN_API_ASSIGN(sampling.min_p, fields.Number("min_p", 0, 1));
  FULMEN_API_ASSIGN(sampling.repetition_penalty, fields.Number("repetition_penalty", 0, 100));
  if (sampling.repetition_penalty == 0) return fields.Wrong("repetition_penalty", "more than 0");
  FULMEN_API_ASSIGN(sampling.top_k, fields.Integer("top_k", -1, kMostTokens));
  if (sampling.top_k) sampling.top_k = std::max<int64_t>(*sampling.top_k, 0);  // both are off
  FULMEN_API_ASSIGN(const auto seed, fields.Integer("seed"));
  if (seed) sampling.seed = static_cast<uint64_t>(*seed);
  FULMEN_API_ASSIGN(const auto priority, fields.Integer("priority", -kMostPriority, kMostPriority));
  generation.priority = static_cast<int>(-priority.value_or(0));
  FULMEN_API_ASSIGN(generation.rules.text, ReadTextRule(fields));
  FULMEN_API_TRY(ReadLogitBias(fields, sampling));
  return ReadStops(fields, generation);
}

ApiResult<void> RefuseUnsupported(const Fields& fields, std::span<const UnsupportedField> refused) {
  for (const UnsupportedField& field : refused) {
    const Json& value = fields.At(field.name);
    if (IsOff(value, field.off)) continue;
    return ApiFail(ApiErrorKind::kUnsupported, fields.PathOf(field.name),
                   "{} is not supported, found {}", field.name, Shown(value));
  }
  return {};
}

ApiResult<void> RefuseUnsupported(const Fields& fields) {
  FULMEN_API_ASSIGN(const bool skips_special, fields.Bool("skip_special_tokens", true));
  if (!skips_special) {
    return ApiFail(ApiErrorKind::kUnsupported, fields.PathOf("skip_special_tokens"),
                   "answers never hold special tokens, so only true is supported");
  }
  return RefuseUnsupported(fields, kExtensions);
}

}  // namespace fulmen
