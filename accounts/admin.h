// What administrators ask of a ledger: a table of operations that take and give JSON, the same for
// commands that open it and for those, and pages, that ask a server over HTTP.
#pragma once

#include <span>
#include <string_view>

#include "accounts/ledger.h"
#include "base/json.h"
#include "base/status.h"

namespace fulmen {

struct AdminOperation {
  const char* name;    // as "keys.create"
  const char* method;  // of HTTP, GET or POST
  const char* path;    // likewise; what is in braces is an argument
  // For /openapi.json: what it is for, and the names of schemas (serve/api_schemas.h) of the
  // arguments that no path has, "" where it takes none, and of the answer.
  const char* summary;
  const char* arguments;
  const char* answer;
  // `arguments` is an object; of what came by a query all values are strings. Errors name the
  // argument. Money is a decimal string in both directions, of prices for a million tokens; times
  // are as RFC 3339 has them.
  Result<Json> (*run)(Ledger& ledger, const Json& arguments);
};

std::span<const AdminOperation> AdminOperations();
// One that there is.
const AdminOperation& FindAdminOperation(std::string_view name);

// A key as they tell of it.
Json KeyJson(const Key& key);

}  // namespace fulmen
