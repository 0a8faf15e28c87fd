#include "grammar/gbnf.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "grammar/gbnf_syntax.h"

namespace fulmen {
namespace {

using GbnfKind = GbnfNode::Kind;

class Builder {
 public:
  Builder(Grammar& grammar, const std::vector<GbnfRule>& rules)
      : grammar_(grammar), terms_(grammar.terms()), rules_(rules), built_(rules.size()) {}

  Expr Build();

 private:
  // A part is a term unless it names a rule that comes back to itself, or leads to one.
  struct Part {
    bool is_term = true;
    Term term = Terms::kNothing;
    Expr expr = 0;
  };

  std::vector<size_t> RulesWithoutCycles() const;
  Part PartOf(const GbnfNode& node);
  Part SequenceOf(const std::vector<GbnfNode>& nodes);
  Part ChoiceOf(const std::vector<GbnfNode>& nodes);
  static Part TermPart(Term term) { return {.term = term}; }
  static Part ExprPart(Expr expr) { return {.is_term = false, .expr = expr}; }
  Expr ExprOf(const Part& part) { return part.is_term ? grammar_.Lexeme(part.term) : part.expr; }

  Grammar& grammar_;
  Terms& terms_;
  const std::vector<GbnfRule>& rules_;
  std::vector<Part> built_;  // by rule
};

void FindRules(const GbnfNode& node, std::vector<size_t>& rules) {
  if (node.kind == GbnfKind::kRule) rules.push_back(node.rule);
  for (const GbnfNode& part : node.parts) FindRules(part, rules);
}

// Each after those that it names.
std::vector<size_t> Builder::RulesWithoutCycles() const {
  std::vector<std::vector<size_t>> users(rules_.size());
  std::vector<size_t> missing(rules_.size());
  std::vector<size_t> ready;
  for (size_t rule = 0; rule < rules_.size(); ++rule) {
    std::vector<size_t> names;
    FindRules(rules_[rule].body, names);
    for (const size_t name : names) users[name].push_back(rule);
    missing[rule] = names.size();
    if (names.empty()) ready.push_back(rule);
  }
  for (size_t at = 0; at < ready.size(); ++at) {
    for (const size_t user : users[ready[at]]) {
      if (--missing[user] == 0) ready.push_back(user);
    }
  }
  return ready;
}

Expr Builder::Build() {
  const std::vector<size_t> regular = RulesWithoutCycles();
  std::vector<bool> is_regular(rules_.size());
  for (const size_t rule : regular) is_regular[rule] = true;
  for (size_t rule = 0; rule < rules_.size(); ++rule) {
    if (!is_regular[rule]) built_[rule] = ExprPart(grammar_.DeclareRule(rules_[rule].name));
  }
  for (const size_t rule : regular) built_[rule] = PartOf(rules_[rule].body);
  for (size_t rule = 0; rule < rules_.size(); ++rule) {
    if (is_regular[rule]) continue;
    grammar_.DefineRule(built_[rule].expr, ExprOf(PartOf(rules_[rule].body)));
  }
  const auto root = std::ranges::find(rules_, "root", &GbnfRule::name);
  return ExprOf(built_[root - rules_.begin()]);
}

Builder::Part Builder::PartOf(const GbnfNode& node) {
  switch (node.kind) {
    case GbnfKind::kLiteral:
      return TermPart(terms_.Literal(node.text));
    case GbnfKind::kCharacter:
      return TermPart(Character(terms_, node.characters, Spelling::kText));
    case GbnfKind::kRule:
      return built_[node.rule];
    case GbnfKind::kSequence:
      return SequenceOf(node.parts);
    case GbnfKind::kChoice:
      return ChoiceOf(node.parts);
    case GbnfKind::kRepeat:
      break;
  }
  const Part part = PartOf(node.parts[0]);
  if (part.is_term) return TermPart(terms_.Repeat(part.term, node.min, node.max));
  const int64_t max = node.max == Terms::kUnbounded ? Grammar::kUnbounded : node.max;
  return ExprPart(grammar_.Repeat(part.expr, node.min, max));
}

// Terms side by side are one.
Builder::Part Builder::SequenceOf(const std::vector<GbnfNode>& nodes) {
  std::vector<Expr> parts;
  std::vector<Term> run;
  const auto end_run = [&] {
    if (!run.empty()) parts.push_back(grammar_.Lexeme(terms_.Concat(run)));
    run.clear();
  };
  for (const GbnfNode& node : nodes) {
    const Part part = PartOf(node);
    if (part.is_term) {
      run.push_back(part.term);
    } else {
      end_run();
      parts.push_back(part.expr);
    }
  }
  if (parts.empty()) return TermPart(terms_.Concat(run));
  end_run();
  return ExprPart(grammar_.Sequence(std::move(parts)));
}

Builder::Part Builder::ChoiceOf(const std::vector<GbnfNode>& nodes) {
  std::vector<Expr> ways;
  std::vector<Term> terms;
  for (const GbnfNode& node : nodes) {
    const Part part = PartOf(node);
    if (part.is_term) {
      terms.push_back(part.term);
    } else {
      ways.push_back(part.expr);
    }
  }
  if (ways.empty()) return TermPart(terms_.Union(terms));
  if (!terms.empty()) ways.push_back(grammar_.Lexeme(terms_.Union(terms)));
  return ExprPart(grammar_.Choice(std::move(ways)));
}

}  // namespace

Result<Expr> AddGbnf(Grammar& grammar, std::string_view text) {
  FULMEN_ASSIGN(const std::vector<GbnfRule> rules, ReadGbnf(text));
  return Builder(grammar, rules).Build();
}

}  // namespace fulmen
