// Arrays that keep to facts, as expressions.
#include <algorithm>
#include <map>
#include <optional>

#include "grammar/schema_compiler.h"

namespace fulmen {
namespace {

// Counting what an array contains takes a rule for each pair of counts.
constexpr int64_t kMostCountedItems = 256;
// A set of used items has a bit for each.
constexpr size_t kMostDistinct = 64;
// Values that are looked at to find these.
constexpr size_t kMostCandidates = 1'000;

}  // namespace

// `inside` is never empty text; an array or object without anything is a text of its own.
Expr SchemaCompiler::InBrackets(char open, Expr inside, char close, bool may_be_empty) {
  const Term left = terms_.Literal(std::string_view(&open, 1));
  const Term right = terms_.Literal(std::string_view(&close, 1));
  const Expr full = grammar_.Sequence({grammar_.Lexeme(terms_.Concat(left, whitespace_)), inside,
                                       grammar_.Lexeme(terms_.Concat(whitespace_, right))});
  if (!may_be_empty) return full;
  const Term empty = terms_.Concat(std::vector{left, whitespace_, right});
  return grammar_.Choice({grammar_.Lexeme(empty), full});
}

Result<Expr> SchemaCompiler::ArrayOf(const ArrayFacts& facts) {
  if (facts.items.min > facts.items.max) return grammar_.Choice({});
  if (facts.unique && facts.items.max > 1) return DistinctArray(facts);
  return facts.contains.empty() ? PlainArray(facts) : ArrayContaining(facts);
}

Result<Expr> SchemaCompiler::PlainArray(const ArrayFacts& facts) {
  const int64_t min = facts.items.min;
  const int64_t max = facts.items.max;
  const auto prefix = std::min(static_cast<int64_t>(facts.prefix.size()), max);
  // From the last item back: what may come behind each.
  const Expr rest = RuleOf(facts.rest);
  const auto repeat = [&](int64_t before) {
    const int64_t most = max == kNoLimit ? Grammar::kUnbounded : max - before;
    return grammar_.Repeat(grammar_.Sequence({comma_, rest}), std::max<int64_t>(min - before, 0),
                           most);
  };
  if (max == 0) return InBrackets('[', grammar_.Choice({}), ']', true);
  if (prefix == 0) {
    return InBrackets('[', grammar_.Sequence({rest, repeat(1)}), ']', min == 0);
  }
  Expr behind = repeat(prefix);
  for (int64_t item = prefix - 1; item > 0; --item) {
    const Expr next = grammar_.Sequence({comma_, RuleOf(facts.prefix[item]), behind});
    behind = item >= min ? grammar_.Choice({grammar_.Sequence({}), next}) : next;
  }
  return InBrackets('[', grammar_.Sequence({RuleOf(facts.prefix[0]), behind}), ']', min == 0);
}

// At least (or at most) so many items of one kind among the others.
Result<Expr> SchemaCompiler::ArrayContaining(const ArrayFacts& facts) {
  const ArrayFacts::Contains& wanted = facts.contains[0];
  const bool counted_exactly = wanted.count.max != kNoLimit;
  const int64_t most_wanted = counted_exactly ? wanted.count.max + 1 : wanted.count.min;
  const int64_t most_items = facts.items.max == kNoLimit ? facts.items.min : facts.items.max;
  if (facts.contains.size() > 1 || !facts.prefix.empty() || most_wanted > kMostCountedItems ||
      most_items > kMostCountedItems || (most_wanted + 1) * (most_items + 1) > kMostCountedItems) {
    FULMEN_TRY(LeaveOut(nullptr, "contains", "with other keywords of arrays, or large counts"));
    ArrayFacts without = facts;
    without.contains.clear();
    return PlainArray(without);
  }
  Claims matching = facts.rest;
  matching.push_back(wanted.item);
  Claims others = facts.rest;
  // An item that is counted or not, as it likes, may be left uncounted: only a maximum forbids it.
  if (counted_exactly) others.push_back({wanted.item.schema, !wanted.item.holds});
  const Expr match = RuleOf(matching);
  const Expr other = RuleOf(others);

  // `After` some items, of which some match: the end, or a comma and one more.
  std::map<std::pair<int64_t, int64_t>, Expr> known;
  const auto clip = [&](int64_t items, int64_t matches) {
    return std::pair(std::min(items, most_items), std::min(matches, most_wanted));
  };
  std::vector<std::pair<int64_t, int64_t>> open;
  const auto after = [&](int64_t items, int64_t matches) {
    const auto key = clip(items, matches);
    const auto [at, is_new] = known.try_emplace(key);
    if (is_new) {
      at->second = grammar_.DeclareRule("array");
      open.push_back(key);
    }
    return at->second;
  };
  const auto one_more = [&](int64_t items, int64_t matches) {
    std::vector<Expr> ways;
    if (facts.items.max == kNoLimit || items < facts.items.max) {
      ways.push_back(grammar_.Sequence({other, after(items + 1, matches)}));
      if (!counted_exactly || matches < wanted.count.max) {
        ways.push_back(grammar_.Sequence({match, after(items + 1, matches + 1)}));
      }
    }
    return grammar_.Choice(std::move(ways));
  };
  const Expr inside = one_more(0, 0);
  while (!open.empty()) {
    const auto [items, matches] = open.back();
    open.pop_back();
    const Expr more = grammar_.Sequence({comma_, one_more(items, matches)});
    const bool enough = items >= facts.items.min && matches >= wanted.count.min;
    grammar_.DefineRule(known.at({items, matches}),
                        enough ? grammar_.Choice({grammar_.Sequence({}), more}) : more);
  }
  return InBrackets('[', inside, ']', facts.items.min == 0 && wanted.count.min == 0);
}

// Items none of which comes twice: enumerated, where there are few.
Result<Expr> SchemaCompiler::DistinctArray(const ArrayFacts& facts) {
  std::optional<std::vector<Json>> values;
  if (facts.prefix.empty() && facts.contains.empty()) {
    FULMEN_ASSIGN(values, FewValues(facts.rest, kMostDistinct));
  }
  if (!values) {
    FULMEN_TRY(LeaveOut(nullptr, "uniqueItems", "items that are not one of a few values"));
    ArrayFacts without = facts;
    without.unique = false;
    return ArrayOf(without);
  }
  if (static_cast<int64_t>(values->size()) < facts.items.min) return grammar_.Choice({});
  std::vector<Expr> items;
  for (const Json& value : *values) items.push_back(grammar_.Lexeme(LiteralOf(value)));
  const int64_t most = std::min(facts.items.max, static_cast<int64_t>(items.size()));
  const Expr inside = grammar_.Distinct(
      std::move(items), comma_, std::max<int64_t>(facts.items.min, 1), std::max<int64_t>(most, 1));
  return InBrackets('[', inside, ']', facts.items.min == 0);
}

// The values that all claims allow, if they are scalars and at most `most`; nullopt otherwise.
Result<std::optional<std::vector<Json>>> SchemaCompiler::FewValues(const Claims& claims,
                                                                   size_t most) {
  std::vector<Json> all;
  for (const JsonType type : {JsonType::kArray, JsonType::kObject}) {
    FULMEN_ASSIGN(const auto alternatives, Expand(claims, type));
    if (!alternatives.empty()) return std::nullopt;
  }
  for (const JsonType type :
       {JsonType::kNull, JsonType::kBoolean, JsonType::kNumber, JsonType::kString}) {
    FULMEN_ASSIGN(const auto alternatives, Expand(claims, type));
    for (const Facts& facts : alternatives) {
      std::vector<Json> candidates;
      if (type == JsonType::kNull) candidates = {Json()};
      if (type == JsonType::kBoolean) candidates = {Json(false), Json(true)};
      if (facts.values) candidates = *facts.values;
      if (candidates.size() > kMostCandidates) return std::nullopt;
      if (candidates.empty() && !(facts.values && facts.values->empty())) return std::nullopt;
      for (const Json& value : candidates) {
        if (!IsAmong(facts, type, value)) continue;
        if (std::ranges::find(all, value) == all.end()) all.push_back(value);
      }
    }
  }
  if (all.size() > most) return std::nullopt;
  return all;
}

}  // namespace fulmen
