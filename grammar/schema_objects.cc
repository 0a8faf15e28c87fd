// Objects that keep to facts, as expressions: the named properties in the order in which they were
// named, then others.
#include <algorithm>
#include <set>
#include <unordered_map>

#include "grammar/characters.h"
#include "grammar/schema_compiler.h"

namespace fulmen {
namespace {

// Each pattern doubles the kinds of keys there may be.
constexpr size_t kMostPatterns = 6;
// Counting properties takes a rule for each property and count.
constexpr int64_t kMostCountedKeys = 20'000;
// Denials of closed objects, each of which asks for a key that another one does not know.
constexpr size_t kMostExisting = 6;
// In steps of Terms::Allow: what one group says of a key.
constexpr int64_t kStepsToLookUp = 5;

bool Has(const std::vector<std::string>& names, const std::string& name) {
  return std::ranges::find(names, name) != names.end();
}

// Whether `claims` refuse everything at first sight.
bool RefuseAll(const Claims& claims) {
  return std::ranges::any_of(claims, [](const Claim& claim) {
    return claim.schema->is_boolean() ? claim.schema->get<bool>() != claim.holds
                                      : !claim.holds && AllowsEverything(*claim.schema);
  });
}

}  // namespace

struct SchemaCompiler::Property {
  Expr key_and_value;
  bool required;
};

struct SchemaCompiler::Properties {
  std::vector<Property> named;
  std::vector<int64_t> required_from;  // how many of named[i] and later ones are required
  std::optional<Expr> extra;           // any other key and its value
  CountRange count;                    // no limits where the named ones see to it
  // What NextProperty made, by its arguments.
  std::map<std::pair<size_t, int64_t>, Expr> made;
};

Term SchemaCompiler::KeyTerm(Term name) {
  const Term quote = terms_.Literal("\"");
  return terms_.Concat(
      std::vector{quote, name, quote, whitespace_, terms_.Literal(":"), whitespace_});
}

namespace {

// The properties of a group, by name.
using ByName = std::unordered_map<std::string_view, Claim>;

std::vector<ByName> PropertiesByName(const std::vector<ObjectFacts::Group>& groups) {
  std::vector<ByName> all;
  for (const ObjectFacts::Group& group : groups) {
    all.emplace_back(group.properties.begin(), group.properties.end());
  }
  return all;
}

// What all groups say of a key, given which patterns it matches. Nobody named it if `by_name` is
// empty.
template <class Matches>
Claims ClaimsOf(const std::vector<ObjectFacts::Group>& groups, const std::vector<ByName>& by_name,
                std::string_view name, const Matches& matches) {
  Claims claims;
  for (size_t at = 0; at < groups.size(); ++at) {
    const ObjectFacts::Group& group = groups[at];
    bool known = false;
    if (!by_name.empty()) {
      const auto claim = by_name[at].find(name);
      known = claim != by_name[at].end();
      if (known) claims.push_back(claim->second);
    }
    for (const auto& [pattern, claim] : group.patterns) {
      if (!matches(pattern)) continue;
      claims.push_back(claim);
      known = true;
    }
    if (!known && group.additional) claims.push_back(*group.additional);
  }
  Sort(claims);
  return claims;
}

// Each name that is spoken of, in the order in which they are first.
std::vector<std::string> NamesIn(const ObjectFacts& facts) {
  std::vector<std::string> names;
  std::set<std::string> seen;
  const auto add = [&](const std::string& name) {
    if (seen.insert(name).second) names.push_back(name);
  };
  for (const ObjectFacts::Group& group : facts.groups) {
    for (const auto& [name, claim] : group.properties) add(name);
  }
  for (const std::string& name : facts.required) add(name);
  for (const std::string& name : facts.forbidden) add(name);
  return names;
}

}  // namespace

Result<SchemaCompiler::Properties> SchemaCompiler::PropertiesOf(const ObjectFacts& facts) {
  Properties all{
      .named = {}, .required_from = {}, .extra = {}, .count = facts.properties, .made = {}};
  FULMEN_ASSIGN(const Term allowed_names, StringsOf(facts.names));
  const std::vector<std::string> names = NamesIn(facts);
  const std::set<std::string> required(facts.required.begin(), facts.required.end());
  const std::set<std::string> forbidden(facts.forbidden.begin(), facts.forbidden.end());
  const std::vector<ByName> by_name = PropertiesByName(facts.groups);
  terms_.Spend(kStepsToLookUp * static_cast<int64_t>(names.size() * facts.groups.size()));
  if (terms_.exhausted()) return all;
  for (const std::string& name : names) {
    const std::string spelled = JsonSpelling(name);
    const Claims claims = ClaimsOf(facts.groups, by_name, name, [&](const std::string& pattern) {
      return terms_.Matches(patterns_.at(pattern), spelled);
    });
    const bool possible = !forbidden.contains(name) && !RefuseAll(claims) &&
                          (facts.names.empty() || terms_.Matches(allowed_names, spelled));
    if (!possible && !required.contains(name)) continue;
    const Expr value = possible ? RuleOf(claims) : grammar_.Choice({});
    const Expr key = grammar_.Lexeme(KeyTerm(terms_.Literal(spelled)));
    all.named.push_back({grammar_.Sequence({key, value}), required.contains(name)});
  }
  FULMEN_TRY(AddExtras(facts, names, allowed_names, all));
  all.required_from.assign(all.named.size() + 1, 0);
  for (size_t index = all.named.size(); index > 0; --index) {
    all.required_from[index - 1] =
        all.required_from[index] + (all.named[index - 1].required ? 1 : 0);
  }
  return all;
}

// Keys that nobody named: a kind for each way in which they can match the patterns.
Status SchemaCompiler::AddExtras(const ObjectFacts& facts, const std::vector<std::string>& names,
                                 Term allowed_names, Properties& all) {
  std::vector<std::string> patterns;
  for (const ObjectFacts::Group& group : facts.groups) {
    for (const auto& [pattern, claim] : group.patterns) {
      if (!Has(patterns, pattern)) patterns.push_back(pattern);
      if (patterns.size() <= kMostPatterns) continue;
      return Fail(ErrorCode::kUnsupported, "{}/patternProperties: more than {} patterns together",
                  Here(), kMostPatterns);
    }
  }
  std::vector<Term> excluded;
  for (const std::string& name : names) excluded.push_back(terms_.Literal(JsonSpelling(name)));
  const Term others = terms_.Not(terms_.Union(excluded));
  std::vector<Expr> kinds;
  for (size_t signs = 0; signs < size_t{1} << patterns.size(); ++signs) {
    const auto matches = [&](const std::string& pattern) {
      return (signs >> (std::ranges::find(patterns, pattern) - patterns.begin()) & 1) != 0;
    };
    const Claims claims = ClaimsOf(facts.groups, {}, "", matches);
    if (RefuseAll(claims)) continue;
    std::vector<Term> name{others};
    // What matches a pattern is a string without being asked.
    if (signs == 0 || !facts.names.empty()) name.push_back(allowed_names);
    for (const std::string& pattern : patterns) {
      const Term term = patterns_.at(pattern);
      name.push_back(matches(pattern) ? term : terms_.Not(term));
    }
    const Term key = KeyTerm(terms_.Intersect(name));
    if (!terms_.Live(key)) continue;
    kinds.push_back(grammar_.Sequence({grammar_.Lexeme(key), RuleOf(claims)}));
  }
  if (!kinds.empty()) all.extra = grammar_.Choice(std::move(kinds));
  return {};
}

// What may come behind a property, with those from `index` on still to come: the end of the object,
// or a comma and one of them.
Expr SchemaCompiler::AfterProperty(Properties& all, size_t index, int64_t count) {
  std::vector<Expr> ways;
  if (all.required_from[index] == 0 && count >= all.count.min) {
    ways.push_back(grammar_.Sequence({}));
  }
  if (count < all.count.max && (index < all.named.size() || all.extra)) {
    ways.push_back(grammar_.Sequence({comma_, NextProperty(all, index, count)}));
  }
  return grammar_.Choice(std::move(ways));
}

// One of the properties from `index` on, or another one, and all behind it.
Expr SchemaCompiler::NextProperty(Properties& all, size_t index, int64_t count) {
  const bool counts = all.count != CountRange{};
  const auto key = std::pair(index, counts ? count : 0);
  if (const auto known = all.made.find(key); known != all.made.end()) return known->second;
  std::vector<Expr> ways;
  if (index == all.named.size()) {
    if (all.extra) {
      const int64_t more =
          all.count.max == kNoLimit ? Grammar::kUnbounded : all.count.max - count - 1;
      const Expr others = grammar_.Repeat(grammar_.Sequence({comma_, *all.extra}),
                                          std::max<int64_t>(all.count.min - count - 1, 0), more);
      ways.push_back(grammar_.Sequence({*all.extra, others}));
    }
  } else {
    const Property& property = all.named[index];
    ways.push_back(
        grammar_.Sequence({property.key_and_value, AfterProperty(all, index + 1, count + 1)}));
    if (!property.required) ways.push_back(NextProperty(all, index + 1, count));
  }
  const Expr next = grammar_.Choice(std::move(ways));
  all.made.emplace(key, next);
  return next;
}

Result<Expr> SchemaCompiler::ObjectOf(const ObjectFacts& facts) {
  if (!facts.exists.empty()) return ObjectWithOther(facts);
  const std::set<std::string> forbidden(facts.forbidden.begin(), facts.forbidden.end());
  for (const std::string& name : facts.required) {
    if (forbidden.contains(name)) return grammar_.Choice({});
  }
  FULMEN_ASSIGN(Properties all, PropertiesOf(facts));
  const int64_t required = all.required_from[0];
  const auto named = static_cast<int64_t>(all.named.size());
  // An object that is not empty has one property; the required ones need no counting either.
  const bool may_be_empty = required == 0 && all.count.min == 0;
  if (all.count.min <= std::max<int64_t>(required, 1)) all.count.min = 0;
  if (!all.extra && all.count.max >= named) all.count.max = kNoLimit;
  if (facts.properties.max == 0) {
    return InBrackets('{', grammar_.Choice({}), '}', may_be_empty);
  }
  if (all.count != CountRange{}) {
    // Keys that nobody named may come twice, and then count once.
    if (all.extra && all.count.min > std::max<int64_t>(required + 1, 1)) {
      FULMEN_TRY(LeaveOut(nullptr, "minProperties", "properties that are not named"));
      all.count.min = 0;
    }
    if (named * std::min(named, std::max(all.count.min, facts.properties.max)) > kMostCountedKeys) {
      FULMEN_TRY(LeaveOut(nullptr, "maxProperties", "too many properties to count"));
      all.count = {};
    }
  }
  // From the last one back, so that no call goes deep.
  const bool counts = all.count != CountRange{};
  for (auto index = static_cast<int64_t>(all.named.size()); index >= 0; --index) {
    const int64_t most = counts ? std::min(index, all.count.max - 1) : 0;
    for (int64_t count = 0; count <= most; ++count) {
      NextProperty(all, static_cast<size_t>(index), count);
    }
  }
  const Expr inside = NextProperty(all, 0, 0);
  return InBrackets('{', inside, '}', may_be_empty);
}

// An object with some key to which "additional" of a denied schema applies: one of the named ones.
Result<Expr> SchemaCompiler::ObjectWithOther(const ObjectFacts& facts) {
  if (facts.exists.size() > kMostExisting) {
    return Fail(ErrorCode::kUnsupported, "{}/not: more than {} closed objects denied together",
                Here(), kMostExisting);
  }
  const ObjectFacts::Group& wanted = facts.exists.back();
  ObjectFacts rest = facts;
  rest.exists.pop_back();
  std::vector<Expr> ways;
  for (const std::string& name : NamesIn(facts)) {
    const std::string spelled = JsonSpelling(name);
    const auto is_name = [&](const auto& property) { return property.first == name; };
    const auto matches = [&](const auto& pattern) {
      return terms_.Matches(patterns_.at(pattern.first), spelled);
    };
    if (std::ranges::any_of(wanted.properties, is_name) ||
        std::ranges::any_of(wanted.patterns, matches) || Has(facts.forbidden, name)) {
      continue;
    }
    ObjectFacts with = rest;
    with.required.push_back(name);
    with.groups.push_back(
        {.properties = {{name, *wanted.additional}}, .patterns = {}, .additional = {}});
    FULMEN_ASSIGN(const Expr way, ObjectOf(with));
    ways.push_back(way);
    if (terms_.exhausted()) break;
  }
  FULMEN_ASSIGN(const Properties all, PropertiesOf(rest));
  if (all.extra) {
    FULMEN_TRY(LeaveOut(nullptr, "not", "properties that are not named"));
    return ObjectOf(rest);
  }
  return grammar_.Choice(std::move(ways));
}

}  // namespace fulmen
