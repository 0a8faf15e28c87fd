// The fields on sampling, lengths and stops that the OpenAI API and its likes share.
#pragma once

#include <limits>
#include <span>
#include <string>
#include <string_view>

#include "base/json.h"
#include "serve/api_error.h"
#include "serve/fields.h"
#include "serve/generation.h"

namespace fulmen {

// Of any count of tokens, and of their ids.
inline constexpr int64_t kMostTokens = std::numeric_limits<int32_t>::max();

// The fields of a whole request. Fails when it is no object, or has more fields than any API.
ApiResult<Fields> RequestFields(const Json& body);

// `model`; empty where it is not said.
ApiResult<std::string> ReadModelName(const Fields& fields);

// temperature, top_p, presence_penalty, frequency_penalty, seed, logit_bias and stop, as the OpenAI
// API has them; top_k, min_p, repetition_penalty, stop_token_ids, ignore_eos, min_tokens and
// priority, as vLLM has them. Its lower priorities go first, ours last. And what the words of the
// answer are held to (ReadTextRule).
ApiResult<void> ReadSampling(const Fields& fields, Generation& generation);

// A field that changes the answer, and is not there.
struct UnsupportedField {
  std::string_view name;
  // A number that stands for "off", as null, false, "", [] and {} do for every field.
  double off = std::numeric_limits<double>::quiet_NaN();
};

// Fails with kUnsupported where one of them is set to something other than off.
ApiResult<void> RefuseUnsupported(const Fields& fields, std::span<const UnsupportedField> refused);
// The same of what vLLM, llama.cpp and SGLang add to all APIs.
ApiResult<void> RefuseUnsupported(const Fields& fields);

}  // namespace fulmen
