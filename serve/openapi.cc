#include "serve/openapi.h"

#include <algorithm>
#include <cctype>

#include "base/ascii.h"

namespace fulmen {
namespace {

// Those of the {names} in a path.
Json Parameters(const std::string& path) {
  Json parameters = Json::array();
  for (size_t begin = path.find('{'); begin != std::string::npos; begin = path.find('{', begin)) {
    const size_t end = path.find('}', begin);
    parameters.push_back({{"name", path.substr(begin + 1, end - begin - 1)},
                          {"in", "path"},
                          {"required", true},
                          {"schema", {{"type", "string"}}}});
    begin = end;
  }
  return parameters;
}

Json Body(const char* description) {
  return {{"description", description},
          {"content", {{"application/json", {{"schema", {{"type", "object"}}}}}}}};
}

Json Operation(const Route& route) {
  Json operation = {{"summary", route.summary},
                    {"responses", {{"200", Body("The answer")}, {"default", Body("An error")}}}};
  if (Json parameters = Parameters(route.path); !parameters.empty()) {
    operation["parameters"] = std::move(parameters);
  }
  if (route.method == "POST" || route.method == "PUT" || route.method == "PATCH") {
    operation["requestBody"] = Body("As the API's own documentation says");
  }
  if (route.access == Access::kAnyone) operation["security"] = Json::array();
  return operation;
}

}  // namespace

Json OpenApiOf(const std::vector<Route>& routes, const std::string& version) {
  Json paths = Json::object();
  for (const Route& route : routes) paths[route.path][LowerCase(route.method)] = Operation(route);
  return {{"openapi", "3.1.0"},
          {"info", {{"title", "Fulmen"}, {"version", version}}},
          {"paths", std::move(paths)},
          {"components",
           {{"securitySchemes",
             {{"bearer", {{"type", "http"}, {"scheme", "bearer"}}},
              {"key", {{"type", "apiKey"}, {"in", "header"}, {"name", "x-api-key"}}}}}}},
          {"security", {{{"bearer", Json::array()}}, {{"key", Json::array()}}}}};
}

}  // namespace fulmen
