// What the routes below /v1/responses/{id} answer, and what a new request refers to. All of these
// wait for the disk.
#pragma once

#include <string>
#include <string_view>

#include "base/json.h"
#include "serve/api_error.h"
#include "serve/openai_responses.h"
#include "serve/response_store.h"

namespace fulmen {

// What ReferencesOf found, for the parsers.
ApiResult<ReferredItems> FindReferred(ResponseStore& store, std::string_view space,
                                      const ResponseReferences& references);
// Keeps a call that stores(), once all its generations are done. What was sent last may refer to it
// as soon as it arrives: so this comes before.
ApiResult<void> StoreResponse(ResponseStore& store, std::string_view space,
                              const ResponsesCall& call);

ApiResult<Json> GetResponse(ResponseStore& store, std::string_view space, std::string_view id);
ApiResult<Json> DeleteResponse(ResponseStore& store, std::string_view space, std::string_view id);
// Always an error: what is stored has ended, and what has not is ended by hanging up.
ApiResult<Json> CancelResponse(ResponseStore& store, std::string_view space, std::string_view id);

// A page of a response's input. The query's values, "" where it has none: `limit` from 1 to 100,
// `order` asc or desc, `after` the id of the item before the page.
struct InputItemsQuery {
  std::string limit;
  std::string order;
  std::string after;
};
ApiResult<Json> ListInputItems(ResponseStore& store, std::string_view space, std::string_view id,
                               const InputItemsQuery& query);

}  // namespace fulmen
