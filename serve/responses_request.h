// What a body of OpenAI's Responses API asks for.
#pragma once

#include <string>

#include "base/json.h"
#include "serve/api_error.h"
#include "serve/generation.h"
#include "serve/openai_responses.h"

namespace fulmen {

struct ResponsesRequest {
  Generation generation;
  bool stream = false;
  bool store = true;
  bool one_call = false;            // further ones are dropped
  bool encrypts_reasoning = false;  // its items have encrypted_content
  std::string previous;
  Json input = Json::array();  // items, each with an id
  Json echo;                   // the fields that a response repeats
};

ApiResult<ResponsesRequest> ReadResponsesRequest(const Json& body, const ReferredItems& referred);
// Of a body without what concerns the answer, too.
ApiResult<Generation> ReadResponsesPrompt(const Json& body, const ReferredItems& referred);

}  // namespace fulmen
