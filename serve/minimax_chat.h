// MiniMax's own chat API: POST /v1/text/chatcompletion_v2.
#pragma once

#include <memory>

#include "base/json.h"
#include "serve/api_call.h"
#include "serve/api_error.h"

namespace fulmen {

// docs/api-openai.md tells which fields are honoured, refused and ignored.
ApiResult<std::unique_ptr<ApiCall>> ParseMiniMaxChat(Json body);

}  // namespace fulmen
