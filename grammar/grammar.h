// A context-free grammar whose terminals are regular languages of bytes, with counted repetition.
// What is built here (from a JSON Schema, a regular expression, a GBNF text, a tool format) is
// walked by a Machine.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/status.h"
#include "grammar/terms.h"

namespace fulmen {

// An expression of its Grammar.
using Expr = uint32_t;

// Built by one thread, then finished; a finished grammar is immutable and safe to share.
class Grammar {
 public:
  static constexpr int64_t kUnbounded = INT64_MAX;
  // What a grammar may take: a second or two, and some tens of megabytes.
  static constexpr size_t kMostTerms = size_t{1} << 18;
  static constexpr size_t kMostNodes = size_t{1} << 19;
  static constexpr int64_t kMostWork = 40'000'000;

  enum class Kind : uint8_t {
    kLexeme,    // text of a term
    kSequence,  // its parts, one after the other
    kChoice,    // one of its parts
    kRepeat,    // its part, min to max times
    kDistinct,  // min to max of its parts but the first, in any order, none twice, the first
                // between each two; at most 64
    kRule,      // what the rule was defined as
  };
  struct Node {
    Kind kind = Kind::kLexeme;
    bool productive = false;  // some text matches; known once the grammar is finished
    Term term = 0;            // kLexeme
    uint32_t rule = 0;        // kRule
    int64_t min = 0;          // kRepeat, kDistinct
    int64_t max = 0;
    std::vector<Expr> parts = {};
  };

  Grammar() : terms_(kMostTerms) { terms_.Allow(kMostWork); }

  Terms& terms() { return terms_; }
  const Terms& terms() const { return terms_; }

  Expr Lexeme(Term term);
  Expr Literal(std::string_view text) { return Lexeme(terms_.Literal(text)); }
  Expr Sequence(std::vector<Expr> parts);
  Expr Choice(std::vector<Expr> parts);  // of none: no text
  Expr Repeat(Expr part, int64_t min, int64_t max);
  Expr Distinct(std::vector<Expr> items, Expr separator, int64_t min, int64_t max);
  // A rule is declared, so that others can name it, and then defined.
  Expr DeclareRule(std::string name);
  void DefineRule(Expr rule, Expr body);

  // Makes `start` what is matched. Fails if a rule was never defined, if one begins with itself, if
  // no text at all matches, or if there are too many terms.
  Status Finish(Expr start);
  // Whether some text may match `expr`: rules that are not defined yet count as if one did.
  bool MayMatch(Expr expr);

  // Whom each expression is a part of, as often as it is; rules are users of their bodies.
  struct Users {
    std::vector<uint32_t> first;  // of `all`, for each expression; and the end
    std::vector<Expr> all;
    std::span<const Expr> Of(size_t expr) const {
      return std::span(all).subspan(first[expr], first[expr + 1] - first[expr]);
    }
  };
  Users FindUsers() const;

  Expr start() const { return start_; }
  const Node& node(Expr expr) const { return nodes_[expr]; }
  Expr body(uint32_t rule) const { return rules_[rule].body; }
  size_t size() const { return nodes_.size(); }

 private:
  struct Rule {
    std::string name;
    Expr body;
  };

  Expr Add(Node node);
  void FindProductive();
  template <class IsProductive>
  bool ProductiveNow(const Node& node, const IsProductive& productive);
  template <class IsEmpty>
  bool CanBeEmpty(const Node& node, const IsEmpty& is_empty) const;
  // Some expressions, with all their parts, and where each stands among them.
  struct Reached {
    std::vector<Expr> all;
    std::unordered_map<Expr, uint32_t> places = {};  // empty: each stands at its own number
    size_t PlaceOf(Expr expr) const { return places.empty() ? expr : places.at(expr); }
  };
  Reached ReachAll() const;
  Users UsersAmong(const Reached& reached) const;
  template <class Holds>
  std::vector<bool> LeastSet(const Reached& reached, const Holds& holds) const;
  Status RefuseLeftRecursion() const;

  Terms terms_;
  std::vector<Node> nodes_;
  std::vector<Rule> rules_;
  Expr start_ = 0;
};

}  // namespace fulmen
