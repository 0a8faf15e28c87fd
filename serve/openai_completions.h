// OpenAI's completions, the API before chats: POST /v1/completions.
#pragma once

#include <memory>

#include "base/json.h"
#include "serve/api_call.h"
#include "serve/api_error.h"

namespace fulmen {

// Each prompt is a generation. docs/api-openai.md tells which fields are honoured, refused and
// ignored.
ApiResult<std::unique_ptr<ApiCall>> ParseOpenAiCompletions(Json body);

}  // namespace fulmen
