#include "serve/openapi.h"

#include <string_view>

#include "base/ascii.h"
#include "serve/api_schemas.h"
#include "serve/schema_words.h"

namespace fulmen {
namespace {

constexpr const char* kJson = "application/json";
constexpr const char* kEvents = "text/event-stream";

// Those of the {names} in a path.
void AddPathParameters(const std::string& path, Json& parameters) {
  for (size_t begin = path.find('{'); begin != std::string::npos; begin = path.find('{', begin)) {
    const size_t end = path.find('}', begin);
    parameters.push_back({{"name", path.substr(begin + 1, end - begin - 1)},
                          {"in", "path"},
                          {"required", true},
                          {"schema", schema::Text()}});
    begin = end;
  }
}

// What a query may have: the members of an object.
void AddQueryParameters(const Json& query, Json& parameters) {
  for (const auto& [name, value] : query.at("properties").items()) {
    parameters.push_back({{"name", name}, {"in", "query"}, {"schema", value}});
  }
}

// A schema by its name; any object where a route names none.
Json Named(std::string_view name) {
  return name.empty() ? Json{{"type", "object"}} : schema::Ref(name);
}

Json Content(const char* description, std::string_view name) {
  return {{"description", description}, {"content", {{kJson, {{"schema", Named(name)}}}}}};
}

Json Answer(const RouteSchemas& schemas) {
  Json answer = Content("The answer", schemas.answer);
  if (!schemas.event.empty()) {
    const Json event = schema::AnyOf({schema::Ref(schemas.event), schema::Ref("Error")});
    answer["content"][kEvents] = {
        {"schema", schema::Said(event, "The data of each event; that of the last is [DONE]")}};
  }
  return answer;
}

Json Operation(const Route& route, const Json& all) {
  const RouteSchemas& schemas = route.schemas;
  const bool is_open_ai = StyleOfPath(route.path) == ApiStyle::kOpenAi;
  Json operation = {{"summary", route.summary},
                    {"responses",
                     {{std::to_string(schemas.status), Answer(schemas)},
                      {"default", Content("An error", is_open_ai ? "Error" : "")}}}};
  Json parameters = Json::array();
  AddPathParameters(route.path, parameters);
  if (!schemas.query.empty()) {
    AddQueryParameters(all.at(std::string(schemas.query)), parameters);
  }
  if (!parameters.empty()) operation["parameters"] = std::move(parameters);
  if (route.method == "POST" || route.method == "PUT" || route.method == "PATCH") {
    operation["requestBody"] = Content("As the API's own documentation says", schemas.body);
    if (!schemas.body.empty()) operation["requestBody"]["required"] = true;
  }
  if (route.access == Access::kAnyone) operation["security"] = Json::array();
  return operation;
}

}  // namespace

Json OpenApiOf(const std::vector<Route>& routes, const std::string& version) {
  Json schemas = ApiSchemas();
  Json paths = Json::object();
  for (const Route& route : routes) {
    paths[route.path][LowerCase(route.method)] = Operation(route, schemas);
  }
  return {{"openapi", "3.1.0"},
          {"info", {{"title", "Fulmen"}, {"version", version}}},
          {"paths", std::move(paths)},
          {"components",
           {{"schemas", std::move(schemas)},
            {"securitySchemes",
             {{"bearer", {{"type", "http"}, {"scheme", "bearer"}}},
              {"key", {{"type", "apiKey"}, {"in", "header"}, {"name", "x-api-key"}}}}}}},
          {"security", {{{"bearer", Json::array()}}, {{"key", Json::array()}}}}};
}

}  // namespace fulmen
