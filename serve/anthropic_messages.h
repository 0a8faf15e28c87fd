// Anthropic's Messages API: POST /v1/messages and /v1/messages/count_tokens.
// docs/api-anthropic.md says which fields are honoured, refused and ignored.
#pragma once

#include <memory>

#include "base/json.h"
#include "serve/api_call.h"
#include "serve/api_error.h"
#include "serve/generation.h"

namespace fulmen {

ApiResult<std::unique_ptr<ApiCall>> ParseAnthropicMessages(const Json& body);

// A prompt whose tokens are to be counted. The answer is {"input_tokens": N}.
ApiResult<Generation> ParseAnthropicCount(const Json& body);

}  // namespace fulmen
