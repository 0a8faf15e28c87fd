#include "grammar/schema_expansion.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

#include "base/check.h"

namespace fulmen {
namespace {

// A schema that needs more is refused: what it would take grows with the power of its negations.
constexpr size_t kMostAlternatives = 512;
constexpr int64_t kMostSteps = 20'000;
// In steps of Terms::Allow: to look for keywords, and to copy a part of what is known.
constexpr int64_t kStepsForKeyword = 10;
constexpr int64_t kStepsForPart = 10;

bool IsOfType(const Json& value, JsonType type) {
  switch (type) {
    case JsonType::kNull:
      return value.is_null();
    case JsonType::kBoolean:
      return value.is_boolean();
    case JsonType::kNumber:
      return value.is_number();
    case JsonType::kString:
      return value.is_string();
    case JsonType::kArray:
      return value.is_array();
    case JsonType::kObject:
      return value.is_object();
  }
  return false;
}

std::string_view NameOf(JsonType type) {
  constexpr std::array<std::string_view, 6> kNames{"null",   "boolean", "number",
                                                   "string", "array",   "object"};
  return kNames[static_cast<size_t>(type)];
}

bool HasParts(JsonType type) { return type == JsonType::kArray || type == JsonType::kObject; }

void Intersect(CountRange& into, const CountRange& more) {
  into.min = std::max(into.min, more.min);
  into.max = std::min(into.max, more.max);
}

template <class T>
void Append(std::vector<T>& into, const std::vector<T>& more) {
  into.insert(into.end(), more.begin(), more.end());
}

void AddClaims(Claims& into, const Claims& more) {
  Append(into, more);
  Sort(into);
}

}  // namespace

bool SaysNothingBut(const Json& schema, std::string_view keyword) {
  static const std::set<std::string, std::less<>> notes{
      "$schema",     "$id",       "id",         "$comment",    "$defs",
      "definitions", "title",     "default",    "example",     "examples",
      "readOnly",    "writeOnly", "deprecated", "description", "$anchor"};
  return std::ranges::all_of(schema.items(), [&](const auto& item) {
    return item.key() == keyword || notes.contains(item.key());
  });
}

bool AllowsEverything(const Json& schema) {
  return schema.is_boolean() ? schema.get<bool>() : SaysNothingBut(schema, "");
}

void SchemaExpansion::MergeArray(ArrayFacts& into, const ArrayFacts& more) {
  // Where one prefix is longer, its further items meet the rest of the other.
  const size_t longest = std::max(into.prefix.size(), more.prefix.size());
  into.prefix.resize(longest, into.rest);
  for (size_t item = 0; item < longest; ++item) {
    AddClaims(into.prefix[item], item < more.prefix.size() ? more.prefix[item] : more.rest);
  }
  AddClaims(into.rest, more.rest);
  Intersect(into.items, more.items);
  Append(into.contains, more.contains);
  into.unique = into.unique || more.unique;
}

void SchemaExpansion::Merge(Facts& into, const Facts& more) {
  if (more.values) {
    if (into.values) {
      const std::set<Json> others(more.values->begin(), more.values->end());
      std::erase_if(*into.values, [&](const Json& value) { return !others.contains(value); });
    } else {
      into.values = more.values;
    }
  }
  Append(into.excluded, more.excluded);
  Append(into.number.lower, more.number.lower);
  Append(into.number.upper, more.number.upper);
  Append(into.number.multiple_of, more.number.multiple_of);
  Append(into.number.not_multiple_of, more.number.not_multiple_of);
  Intersect(into.string.length, more.string.length);
  Append(into.string.in, more.string.in);
  Append(into.string.not_in, more.string.not_in);
  MergeArray(into.array, more.array);
  Append(into.object.groups, more.object.groups);
  Append(into.object.exists, more.object.exists);
  Append(into.object.required, more.object.required);
  Append(into.object.forbidden, more.object.forbidden);
  AddClaims(into.object.names, more.object.names);
  Intersect(into.object.properties, more.object.properties);
}

Result<std::vector<Facts>> SchemaExpansion::Run(const Claims& claims) {
  State state;
  state.open = claims;
  FULMEN_TRY(Resolve(std::move(state)));
  return std::move(alternatives_);
}

void SchemaExpansion::Choose(Options options, State& state) {
  state.choices.push_back(std::make_shared<const Options>(std::move(options)));
}

// In the order of the document, so that properties keep it.
Status SchemaExpansion::ResolveOpen(State& state) {
  for (size_t at = 0; at < state.open.size() && !state.dead; ++at) {
    const Claim claim = state.open[at];
    if (state.resolved.contains({claim.schema, !claim.holds})) {
      state.dead = true;
      return {};
    }
    if (!state.resolved.insert(claim).second) continue;
    compiler_.terms_.Spend(kStepsForKeyword * static_cast<int64_t>(claim.schema->size()));
    if (++steps_ > kMostSteps || compiler_.terms_.exhausted()) {
      return Fail(ErrorCode::kUnsupported, "{}/anyOf: too many combinations of alternatives",
                  compiler_.index_.PathOf(*claim.schema));
    }
    const auto before = static_cast<std::ptrdiff_t>(state.open.size());
    FULMEN_TRY(claim.holds ? Assert(*claim.schema, state) : Deny(*claim.schema, state));
    const auto next = state.open.begin() + static_cast<std::ptrdiff_t>(at) + 1;
    std::rotate(next, state.open.begin() + before, state.open.end());
  }
  state.open.clear();
  return {};
}

Status SchemaExpansion::Keep(Facts facts) {
  if (std::ranges::find(alternatives_, facts) == alternatives_.end()) {
    alternatives_.push_back(std::move(facts));
  }
  if (alternatives_.size() > kMostAlternatives) {
    return Fail(ErrorCode::kUnsupported, "{}/anyOf: more than {} combinations of alternatives",
                compiler_.Here(), kMostAlternatives);
  }
  return {};
}

Status SchemaExpansion::Resolve(State state) {
  for (;;) {
    FULMEN_TRY(ResolveOpen(state));
    if (state.dead) return {};
    if (state.choices.empty()) return Keep(std::move(state.facts));
    const std::shared_ptr<const Options> options = std::move(state.choices.front());
    state.choices.erase(state.choices.begin());
    if (options->empty()) return {};
    // The last one goes on here, the others on copies.
    for (size_t at = 0; at + 1 < options->size(); ++at) {
      compiler_.terms_.Spend(StepsToCopy(state));
      State next = state;
      Take((*options)[at], next);
      FULMEN_TRY(compiler_.GoDeeper());
      FULMEN_TRY(Resolve(std::move(next)));
      --compiler_.depth_;
    }
    Take(options->back(), state);
  }
}

void SchemaExpansion::Take(const Option& option, State& state) {
  Append(state.open, option.claims);
  Merge(state.facts, option.facts);
}

bool SchemaExpansion::TypeAllows(const Json& schema, JsonType type) {
  const Json& allowed = Member(schema, "type");
  const auto allows = [&](const Json& json) {
    if (!json.is_string()) return false;
    const auto& name = json.get_ref<const std::string&>();
    return name == NameOf(type) || (name == "integer" && type == JsonType::kNumber) ||
           name == "any";  // as draft 3 said
  };
  if (type == JsonType::kNull && Member(schema, "nullable") == true) return true;
  if (allowed.is_string()) return allows(allowed);
  if (allowed.is_array()) return std::ranges::any_of(allowed, allows);
  return true;
}

bool SchemaExpansion::RefuseType(const Claims& claims, JsonType type) {
  return std::ranges::any_of(claims, [&](const Claim& claim) {
    return claim.holds && claim.schema->is_object() && !claim.schema->contains("$ref") &&
           !TypeAllows(*claim.schema, type);
  });
}

// What it takes to copy a state, roughly.
int64_t SchemaExpansion::StepsToCopy(const State& state) {
  const ObjectFacts& object = state.facts.object;
  size_t size = state.resolved.size() + state.choices.size() + object.required.size() +
                object.forbidden.size() + state.facts.excluded.size() +
                state.facts.array.prefix.size();
  if (state.facts.values) size += state.facts.values->size();
  for (const ObjectFacts::Group& group : object.groups) size += 1 + group.properties.size();
  return kStepsForPart * static_cast<int64_t>(size);
}

Status SchemaExpansion::Assert(const Json& schema, State& state) {
  if (schema.is_boolean()) {
    state.dead = !schema.get<bool>();
    return {};
  }
  if (const Json& reference = Member(schema, "$ref"); reference.is_string()) {
    auto target = compiler_.index_.Resolve(schema, reference.get<std::string>());
    if (target) {
      state.open.push_back({*target, true});
    } else if (target.error().code != ErrorCode::kUnsupported || compiler_.options_.strict) {
      return tl::unexpected(target.error());
    } else {
      FULMEN_TRY(compiler_.LeaveOut(&schema, "$ref", "another document, and none is fetched"));
    }
    if (compiler_.index_.RefStandsAlone()) return {};
  }
  if (!TypeAllows(schema, type_)) {
    state.dead = true;
    return {};
  }
  AssertValues(schema, state);
  switch (type_) {
    case JsonType::kNumber:
      FULMEN_TRY(AssertNumber(schema, state));
      break;
    case JsonType::kString:
      FULMEN_TRY(AssertString(schema, state));
      break;
    case JsonType::kArray:
      FULMEN_TRY(AssertArray(schema, state));
      break;
    case JsonType::kObject:
      FULMEN_TRY(AssertObject(schema, state));
      break;
    default:
      break;
  }
  return AssertApplicators(schema, state);
}

void SchemaExpansion::AssertValues(const Json& schema, State& state) {
  std::vector<const Json*> lists;
  const Json constant = schema.contains("const") ? Json::array({schema["const"]}) : Json();
  if (schema.contains("const")) lists.push_back(&constant);
  if (schema.contains("enum") && schema["enum"].is_array()) lists.push_back(&schema["enum"]);
  for (const Json* list : lists) {
    Option all;
    Options each;
    all.facts.values.emplace();
    for (const Json& value : *list) {
      if (!IsOfType(value, type_)) continue;
      all.facts.values->push_back(value);
      if (HasParts(type_)) each.push_back({{{compiler_.SchemaOfConstant(value), true}}, {}});
    }
    state.dead = state.dead || all.facts.values->empty();
    if (HasParts(type_)) {
      Choose(std::move(each), state);
    } else {
      Merge(state.facts, all.facts);
    }
  }
}

Status SchemaExpansion::AssertApplicators(const Json& schema, State& state) {
  for (const Json& part : Member(schema, "allOf")) state.open.push_back({&part, true});
  if (const Json& any = Member(schema, "anyOf"); any.is_array()) {
    Options options;
    for (const Json& part : any) options.push_back({{{&part, true}}, {}});
    Choose(std::move(options), state);
  }
  FULMEN_TRY(AssertOneOf(schema, state));
  if (schema.contains("not")) state.open.push_back({&schema["not"], false});
  if (schema.contains("if") && (schema.contains("then") || schema.contains("else"))) {
    Option yes{{{&schema["if"], true}}, {}};
    Option no{{{&schema["if"], false}}, {}};
    if (schema.contains("then")) yes.claims.push_back({&schema["then"], true});
    if (schema.contains("else")) no.claims.push_back({&schema["else"], true});
    Choose({std::move(yes), std::move(no)}, state);
  }
  for (const char* keyword : {"$dynamicRef", "$recursiveRef"}) {
    if (schema.contains(keyword)) {
      FULMEN_TRY(compiler_.LeaveOut(&schema, keyword, "references that depend on the way to them"));
    }
  }
  return {};
}

// One of them and none of the others; those that the one cannot be anyway need not be denied.
Status SchemaExpansion::AssertOneOf(const Json& schema, State& state) {
  const Json& one = Member(schema, "oneOf");
  if (!one.is_array()) return {};
  Options options;
  for (const Json& part : one) {
    Option option{{{&part, true}}, {}};
    for (const Json& other : one) {
      if (&other == &part) continue;
      FULMEN_ASSIGN(const bool disjoint, compiler_.Disjoint(part, other, type_));
      if (!disjoint) option.claims.push_back({&other, false});
    }
    options.push_back(std::move(option));
  }
  Choose(std::move(options), state);
  return {};
}

Status SchemaExpansion::Deny(const Json& schema, State& state) {
  if (schema.is_boolean()) {
    state.dead = schema.get<bool>();
    return {};
  }
  const bool only_reference = schema.contains("$ref") && compiler_.index_.RefStandsAlone();
  if (!only_reference && !TypeAllows(schema, type_)) return {};  // already not allowed
  Options options;
  if (const Json& reference = Member(schema, "$ref"); reference.is_string()) {
    FULMEN_ASSIGN(const Json* target,
                  compiler_.index_.Resolve(schema, reference.get<std::string>()));
    options.push_back({{{target, false}}, {}});
  }
  if (!only_reference) {
    FULMEN_TRY(DenyValues(schema, options));
    switch (type_) {
      case JsonType::kNumber:
        FULMEN_TRY(DenyNumber(schema, options));
        break;
      case JsonType::kString:
        FULMEN_TRY(DenyString(schema, options));
        break;
      case JsonType::kArray:
        FULMEN_TRY(DenyArray(schema, options));
        break;
      case JsonType::kObject:
        FULMEN_TRY(DenyObject(schema, options));
        break;
      default:
        break;
    }
    FULMEN_TRY(DenyApplicators(schema, options));
  }
  if (options.empty()) {
    state.dead = true;
  } else {
    Choose(std::move(options), state);
  }
  return {};
}

Status SchemaExpansion::DenyValues(const Json& schema, Options& options) {
  const auto deny = [&](const std::vector<const Json*>& values) {
    Option option;
    for (const Json* value : values) {
      if (!IsOfType(*value, type_)) continue;
      if (HasParts(type_)) {
        option.claims.push_back({compiler_.SchemaOfConstant(*value), false});
      } else {
        option.facts.excluded.push_back(*value);
      }
    }
    options.push_back(std::move(option));
  };
  if (schema.contains("const")) deny({&schema["const"]});
  if (schema.contains("enum") && schema["enum"].is_array()) {
    std::vector<const Json*> values;
    for (const Json& value : schema["enum"]) values.push_back(&value);
    deny(values);
  }
  return {};
}

Status SchemaExpansion::DenyApplicators(const Json& schema, Options& options) {
  for (const Json& part : Member(schema, "allOf")) options.push_back({{{&part, false}}, {}});
  const Json& any = Member(schema, "anyOf");
  const Json& one = Member(schema, "oneOf");
  for (const Json* list : {&any, &one}) {
    if (!list->is_array()) continue;
    Option none;
    for (const Json& part : *list) none.claims.push_back({&part, false});
    options.push_back(std::move(none));
  }
  for (size_t first = 0; one.is_array() && first < one.size(); ++first) {
    for (size_t second = first + 1; second < one.size(); ++second) {
      FULMEN_ASSIGN(const bool disjoint, compiler_.Disjoint(one[first], one[second], type_));
      if (!disjoint) options.push_back({{{&one[first], true}, {&one[second], true}}, {}});
    }
  }
  if (schema.contains("not")) options.push_back({{{&schema["not"], true}}, {}});
  if (schema.contains("if")) {
    for (const bool then : {true, false}) {
      const char* keyword = then ? "then" : "else";
      if (!schema.contains(keyword)) continue;
      options.push_back({{{&schema["if"], then}, {&schema[keyword], false}}, {}});
    }
  }
  for (const char* keyword : {"$dynamicRef", "$recursiveRef"}) {
    if (schema.contains(keyword)) {
      FULMEN_TRY(compiler_.LeaveOut(&schema, keyword, "references that depend on the way to them"));
      options.emplace_back();
    }
  }
  return {};
}

}  // namespace fulmen
