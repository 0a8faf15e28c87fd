// What each keyword says about values of its type, asserted and denied.
#include <algorithm>
#include <cmath>
#include <optional>

#include "grammar/formats.h"
#include "grammar/numbers.h"
#include "grammar/schema_expansion.h"

namespace fulmen {
namespace {

constexpr std::string_view kNoCount = "expected a whole number that is not negative";

// The value of a keyword that counts something; nullopt if it is none.
std::optional<int64_t> CountOf(const Json& value) {
  if (value.is_number_unsigned() || value.is_number_integer()) return IntegerIn(value, 0, kNoLimit);
  if (!value.is_number_float()) return std::nullopt;
  const auto count = value.get<double>();
  if (count < 0 || count > 1e15 || count != std::floor(count)) return std::nullopt;
  return static_cast<int64_t>(count);
}

// Keywords whose values bound a count.
struct CountKeyword {
  const char* name;
  bool is_min;
};

}  // namespace

Status SchemaExpansion::AssertCount(const Json& schema, const char* minimum, const char* maximum,
                                    CountRange& range) {
  for (const CountKeyword& keyword : {CountKeyword{minimum, true}, CountKeyword{maximum, false}}) {
    if (!schema.contains(keyword.name)) continue;
    const auto count = CountOf(schema[keyword.name]);
    if (!count) {
      FULMEN_TRY(compiler_.LeaveOut(&schema, keyword.name, kNoCount));
    } else if (keyword.is_min) {
      range.min = std::max(range.min, *count);
    } else {
      range.max = std::min(range.max, *count);
    }
  }
  return {};
}

// The ranges in which a count lies that does not keep to the keywords.
Result<std::vector<CountRange>> SchemaExpansion::DeniedCounts(const Json& schema,
                                                              const char* minimum,
                                                              const char* maximum) {
  CountRange range;
  FULMEN_TRY(AssertCount(schema, minimum, maximum, range));
  std::vector<CountRange> outside;
  if (range.min > 0) outside.push_back({0, range.min - 1});
  if (range.max < kNoLimit) outside.push_back({range.max + 1, kNoLimit});
  return outside;
}

Status SchemaExpansion::LeaveOutDenied(const Json& schema, std::string_view keyword,
                                       Options& options) {
  FULMEN_TRY(compiler_.LeaveOut(&schema, keyword, "what it refuses cannot be told on the way"));
  options.emplace_back();
  return {};
}

// Numbers.

namespace {

struct BoundKeyword {
  const char* name;
  bool lower;
  bool open;
};
constexpr BoundKeyword kBounds[] = {{"minimum", true, false},
                                    {"exclusiveMinimum", true, true},
                                    {"maximum", false, false},
                                    {"exclusiveMaximum", false, true}};

// The bounds of a schema; draft 4 said with a boolean whether one is open.
std::vector<std::pair<BoundKeyword, const Json*>> BoundsOf(const Json& schema) {
  std::vector<std::pair<BoundKeyword, const Json*>> bounds;
  for (BoundKeyword keyword : kBounds) {
    if (!Member(schema, keyword.name).is_number()) continue;
    const char* exclusive = keyword.lower ? "exclusiveMinimum" : "exclusiveMaximum";
    if (Member(schema, exclusive) == true) keyword.open = true;
    bounds.emplace_back(keyword, &schema[keyword.name]);
  }
  return bounds;
}

bool IsPositive(const Json& value) { return value.is_number() && value.get<double>() > 0; }

// Numbers must be whole: "integer" is among the types, and "number" is not.
bool WantsIntegers(const Json& schema) {
  const Json& type = Member(schema, "type");
  if (type.is_string()) return type == "integer";
  return type.is_array() && std::ranges::find(type, "integer") != type.end() &&
         std::ranges::find(type, "number") == type.end();
}

}  // namespace

Status SchemaExpansion::AssertNumber(const Json& schema, State& state) {
  NumberFacts& number = state.facts.number;
  if (WantsIntegers(schema)) number.multiple_of.emplace_back(1);
  for (const auto& [keyword, value] : BoundsOf(schema)) {
    (keyword.lower ? number.lower : number.upper).push_back({*value, keyword.open});
  }
  if (!schema.contains("multipleOf")) return {};
  if (!IsPositive(schema["multipleOf"])) {
    return compiler_.LeaveOut(&schema, "multipleOf", "expected a positive number");
  }
  if (!CanTellMultiplesOf(schema["multipleOf"])) {
    return compiler_.LeaveOut(&schema, "multipleOf", "a number of more than nine digits");
  }
  number.multiple_of.push_back(schema["multipleOf"]);
  return {};
}

Status SchemaExpansion::DenyNumber(const Json& schema, Options& options) {
  if (WantsIntegers(schema)) {
    options.emplace_back().facts.number.not_multiple_of.emplace_back(1);
  }
  for (const auto& [keyword, value] : BoundsOf(schema)) {
    NumberFacts& number = options.emplace_back().facts.number;
    (keyword.lower ? number.upper : number.lower).push_back({*value, !keyword.open});
  }
  if (IsPositive(Member(schema, "multipleOf"))) {
    if (!CanTellMultiplesOf(schema["multipleOf"])) {
      return LeaveOutDenied(schema, "multipleOf", options);
    }
    options.emplace_back().facts.number.not_multiple_of.push_back(schema["multipleOf"]);
  }
  return {};
}

// Strings.

Status SchemaExpansion::AssertString(const Json& schema, State& state) {
  StringFacts& string = state.facts.string;
  FULMEN_TRY(AssertCount(schema, "minLength", "maxLength", string.length));
  if (const Json& pattern = Member(schema, "pattern"); pattern.is_string()) {
    auto term = compiler_.PatternTerm(pattern.get<std::string>());
    if (term) {
      string.in.push_back(*term);
    } else {
      FULMEN_TRY(compiler_.LeaveOut(&schema, "pattern", term.error().message));
    }
  }
  if (const Json& format = Member(schema, "format"); format.is_string()) {
    // A format that nobody defined says nothing (JSON Schema 2020-12, Validation, section 7.2.2).
    const auto term = FormatTerm(compiler_.terms_, format.get<std::string>(), Spelling::kJson);
    if (term) string.in.push_back(*term);
  }
  return {};
}

Status SchemaExpansion::DenyString(const Json& schema, Options& options) {
  FULMEN_ASSIGN(const auto lengths, DeniedCounts(schema, "minLength", "maxLength"));
  for (const CountRange& length : lengths) options.emplace_back().facts.string.length = length;
  if (const Json& pattern = Member(schema, "pattern"); pattern.is_string()) {
    auto term = compiler_.PatternTerm(pattern.get<std::string>());
    if (!term) return LeaveOutDenied(schema, "pattern", options);
    options.emplace_back().facts.string.not_in.push_back(*term);
  }
  // Texts of a format may be fewer here than elsewhere, so that "not" would let too much pass.
  const Json& format = Member(schema, "format");
  if (format.is_string() &&
      FormatTerm(compiler_.terms_, format.get<std::string>(), Spelling::kJson)) {
    return LeaveOutDenied(schema, "format", options);
  }
  return {};
}

// Arrays.

namespace {

// The schemas of the first items, in either spelling; null if there are none.
const Json* PrefixOf(const Json& schema) {
  if (Member(schema, "prefixItems").is_array()) return &schema["prefixItems"];
  if (Member(schema, "items").is_array()) return &schema["items"];
  return nullptr;
}

// The schema of all further items; null if there is none.
const Json* RestOf(const Json& schema) {
  if (IsSchema(Member(schema, "items"))) return &schema["items"];
  const bool old_prefix = Member(schema, "items").is_array();
  return old_prefix && IsSchema(Member(schema, "additionalItems")) ? &schema["additionalItems"]
                                                                   : nullptr;
}

}  // namespace

Status SchemaExpansion::AssertArray(const Json& schema, State& state) {
  ArrayFacts array;
  FULMEN_TRY(AssertCount(schema, "minItems", "maxItems", array.items));
  if (const Json* prefix = PrefixOf(schema)) {
    for (const Json& item : *prefix) array.prefix.push_back({{&item, true}});
  }
  if (const Json* rest = RestOf(schema)) array.rest = {{rest, true}};
  if (schema.contains("contains") && IsSchema(schema["contains"])) {
    ArrayFacts::Contains contains{.item = {&schema["contains"], true}, .count = {}};
    if (!schema.contains("minContains")) contains.count.min = 1;
    FULMEN_TRY(AssertCount(schema, "minContains", "maxContains", contains.count));
    if (contains.count != CountRange{}) array.contains.push_back(contains);
  }
  array.unique = Member(schema, "uniqueItems") == true;
  MergeArray(state.facts.array, array);
  const bool alone = !schema.contains("$ref") && !schema.contains("allOf") &&
                     !schema.contains("anyOf") && !schema.contains("oneOf") &&
                     !schema.contains("if") && !schema.contains("contains") &&
                     RestOf(schema) == nullptr;
  const Json& unevaluated = Member(schema, "unevaluatedItems");
  if (!IsSchema(unevaluated) || AllowsEverything(unevaluated)) return {};
  if (!alone) return compiler_.LeaveOut(&schema, "unevaluatedItems", "beside other schemas");
  ArrayFacts rest;
  if (PrefixOf(schema) != nullptr) rest.prefix.resize(PrefixOf(schema)->size());
  rest.rest = {{&unevaluated, true}};
  MergeArray(state.facts.array, rest);
  return {};
}

Status SchemaExpansion::DenyArray(const Json& schema, Options& options) {
  FULMEN_ASSIGN(const auto counts, DeniedCounts(schema, "minItems", "maxItems"));
  for (const CountRange& count : counts) options.emplace_back().facts.array.items = count;
  const Json* prefix = PrefixOf(schema);
  const size_t first = prefix == nullptr ? 0 : prefix->size();
  for (size_t item = 0; item < first; ++item) {
    // Each has a list of its own.
    compiler_.terms_.Spend(4 * static_cast<int64_t>(item));
    if (compiler_.terms_.exhausted()) break;
    ArrayFacts& array = options.emplace_back().facts.array;
    array.items.min = static_cast<int64_t>(item) + 1;
    array.prefix.resize(item + 1);
    array.prefix[item] = {{&(*prefix)[item], false}};
  }
  if (const Json* rest = RestOf(schema); rest != nullptr && !AllowsEverything(*rest)) {
    if (*rest == false) {
      options.emplace_back().facts.array.items.min = static_cast<int64_t>(first) + 1;
    } else if (first > 0) {
      return LeaveOutDenied(schema, "items", options);
    } else {
      options.emplace_back().facts.array.contains.push_back({{rest, false}, {1, kNoLimit}});
    }
  }
  if (schema.contains("contains")) {
    if (schema.contains("minContains") || schema.contains("maxContains")) {
      return LeaveOutDenied(schema, "contains", options);
    }
    options.emplace_back().facts.array.rest = {{&schema["contains"], false}};
  }
  if (Member(schema, "uniqueItems") == true) return LeaveOutDenied(schema, "uniqueItems", options);
  if (schema.contains("unevaluatedItems")) {
    return LeaveOutDenied(schema, "unevaluatedItems", options);
  }
  return {};
}

}  // namespace fulmen
