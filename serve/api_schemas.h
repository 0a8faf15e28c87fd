// The schemas of /openapi.json, by their names. Routes name those that they take and give
// (RouteSchemas in http.h); what is generated from them, as the types of the page, has these names.
#pragma once

#include "base/json.h"

namespace fulmen {

Json ApiSchemas();

// Its parts, each an object of schemas.
Json ChatSchemas();     // answers: OpenAI's chat
Json SessionSchemas();  // and what is kept of them
Json ServerSchemas();   // who asks, the models, errors
Json AdminSchemas();    // what administrators ask of the ledger

}  // namespace fulmen
