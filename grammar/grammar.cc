#include "grammar/grammar.h"

#include <algorithm>
#include <numeric>

#include "base/check.h"

namespace fulmen {
namespace {

constexpr Expr kUndefined = UINT32_MAX;
// In steps of Terms::Allow: to make a node, and to ask about one.
constexpr int64_t kStepsForNode = 10;
constexpr int64_t kStepsToAsk = 4;

}  // namespace

Expr Grammar::Add(Node node) {
  terms_.Spend(kStepsForNode + static_cast<int64_t>(node.parts.size()));
  if (nodes_.size() >= kMostNodes) terms_.GiveUp();
  nodes_.push_back(std::move(node));
  return static_cast<Expr>(nodes_.size() - 1);
}

Expr Grammar::Lexeme(Term term) { return Add({.kind = Kind::kLexeme, .term = term}); }

Expr Grammar::Sequence(std::vector<Expr> parts) {
  if (parts.size() == 1) return parts[0];
  return Add({.kind = Kind::kSequence, .parts = std::move(parts)});
}

Expr Grammar::Choice(std::vector<Expr> parts) {
  if (parts.size() == 1) return parts[0];
  return Add({.kind = Kind::kChoice, .parts = std::move(parts)});
}

Expr Grammar::Repeat(Expr part, int64_t min, int64_t max) {
  FULMEN_CHECK(0 <= min && min <= max, "{} to {} times", min, max);
  return Add({.kind = Kind::kRepeat, .min = min, .max = max, .parts = {part}});
}

Expr Grammar::Distinct(std::vector<Expr> items, Expr separator, int64_t min, int64_t max) {
  FULMEN_CHECK(items.size() <= 64 && 0 <= min && min <= max, "{} to {} of {} items", min, max,
               items.size());
  items.insert(items.begin(), separator);
  return Add({.kind = Kind::kDistinct, .min = min, .max = max, .parts = std::move(items)});
}

Expr Grammar::DeclareRule(std::string name) {
  rules_.push_back({std::move(name), kUndefined});
  return Add({.kind = Kind::kRule, .rule = static_cast<uint32_t>(rules_.size() - 1)});
}

void Grammar::DefineRule(Expr rule, Expr body) {
  FULMEN_CHECK(nodes_[rule].kind == Kind::kRule, "expression {} is no rule", rule);
  rules_[nodes_[rule].rule].body = body;
}

Grammar::Reached Grammar::ReachAll() const {
  Reached all{std::vector<Expr>(nodes_.size())};
  std::iota(all.all.begin(), all.all.end(), 0);
  return all;
}

Grammar::Users Grammar::UsersAmong(const Reached& reached) const {
  const auto each_part = [&](Expr expr, const auto& visit) {
    const Node& node = nodes_[expr];
    for (const Expr part : node.parts) visit(reached.PlaceOf(part));
    if (node.kind == Kind::kRule && rules_[node.rule].body != kUndefined) {
      visit(reached.PlaceOf(rules_[node.rule].body));
    }
  };
  std::vector<uint32_t> first(reached.all.size() + 1);
  for (const Expr expr : reached.all) each_part(expr, [&](size_t part) { ++first[part + 1]; });
  std::partial_sum(first.begin(), first.end(), first.begin());
  std::vector<Expr> all(first.back());
  std::vector<uint32_t> next(first.begin(), first.end() - 1);
  for (const Expr expr : reached.all) {
    each_part(expr, [&](size_t part) { all[next[part]++] = expr; });
  }
  return {std::move(first), std::move(all)};
}

Grammar::Users Grammar::FindUsers() const { return UsersAmong(ReachAll()); }

// The least set of the reached expressions that is closed under `holds`, by their places: whether
// it holds of a node, given the set so far. Each is asked again only when one of its parts came in.
template <class Holds>
std::vector<bool> Grammar::LeastSet(const Reached& reached, const Holds& holds) const {
  const Users users = UsersAmong(reached);
  std::vector<bool> in(reached.all.size());
  const auto is_in = [&](Expr part) { return in[reached.PlaceOf(part)]; };
  std::vector<Expr> open = reached.all;
  while (!open.empty()) {
    const Expr expr = open.back();
    const size_t place = reached.PlaceOf(expr);
    open.pop_back();
    if (in[place] || !holds(nodes_[expr], is_in)) continue;
    in[place] = true;
    const std::span<const Expr> more = users.Of(place);
    open.insert(open.end(), more.begin(), more.end());
  }
  return in;
}

// Whether some text matches, from what is known of the parts.
template <class IsProductive>
bool Grammar::ProductiveNow(const Node& node, const IsProductive& productive) {
  switch (node.kind) {
    case Kind::kLexeme:
      return terms_.Live(node.term);
    case Kind::kSequence:
      return std::ranges::all_of(node.parts, productive);
    case Kind::kChoice:
      return std::ranges::any_of(node.parts, productive);
    case Kind::kRepeat:
      return node.min == 0 || productive(node.parts[0]);
    case Kind::kDistinct: {
      const auto items = std::count_if(node.parts.begin() + 1, node.parts.end(), productive);
      return node.min == 0 || (items >= node.min && (node.min == 1 || productive(node.parts[0])));
    }
    case Kind::kRule: {
      const Expr body = rules_[node.rule].body;
      return body == kUndefined || productive(body);
    }
  }
  return false;
}

void Grammar::FindProductive() {
  const std::vector<bool> productive =
      LeastSet(ReachAll(),
               [this](const Node& node, const auto& known) { return ProductiveNow(node, known); });
  for (Expr expr = 0; expr < nodes_.size(); ++expr) nodes_[expr].productive = productive[expr];
}

bool Grammar::MayMatch(Expr expr) {
  Reached reached{{expr}, {{expr, 0}}};
  const auto reach = [&](Expr part) {
    const auto place = static_cast<uint32_t>(reached.all.size());
    if (part != kUndefined && reached.places.try_emplace(part, place).second) {
      reached.all.push_back(part);
    }
  };
  for (size_t at = 0; at < reached.all.size();) {
    const Node& node = nodes_[reached.all[at++]];
    for (const Expr part : node.parts) reach(part);
    if (node.kind == Kind::kRule) reach(rules_[node.rule].body);
  }
  terms_.Spend(kStepsToAsk * static_cast<int64_t>(reached.all.size()));
  return LeastSet(reached, [this](const Node& node, const auto& known) {
    return ProductiveNow(node, known);
  })[0];
}

// Whether a text may be empty, from what is known of the parts.
template <class IsEmpty>
bool Grammar::CanBeEmpty(const Node& node, const IsEmpty& is_empty) const {
  switch (node.kind) {
    case Kind::kLexeme:
      return terms_.Nullable(node.term);
    case Kind::kSequence:
      return std::ranges::all_of(node.parts, is_empty);
    case Kind::kChoice:
      return std::ranges::any_of(node.parts, is_empty);
    case Kind::kRepeat:
      return node.min == 0 || is_empty(node.parts[0]);
    case Kind::kDistinct:
      return node.min == 0;  // items are never empty where this is used
    case Kind::kRule:
      return is_empty(rules_[node.rule].body);
  }
  return false;
}

Status Grammar::RefuseLeftRecursion() const {
  const std::vector<bool> empty = LeastSet(
      ReachAll(), [this](const Node& node, const auto& known) { return CanBeEmpty(node, known); });
  const auto begins_with = [&](Expr expr) {
    const Node& node = nodes_[expr];
    if (node.kind == Kind::kRule) return std::vector<Expr>{rules_[node.rule].body};
    if (node.kind != Kind::kSequence) return node.parts;
    const auto last = std::ranges::find_if_not(node.parts, [&](Expr part) { return empty[part]; });
    return std::vector<Expr>(node.parts.begin(), last == node.parts.end() ? last : std::next(last));
  };
  // Depth first: an expression that is met again before it was left begins with itself.
  enum class State : uint8_t { kNew, kOpen, kDone };
  std::vector<State> states(nodes_.size());
  struct Visit {
    Expr expr;
    std::vector<Expr> parts;
    size_t next;
  };
  for (Expr root = 0; root < nodes_.size(); ++root) {
    if (states[root] != State::kNew) continue;
    std::vector<Visit> path{{root, begins_with(root), 0}};
    states[root] = State::kOpen;
    while (!path.empty()) {
      Visit& visit = path.back();
      if (visit.next == visit.parts.size()) {
        states[visit.expr] = State::kDone;
        path.pop_back();
        continue;
      }
      const Expr part = visit.parts[visit.next++];
      if (states[part] == State::kOpen) {
        const auto rule = std::ranges::find_if(path.rbegin(), path.rend(), [&](const Visit& on) {
          return nodes_[on.expr].kind == Kind::kRule;
        });
        FULMEN_CHECK(rule != path.rend(), "a cycle without a rule");
        return Fail(ErrorCode::kInvalidArgument,
                    "the rule \"{}\" begins with itself, expected something before it",
                    rules_[nodes_[rule->expr].rule].name);
      }
      if (states[part] == State::kNew) {
        states[part] = State::kOpen;
        path.push_back({part, begins_with(part), 0});
      }
    }
  }
  return {};
}

Status Grammar::Finish(Expr start) {
  for (const Rule& rule : rules_) {
    if (rule.body == kUndefined) {
      return Fail(ErrorCode::kInvalidArgument, "the rule \"{}\" is used but not defined",
                  rule.name);
    }
  }
  FULMEN_TRY(RefuseLeftRecursion());
  FindProductive();
  if (terms_.exhausted()) {
    return Fail(ErrorCode::kUnsupported,
                "what is asked for is too large: it needs more states than are allowed");
  }
  if (!nodes_[start].productive) {
    return Fail(ErrorCode::kInvalidArgument, "no text at all is allowed");
  }
  start_ = start;
  return {};
}

}  // namespace fulmen
