// The routes of a server as an OpenAPI document, made from the routes themselves.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "serve/http.h"

namespace fulmen {

Json OpenApiOf(const std::vector<Route>& routes, const std::string& version);

}  // namespace fulmen
