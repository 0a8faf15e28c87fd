// The body of a request as JSON: foreign bytes, many of them, and often.
#pragma once

#include <string>

#include "base/json.h"
#include "serve/api_error.h"

namespace fulmen {

// Reads an object, which is what every API expects. Time and memory are linear in the body, whose
// size the caller bounds; more than eight million values, or more than 200 levels, are refused, so
// that a few bytes do not become many.
//
// Where a key stands twice the last one counts, in the place of the first. Whole numbers stay whole
// up to 64 bits; larger ones become doubles. Half a surrogate pair in an escape becomes U+FFFD: a
// client that cut a text in the middle of a character would otherwise fail with it forever. A byte
// order mark is passed over. Errors are kInvalid, and say where where that can be told.
ApiResult<Json> ParseRequestJson(std::string body);

}  // namespace fulmen
