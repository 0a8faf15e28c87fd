// The resolution of claims into plain facts; see grammar/schema_compiler.h.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "grammar/schema_compiler.h"

namespace fulmen {

inline bool IsSchema(const Json& value) { return value.is_object() || value.is_boolean(); }

// For values of one type: keywords that speak of others are passed over. The alternatives are those
// of a disjunctive normal form, made depth first; one that contradicts itself is dropped.
class SchemaExpansion {
 public:
  SchemaExpansion(SchemaCompiler& compiler, JsonType type) : compiler_(compiler), type_(type) {}

  Result<std::vector<Facts>> Run(const Claims& claims);

  // Whether claims refuse all values of a type at first sight.
  static bool RefuseType(const Claims& claims, JsonType type);

 private:
  // One of several ways in which something can hold: more claims, and more facts.
  struct Option {
    std::vector<Claim> claims;
    Facts facts;
  };
  using Options = std::vector<Option>;
  struct State {
    std::vector<Claim> open;  // yet to be resolved
    std::set<Claim> resolved;
    Facts facts;
    std::vector<std::shared_ptr<const Options>> choices;  // yet to be taken
    bool dead = false;
  };

  Status Resolve(State state);
  Status ResolveOpen(State& state);
  Status Keep(Facts facts);
  static void Choose(Options options, State& state);
  static void Take(const Option& option, State& state);
  static int64_t StepsToCopy(const State& state);
  Status ResolveClaim(const Claim& claim, State& state);
  Status Assert(const Json& schema, State& state);
  Status Deny(const Json& schema, State& state);

  static bool TypeAllows(const Json& schema, JsonType type);
  void AssertValues(const Json& schema, State& state);
  Status AssertApplicators(const Json& schema, State& state);
  Status AssertOneOf(const Json& schema, State& state);
  Status AssertNumber(const Json& schema, State& state);
  Status AssertString(const Json& schema, State& state);
  Status AssertArray(const Json& schema, State& state);
  Status AssertObject(const Json& schema, State& state);
  Status AssertDependencies(const Json& schema, State& state);
  Status AssertCount(const Json& schema, const char* minimum, const char* maximum,
                     CountRange& range);

  Status DenyApplicators(const Json& schema, Options& options);
  Status DenyValues(const Json& schema, Options& options);
  Status DenyNumber(const Json& schema, Options& options);
  Status DenyString(const Json& schema, Options& options);
  Status DenyArray(const Json& schema, Options& options);
  Status DenyObject(const Json& schema, Options& options);
  Result<std::vector<CountRange>> DeniedCounts(const Json& schema, const char* minimum,
                                               const char* maximum);
  // For a keyword whose denial cannot be enforced: where it may be left out, it holds.
  Status LeaveOutDenied(const Json& schema, std::string_view keyword, Options& options);

  // Adds facts to facts, all of which are to hold.
  static void Merge(Facts& into, const Facts& more);
  static void MergeArray(ArrayFacts& into, const ArrayFacts& more);

  SchemaCompiler& compiler_;
  JsonType type_;
  std::vector<Facts> alternatives_;
  int64_t steps_ = 0;
};

}  // namespace fulmen
