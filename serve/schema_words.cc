#include "serve/schema_words.h"

#include <fmt/format.h>

namespace fulmen::schema {
namespace {

Json OfType(const char* type) { return {{"type", type}}; }

}  // namespace

Json Text() { return OfType("string"); }
Json OneOf(std::initializer_list<const char*> texts) {
  Json list = Json::array();
  for (const char* text : texts) list.push_back(text);
  return {{"type", "string"}, {"enum", std::move(list)}};
}
Json Integer() { return OfType("integer"); }
Json Number() { return OfType("number"); }
Json Flag() { return OfType("boolean"); }
Json Null() { return OfType("null"); }

Json ListOf(Json item) { return {{"type", "array"}, {"items", std::move(item)}}; }
Json MapOf(Json value) { return {{"type", "object"}, {"additionalProperties", std::move(value)}}; }
Json OrNull(Json schema) { return AnyOf({std::move(schema), Null()}); }

Json AnyOf(std::initializer_list<Json> schemas) {
  Json list = Json::array();
  for (const Json& schema : schemas) list.push_back(schema);
  return {{"anyOf", std::move(list)}};
}

Json Ref(std::string_view name) { return {{"$ref", fmt::format("#/components/schemas/{}", name)}}; }

Json Said(Json schema, const char* description) {
  schema["description"] = description;
  return schema;
}

Json OpenObject(const Members& members) {
  Json required = Json::array();
  Json properties = Json::object();
  for (const auto& [name, schema] : members) {
    const bool may_be_absent = name.ends_with('?');
    const std::string_view plain = name.substr(0, name.size() - (may_be_absent ? 1 : 0));
    properties[std::string(plain)] = schema;
    if (!may_be_absent) required.push_back(plain);
  }
  Json object = {{"type", "object"}};
  if (!required.empty()) object["required"] = std::move(required);
  object["properties"] = std::move(properties);
  return object;
}

Json Object(const Members& members) {
  Json object = OpenObject(members);
  object["additionalProperties"] = false;
  return object;
}

Json Joined(Json first, const Json& second) {
  first["properties"].update(second.at("properties"));
  for (const Json& name : Member(second, "required")) first["required"].push_back(name);
  return first;
}

Json Listing(Json item) {
  return Object({{"object", OneOf({"list"})}, {"data", ListOf(std::move(item))}});
}

}  // namespace fulmen::schema
