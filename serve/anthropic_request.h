// What a body of Anthropic's Messages API asks for.
#pragma once

#include "base/json.h"
#include "serve/api_error.h"
#include "serve/generation.h"

namespace fulmen {

struct AnthropicRequest {
  Generation generation;
  bool stream = false;
  bool hides_thinking = false;  // no blocks for it
  bool omits_thinking = false;  // blocks without its text
  bool one_call = false;        // further ones are dropped
};

ApiResult<AnthropicRequest> ReadAnthropicRequest(const Json& body);
// A body without what concerns the answer.
ApiResult<Generation> ReadAnthropicPrompt(const Json& body);

}  // namespace fulmen
