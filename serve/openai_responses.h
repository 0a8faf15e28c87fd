// OpenAI's Responses API: POST /v1/responses and /v1/responses/input_tokens.
// docs/api-responses.md says which fields are honoured, refused and ignored.
//
// A request may refer to what was stored before: ReferencesOf says to what, stored_responses.h
// finds it, and the parsers take it.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/json.h"
#include "serve/api_call.h"
#include "serve/api_error.h"
#include "serve/generation.h"

namespace fulmen {

struct ResponseReferences {
  std::string previous;            // the response to go on from; "" for none
  std::vector<std::string> items;  // ids of items that stand for themselves
};
ApiResult<ResponseReferences> ReferencesOf(const Json& body);

struct ReferredItems {
  Json before = Json::array();        // all items up to the end of the previous response
  std::map<std::string, Json> by_id;  // items that are referred to
};

class ResponsesCall : public ApiCall {
 public:
  // Whether the answer is to be kept, under id(), once all generations are done; with
  // input_items() and previous().
  virtual bool stores() const = 0;
  virtual const Json& input_items() const = 0;      // of this request, each with an id
  virtual const std::string& previous() const = 0;  // "" for none

 protected:
  using ApiCall::ApiCall;
};

ApiResult<std::unique_ptr<ResponsesCall>> ParseOpenAiResponses(const Json& body,
                                                               const ReferredItems& referred = {});

// A prompt whose tokens are to be counted, and the answer.
ApiResult<Generation> ParseResponsesCount(const Json& body, const ReferredItems& referred = {});
Json ResponsesCount(int64_t tokens);

}  // namespace fulmen
