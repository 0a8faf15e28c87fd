// What the keywords of objects say, asserted and denied.
#include <algorithm>

#include "grammar/schema_expansion.h"

namespace fulmen {
namespace {

// Keys that others depend on, in the spellings of all drafts: name, and what it asks for.
std::vector<std::pair<std::string, const Json*>> DependenciesOf(const Json& schema) {
  std::vector<std::pair<std::string, const Json*>> all;
  for (const char* keyword : {"dependentRequired", "dependentSchemas", "dependencies"}) {
    const Json& dependencies = Member(schema, keyword);
    if (!dependencies.is_object()) continue;
    for (const auto& [name, what] : dependencies.items()) all.emplace_back(name, &what);
  }
  return all;
}

std::vector<std::string> Names(const Json& list) {
  std::vector<std::string> names;
  if (list.is_string()) names.push_back(list.get<std::string>());
  if (!list.is_array()) return names;
  for (const Json& name : list) {
    if (name.is_string()) names.push_back(name.get<std::string>());
  }
  return names;
}

ObjectFacts::Group GroupOf(const Json& schema) {
  ObjectFacts::Group group;
  for (const auto& [name, value] : Member(schema, "properties").items()) {
    if (IsSchema(value)) group.properties.push_back({name, {&value, true}});
  }
  for (const auto& [pattern, value] : Member(schema, "patternProperties").items()) {
    if (IsSchema(value)) group.patterns.push_back({pattern, {&value, true}});
  }
  const Json& additional = Member(schema, "additionalProperties");
  if (IsSchema(additional)) group.additional = {&additional, true};
  return group;
}

}  // namespace

Status SchemaExpansion::AssertObject(const Json& schema, State& state) {
  ObjectFacts& object = state.facts.object;
  ObjectFacts::Group group = GroupOf(schema);
  const Json& unevaluated = Member(schema, "unevaluatedProperties");
  if (IsSchema(unevaluated) && !AllowsEverything(unevaluated)) {
    bool alone = !group.additional;
    for (const char* other : {"$ref", "allOf", "anyOf", "oneOf", "if", "dependentSchemas"}) {
      alone = alone && !schema.contains(other);
    }
    if (alone) {
      group.additional = {&unevaluated, true};
    } else {
      FULMEN_TRY(compiler_.LeaveOut(&schema, "unevaluatedProperties", "beside other schemas"));
    }
  }
  for (auto pattern = group.patterns.begin(); pattern != group.patterns.end();) {
    if (auto term = compiler_.PatternTerm(pattern->first); !term) {
      FULMEN_TRY(compiler_.LeaveOut(&schema, "patternProperties", term.error().message));
      pattern = group.patterns.erase(pattern);
    } else {
      ++pattern;
    }
  }
  if (group != ObjectFacts::Group{}) object.groups.push_back(std::move(group));
  if (schema.contains("required")) {
    for (std::string& name : Names(schema["required"])) object.required.push_back(std::move(name));
  }
  if (const Json& names = Member(schema, "propertyNames"); IsSchema(names)) {
    object.names.push_back({&names, true});
    std::ranges::sort(object.names);
  }
  FULMEN_TRY(AssertCount(schema, "minProperties", "maxProperties", object.properties));
  return AssertDependencies(schema, state);
}

// Either the key is not there, or it is, and so is what it asks for.
Status SchemaExpansion::AssertDependencies(const Json& schema, State& state) {
  for (const auto& [name, what] : DependenciesOf(schema)) {
    Option with;
    with.facts.object.required.push_back(name);
    if (IsSchema(*what)) {
      with.claims.push_back({what, true});
    } else {
      for (std::string& other : Names(*what)) {
        with.facts.object.required.push_back(std::move(other));
      }
    }
    Option without;
    without.facts.object.forbidden.push_back(name);
    Choose({std::move(without), std::move(with)}, state);
  }
  return {};
}

Status SchemaExpansion::DenyObject(const Json& schema, Options& options) {
  const ObjectFacts::Group group = GroupOf(schema);
  for (const auto& [name, claim] : group.properties) {
    if (AllowsEverything(*claim.schema)) continue;
    ObjectFacts& object = options.emplace_back().facts.object;
    object.required.push_back(name);
    object.groups.push_back(
        {.properties = {{name, {claim.schema, false}}}, .patterns = {}, .additional = {}});
  }
  for (const auto& [pattern, claim] : group.patterns) {
    if (!AllowsEverything(*claim.schema)) {
      return LeaveOutDenied(schema, "patternProperties", options);
    }
    FULMEN_TRY(compiler_.PatternTerm(pattern).map([](Term) {}));
  }
  if (group.additional && !AllowsEverything(*group.additional->schema)) {
    ObjectFacts::Group exists = group;
    exists.additional->holds = false;
    options.emplace_back().facts.object.exists.push_back(std::move(exists));
  }
  for (const std::string& name : Names(Member(schema, "required"))) {
    options.emplace_back().facts.object.forbidden.push_back(name);
  }
  FULMEN_ASSIGN(const auto counts, DeniedCounts(schema, "minProperties", "maxProperties"));
  for (const CountRange& count : counts) options.emplace_back().facts.object.properties = count;
  for (const auto& [name, what] : DependenciesOf(schema)) {
    for (const std::string& other : Names(*what)) {
      ObjectFacts& object = options.emplace_back().facts.object;
      object.required.push_back(name);
      object.forbidden.push_back(other);
    }
    if (!IsSchema(*what)) continue;
    Option& option = options.emplace_back();
    option.facts.object.required.push_back(name);
    option.claims.push_back({what, false});
  }
  for (const char* keyword : {"propertyNames", "unevaluatedProperties"}) {
    if (IsSchema(Member(schema, keyword)) && !AllowsEverything(schema[keyword])) {
      return LeaveOutDenied(schema, keyword, options);
    }
  }
  return {};
}

}  // namespace fulmen
