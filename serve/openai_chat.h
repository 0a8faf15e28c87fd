// OpenAI's chat completions: POST /v1/chat/completions.
#pragma once

#include <memory>

#include "base/json.h"
#include "serve/api_call.h"
#include "serve/api_error.h"

namespace fulmen {

// docs/api-openai.md tells which fields are honoured, refused and ignored.
ApiResult<std::unique_ptr<ApiCall>> ParseOpenAiChat(Json body);

}  // namespace fulmen
