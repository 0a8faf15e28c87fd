// Words that the schemas of /openapi.json are written in (JSON Schema 2020-12).
#pragma once

#include <initializer_list>
#include <string_view>
#include <utility>

#include "base/json.h"

namespace fulmen::schema {

Json Text();
Json OneOf(std::initializer_list<const char*> texts);
Json Integer();
Json Number();
Json Flag();
Json Null();

Json ListOf(Json item);
Json MapOf(Json value);  // any names, to such values
Json OrNull(Json schema);
Json AnyOf(std::initializer_list<Json> schemas);
// Another schema of the document.
Json Ref(std::string_view name);
// With a description, which also stands over the member in what is generated from the schema.
Json Said(Json schema, const char* description);

// The names of members that may be absent end with "?".
using Members = std::initializer_list<std::pair<std::string_view, Json>>;
Json Object(const Members& members);  // of these members and no others
Json OpenObject(const Members& members);
// Of all members of one such object and of the next.
Json Joined(Json first, const Json& second);

// What OpenAI's lists are.
Json Listing(Json item);

}  // namespace fulmen::schema
