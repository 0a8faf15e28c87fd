// Values without parts, as terms.
#include <algorithm>

#include "base/utf8.h"
#include "grammar/characters.h"
#include "grammar/numbers.h"
#include "grammar/schema_compiler.h"

namespace fulmen {
namespace {

int32_t Clipped(int64_t count) {
  return static_cast<int32_t>(std::min<int64_t>(count, Terms::kUnbounded));
}

std::string ScalarText(const Json& value) {
  if (value.is_string()) return fmt::format("\"{}\"", JsonSpelling(value.get<std::string>()));
  return value.dump();
}

}  // namespace

// Bytes up to the next character, which is all that counting takes: the language that is counted
// sees to it that they spell one.
Term SchemaCompiler::CountedCharacter() {
  const ByteSet rest = ByteSet::Range(0x80, 0xBF);
  const ByteSet backslash = ByteSet::Of('\\');
  const ByteSet any = ByteSet::All();
  const Term plain =
      terms_.Concat(terms_.Bytes((rest | backslash).Complement()), terms_.Star(terms_.Bytes(rest)));
  const Term code = terms_.Concat(terms_.Literal("u"), terms_.Repeat(terms_.Bytes(any), 4, 4));
  const Term letter = terms_.Bytes(ByteSet::Of('u').Complement());
  return terms_.Union(plain, terms_.Concat(terms_.Bytes(backslash), terms_.Union(code, letter)));
}

// Characters in their one spelling.
Term SchemaCompiler::PlainCharacters(const CountRange& length) {
  return terms_.Repeat(plain_character_, Clipped(length.min), Clipped(length.max));
}

Term SchemaCompiler::LiteralOf(const Json& scalar) {
  if (scalar.is_number()) return NumberEqualTo(terms_, scalar);
  return terms_.Literal(ScalarText(scalar));
}

Term SchemaCompiler::StringsOf(const Facts& facts) {
  const StringFacts& string = facts.string;
  if (string.length.min > string.length.max) return Terms::kNothing;
  if (string.in.empty() && string.not_in.empty() && facts.excluded.empty() && !facts.values) {
    return terms_.Repeat(any_character_, Clipped(string.length.min), Clipped(string.length.max));
  }
  std::vector<Term> parts = string.in;
  if (parts.empty()) {
    parts.push_back(PlainCharacters(string.length));
  } else if (string.length != CountRange{}) {
    parts.push_back(
        terms_.Repeat(counted_character_, Clipped(string.length.min), Clipped(string.length.max)));
  }
  for (const Term term : string.not_in) parts.push_back(terms_.Not(term));
  std::vector<Term> excluded;
  for (const Json& value : facts.excluded) {
    excluded.push_back(terms_.Literal(JsonSpelling(value.get<std::string>())));
  }
  parts.push_back(terms_.Not(terms_.Union(excluded)));
  const Term all = terms_.Intersect(parts);
  if (!facts.values) return all;
  std::vector<Term> values;
  for (const Json& value : *facts.values) {
    const std::string spelled = JsonSpelling(value.get<std::string>());
    if (terms_.Matches(all, spelled)) values.push_back(terms_.Literal(spelled));
  }
  return terms_.Union(values);
}

Result<Term> SchemaCompiler::StringsOf(const Claims& claims) {
  if (claims.empty()) return PlainCharacters({});
  FULMEN_ASSIGN(const auto alternatives, Expand(claims, JsonType::kString));
  std::vector<Term> terms;
  for (const Facts& facts : alternatives) terms.push_back(StringsOf(facts));
  return terms_.Intersect(terms_.Union(terms), PlainCharacters({}));
}

Term SchemaCompiler::NumbersOf(const Facts& facts) {
  Term all = NumberTerm(terms_, facts.number);
  std::vector<Term> excluded;
  for (const Json& value : facts.excluded) excluded.push_back(NumberEqualTo(terms_, value));
  if (!excluded.empty()) {
    all = terms_.Intersect(terms_.Without(all, terms_.Union(excluded)), PlainNumber(terms_));
  }
  if (!facts.values) return all;
  std::vector<Term> values;
  for (const Json& value : *facts.values) {
    values.push_back(terms_.Intersect(NumberEqualTo(terms_, value), all));
  }
  const Term term = terms_.Union(values);
  return terms_.Live(term) ? term : Terms::kNothing;
}

bool SchemaCompiler::IsAmong(const Facts& facts, JsonType type, const Json& value) {
  if (facts.values && std::ranges::find(*facts.values, value) == facts.values->end()) return false;
  if (std::ranges::find(facts.excluded, value) != facts.excluded.end()) return false;
  if (type == JsonType::kNumber) return terms_.Matches(NumbersOf(facts), ScalarText(value));
  if (type != JsonType::kString) return true;
  return terms_.Matches(terms_.Concat(StringsOf(facts), terms_.Literal("\"")),
                        ScalarText(value).substr(1));
}

Result<Term> SchemaCompiler::ScalarTerm(const Claims& claims, JsonType type) {
  FULMEN_ASSIGN(const auto alternatives, Expand(claims, type));
  std::vector<Term> terms;
  for (const Facts& facts : alternatives) {
    switch (type) {
      case JsonType::kNumber:
        terms.push_back(NumbersOf(facts));
        break;
      case JsonType::kString:
        terms.push_back(StringsOf(facts));
        break;
      default:
        for (const Json& value : {Json(), Json(false), Json(true)}) {
          const bool of_type = value.is_null() == (type == JsonType::kNull);
          if (of_type && IsAmong(facts, type, value)) terms.push_back(LiteralOf(value));
        }
    }
  }
  const Term all = terms_.Union(terms);
  if (type != JsonType::kString || all == Terms::kNothing) return all;
  const Term quote = terms_.Literal("\"");
  return terms_.Concat(std::vector{quote, all, quote});
}

}  // namespace fulmen
