#include "grammar/json_schema.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "grammar/pattern.h"
#include "grammar/schema_compiler.h"
#include "grammar/schema_expansion.h"

namespace fulmen {
namespace {

// Rules that a question about two schemas may make before it is given up.
constexpr size_t kMostRulesToCompare = 64;
// References to references; a circle of them says nothing.
constexpr int kMostHops = 100;
constexpr int64_t kStepsToResolve = 50;
constexpr int64_t kStepsToCompare = 50;
// Questions within questions, each of which takes a few calls: alternatives within alternatives,
// and comparisons of these.
constexpr int kDeepest = 200;
// Keywords that are left out are named up to so many.
constexpr size_t kMostNotes = 100;
// Rules of a whole schema. The largest published ones take some thousands.
constexpr size_t kMostRules = 50'000;

}  // namespace

void Sort(Claims& claims) {
  std::ranges::sort(claims);
  claims.erase(std::unique(claims.begin(), claims.end()), claims.end());
}

SchemaCompiler::SchemaCompiler(Grammar& grammar, const Json& root, const SchemaOptions& options,
                               std::vector<std::string>& left_out)
    : grammar_(grammar),
      terms_(grammar.terms()),
      root_(root),
      options_(options),
      left_out_(left_out),
      index_(root),
      plain_character_(Character(terms_, CodePoints::All(), Spelling::kJson)),
      any_character_(AnyJsonCharacter(terms_)),
      counted_character_(CountedCharacter()),
      whitespace_(JsonWhitespace(terms_, options.longest_whitespace)),
      comma_(grammar_.Lexeme(
          terms_.Concat(std::vector{whitespace_, terms_.Literal(","), whitespace_}))) {}

Result<Expr> SchemaCompiler::Compile() {
  if (!root_.is_object() && !root_.is_boolean()) {
    return Fail(ErrorCode::kInvalidArgument, "#: expected a schema, found {}", Shown(root_));
  }
  const Expr rule = RuleOf({{&root_, true}});
  FULMEN_TRY(DefineOpenRules(0));
  return rule;
}

// A schema that is only a reference is what it refers to.
Claim SchemaCompiler::Resolved(Claim claim) {
  for (int hops = 0; hops < kMostHops; ++hops) {
    const Json& reference = Member(*claim.schema, "$ref");
    if (!reference.is_string()) break;
    if (!index_.RefStandsAlone() && !SaysNothingBut(*claim.schema, "$ref")) break;
    terms_.Spend(kStepsToResolve);
    const auto target = index_.Resolve(*claim.schema, reference.get<std::string>());
    if (!target) break;  // told where it is expanded
    claim.schema = *target;
  }
  return claim;
}

Expr SchemaCompiler::RuleOf(Claims claims) {
  for (Claim& claim : claims) claim = Resolved(claim);
  std::erase_if(claims,
                [](const Claim& claim) { return claim.holds && AllowsEverything(*claim.schema); });
  Sort(claims);
  const auto [at, is_new] = rules_.try_emplace(std::move(claims));
  if (is_new) {
    at->second = grammar_.DeclareRule("schema");
    open_.emplace_back(at->first, at->second);
  }
  return at->second;
}

// Until no more than `down_to` are left.
Status SchemaCompiler::DefineOpenRules(size_t down_to) {
  while (open_.size() > down_to) {
    const auto [claims, rule] = std::move(open_.back());
    open_.pop_back();
    FULMEN_ASSIGN(const Expr body, BuildValue(claims));
    grammar_.DefineRule(rule, body);
    if (terms_.exhausted() || rules_.size() > kMostRules) {
      return Fail(ErrorCode::kUnsupported, "#: the schema is too large: it needs too many states");
    }
  }
  return {};
}

Result<std::vector<Facts>> SchemaCompiler::Expand(const Claims& claims, JsonType type) {
  if (SchemaExpansion::RefuseType(claims, type)) return std::vector<Facts>();
  return SchemaExpansion(*this, type).Run(claims);
}

Result<Expr> SchemaCompiler::BuildValue(const Claims& claims) {
  // What is compared on the way to an alternative is built in between.
  Claims outer = std::exchange(building_, claims);
  std::vector<Term> scalars;
  for (const JsonType type :
       {JsonType::kNull, JsonType::kBoolean, JsonType::kNumber, JsonType::kString}) {
    FULMEN_ASSIGN(const Term term, ScalarTerm(claims, type));
    scalars.push_back(term);
  }
  std::vector<Expr> ways;
  if (const Term all = terms_.Union(scalars); all != Terms::kNothing) {
    ways.push_back(grammar_.Lexeme(all));
  }
  FULMEN_ASSIGN(const auto arrays, Expand(claims, JsonType::kArray));
  for (const Facts& facts : arrays) {
    FULMEN_ASSIGN(const Expr array, ArrayOf(facts.array));
    ways.push_back(array);
  }
  FULMEN_ASSIGN(const auto objects, Expand(claims, JsonType::kObject));
  for (const Facts& facts : objects) {
    FULMEN_ASSIGN(const Expr object, ObjectOf(facts.object));
    ways.push_back(object);
  }
  building_ = std::move(outer);
  return grammar_.Choice(std::move(ways));
}

Status SchemaCompiler::GoDeeper() {
  if (++depth_ <= kDeepest) return {};
  return Fail(ErrorCode::kUnsupported, "{}: alternatives nested more than {} deep", Here(),
              kDeepest);
}

Result<bool> SchemaCompiler::Disjoint(const Json& a, const Json& b, JsonType type) {
  const auto key = std::tuple(std::min(&a, &b), std::max(&a, &b), type);
  if (const auto known = disjoint_.find(key); known != disjoint_.end()) return known->second;
  disjoint_[key] = false;  // for whoever asks again before this is known
  terms_.Spend(kStepsToCompare);
  FULMEN_TRY(GoDeeper());
  const Claims both{{std::get<0>(key), true}, {std::get<1>(key), true}};
  bool disjoint = false;
  if (type != JsonType::kArray && type != JsonType::kObject) {
    FULMEN_ASSIGN(const Term term, ScalarTerm(both, type));
    disjoint = !terms_.Live(term);
  } else {
    FULMEN_ASSIGN(const auto alternatives, Expand(both, type));
    std::vector<Expr> ways;
    const size_t open_before = open_.size();
    for (const Facts& facts : alternatives) {
      FULMEN_ASSIGN(const Expr way,
                    type == JsonType::kArray ? ArrayOf(facts.array) : ObjectOf(facts.object));
      ways.push_back(way);
    }
    // What the parts allow decides, as far as it is soon seen.
    for (size_t made = 0; made < kMostRulesToCompare && open_.size() > open_before; ++made) {
      FULMEN_TRY(DefineOpenRules(open_.size() - 1));
    }
    disjoint = !grammar_.MayMatch(grammar_.Choice(std::move(ways)));
  }
  --depth_;
  disjoint_[key] = disjoint;
  return disjoint;
}

Result<Term> SchemaCompiler::PatternTerm(const std::string& pattern) {
  if (const auto known = patterns_.find(pattern); known != patterns_.end()) return known->second;
  FULMEN_ASSIGN(const Term term,
                ParsePattern(terms_, pattern, Spelling::kJson, PatternMatch::kSearch));
  patterns_.emplace(pattern, term);
  return term;
}

std::string SchemaCompiler::Here() const {
  return building_.empty() ? "#" : index_.PathOf(*building_[0].schema);
}

Status SchemaCompiler::LeaveOut(const Json* schema, std::string_view keyword,
                                std::string_view reason) {
  for (const Claim& claim : schema == nullptr ? building_ : Claims()) {
    const bool says_it = claim.schema->is_object() && claim.schema->contains(keyword);
    if (schema == nullptr || says_it) schema = claim.schema;
  }
  if (!told_.emplace(schema, keyword, reason).second || left_out_.size() >= kMostNotes) return {};
  const std::string where = schema == nullptr ? Here() : index_.PathOf(*schema);
  const std::string note = fmt::format("{}/{}: {}", where, keyword, reason);
  if (options_.strict) {
    return Fail(ErrorCode::kUnsupported, "{}, which cannot be enforced exactly", note);
  }
  left_out_.push_back(left_out_.size() + 1 < kMostNotes ? note : "and more");
  return {};
}

const Json* SchemaCompiler::SchemaOfConstant(const Json& value) {
  const auto [at, is_new] = constants_.try_emplace(&value);
  if (!is_new) return at->second;
  const auto constant = [](const Json& part) { return Json{{"const", part}}; };
  Json schema;
  if (value.is_array()) {
    schema = {{"type", "array"}, {"items", false}, {"minItems", value.size()}};
    schema["prefixItems"] = Json::array();
    for (const Json& item : value) schema["prefixItems"].push_back(constant(item));
  } else {
    schema = {{"type", "object"}, {"additionalProperties", false}};
    schema["properties"] = Json::object();
    schema["required"] = Json::array();
    for (const auto& [name, part] : value.items()) {
      schema["properties"][name] = constant(part);
      schema["required"].push_back(name);
    }
  }
  own_.push_back(std::move(schema));
  return constants_[&value] = &own_.back();
}

Result<Expr> AddJsonSchema(Grammar& grammar, const Json& schema, const SchemaOptions& options,
                           std::vector<std::string>& left_out) {
  return SchemaCompiler(grammar, schema, options, left_out).Compile();
}

}  // namespace fulmen
