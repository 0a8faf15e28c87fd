// From a JSON Schema to expressions of a grammar.
//
// A rule of the grammar stands for a set of claims: the values that some schemas allow and some do
// not. Its claims are resolved, for each type of JSON on its own, into alternatives of plain facts
// (schema_expansion.cc), and each alternative becomes text: scalars one term (schema_scalars.cc),
// arrays and objects expressions (schema_arrays.cc, schema_objects.cc) whose items and properties
// are sets of claims again. There are finitely many sets of claims, so recursive schemas end in
// recursive rules; and as every conjunction is its own rule, allOf, oneOf and not are as exact as
// anyOf.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "grammar/grammar.h"
#include "grammar/json_schema.h"
#include "grammar/schema_facts.h"
#include "grammar/schema_index.h"

namespace fulmen {

class SchemaCompiler {
 public:
  SchemaCompiler(Grammar& grammar, const Json& root, const SchemaOptions& options,
                 std::vector<std::string>& left_out);

  Result<Expr> Compile();

 private:
  friend class SchemaExpansion;

  Claim Resolved(Claim claim);
  // The rule of all claims together. It is defined later, by DefineOpenRules.
  Expr RuleOf(Claims claims);
  Status DefineOpenRules(size_t down_to);
  Result<Expr> BuildValue(const Claims& claims);
  // Alternatives for values of `type`, each a list of facts that all hold.
  Result<std::vector<Facts>> Expand(const Claims& claims, JsonType type);

  Status GoDeeper();  // depth_ goes back when all went well
  // No value of `type` is allowed by both schemas: false where that is not known.
  Result<bool> Disjoint(const Json& a, const Json& b, JsonType type);

  // Scalars of some type, as JSON text.
  Result<Term> ScalarTerm(const Claims& claims, JsonType type);
  Term NumbersOf(const Facts& facts);
  Term StringsOf(const Facts& facts);  // without the quotes
  Term LiteralOf(const Json& scalar);
  // Strings that all claims allow, without the quotes.
  Result<Term> StringsOf(const Claims& claims);
  Term PlainCharacters(const CountRange& length);
  Term CountedCharacter();
  bool IsAmong(const Facts& facts, JsonType type, const Json& value);
  // Strings in which the pattern is found, without the quotes.
  Result<Term> PatternTerm(const std::string& pattern);

  Result<Expr> ArrayOf(const ArrayFacts& facts);
  Result<Expr> PlainArray(const ArrayFacts& facts);
  Result<Expr> ArrayContaining(const ArrayFacts& facts);
  Result<Expr> DistinctArray(const ArrayFacts& facts);
  Result<std::optional<std::vector<Json>>> FewValues(const Claims& claims, size_t most);
  Expr InBrackets(char open, Expr inside, char close, bool may_be_empty);

  Result<Expr> ObjectOf(const ObjectFacts& facts);
  Result<Expr> ObjectWithOther(const ObjectFacts& facts);
  struct Property;
  struct Properties;
  Result<Properties> PropertiesOf(const ObjectFacts& facts);
  Status AddExtras(const ObjectFacts& facts, const std::vector<std::string>& names,
                   Term allowed_names, Properties& all);
  Expr AfterProperty(Properties& all, size_t index, int64_t count);
  Expr NextProperty(Properties& all, size_t index, int64_t count);
  Term KeyTerm(Term name);

  // A keyword that cannot be enforced: an error, or, where schemas are taken leniently, a note.
  // Null stands for what is being built.
  Status LeaveOut(const Json* schema, std::string_view keyword, std::string_view reason);
  std::string Here() const;  // the place in the schema of what is being built
  // A schema of our own making that allows `value` alone, an array or object.
  const Json* SchemaOfConstant(const Json& value);

  Grammar& grammar_;
  Terms& terms_;
  const Json& root_;
  SchemaOptions options_;
  std::vector<std::string>& left_out_;
  std::set<std::tuple<const Json*, std::string, std::string>> told_;  // of these, where and what
  SchemaIndex index_;
  std::deque<Json> own_;
  std::map<const Json*, const Json*> constants_;
  std::map<Claims, Expr> rules_;
  std::vector<std::pair<Claims, Expr>> open_;  // declared, but not defined
  int depth_ = 0;                              // of questions within questions
  std::map<std::tuple<const Json*, const Json*, JsonType>, bool> disjoint_;
  std::map<std::string, Term> patterns_;
  Claims building_;
  Term plain_character_;  // of a string, in its one spelling
  Term any_character_;    // in any
  Term counted_character_;
  Term whitespace_;
  Expr comma_;
};

// Whether a schema says nothing that its values must keep to; and, but for one keyword.
bool AllowsEverything(const Json& schema);
bool SaysNothingBut(const Json& schema, std::string_view keyword);

}  // namespace fulmen
