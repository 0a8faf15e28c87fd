#include "serve/answer_rules.h"

#include <optional>
#include <span>
#include <utility>

namespace fulmen {
namespace {

constexpr size_t kMostListed = 10'000;
constexpr size_t kLongestHeader = 2000;

using RuleKind = TextRule::Kind;

TextRule OfSchema(Json schema, std::string where, bool strict = false) {
  return {.kind = RuleKind::kSchema,
          .schema = std::move(schema),
          .strict = strict,
          .where = std::move(where)};
}

TextRule OfJsonObject(std::string where) {
  return OfSchema({{"type", "object"}}, std::move(where));
}

// A schema, which some clients send as a string.
ApiResult<TextRule> SchemaIn(const Fields& fields, std::string_view name) {
  const Json& value = fields.At(name);
  if (!value.is_string()) return OfSchema(value, fields.PathOf(name));
  auto parsed = ParseJson(value.get_ref<const std::string&>(), fields.PathOf(name));
  if (!parsed) return tl::unexpected(ToApiError(parsed.error(), fields.PathOf(name)));
  return OfSchema(*std::move(parsed), fields.PathOf(name));
}

ApiResult<TextRule> TextIn(const Fields& fields, std::string_view name, RuleKind kind) {
  FULMEN_API_ASSIGN(std::string text, fields.NeededString(name));
  return TextRule{.kind = kind, .text = std::move(text), .where = fields.PathOf(name)};
}

ApiResult<TextRule> ChoicesIn(const Fields& fields, std::string_view name) {
  FULMEN_API_ASSIGN(const Json* list, fields.NeededList(name));
  TextRule rule = {.kind = RuleKind::kChoice, .where = fields.PathOf(name)};
  for (const Json& choice : *list) {
    if (choice.is_string()) rule.choices.push_back(choice);
  }
  if (rule.choices.size() == list->size() && !list->empty() && list->size() <= kMostListed) {
    return rule;
  }
  return fields.Wrong(name, fmt::format("a list of up to {} strings", kMostListed));
}

ApiResult<TextRule> ObjectIn(const Fields& fields, std::string_view name) {
  FULMEN_API_ASSIGN(const bool wanted, fields.Bool(name, false));
  return wanted ? OfJsonObject(fields.PathOf(name)) : TextRule{};
}

// One way to say what the words are held to.
struct FormatSpelling {
  std::string_view field;
  ApiResult<TextRule> (*read)(const Fields& fields, std::string_view name);
};

ApiResult<TextRule> PatternIn(const Fields& fields, std::string_view name) {
  return TextIn(fields, name, RuleKind::kPattern);
}
ApiResult<TextRule> GbnfIn(const Fields& fields, std::string_view name) {
  return TextIn(fields, name, RuleKind::kGbnf);
}

ApiResult<TextRule> FormatIn(const Fields& fields, std::string_view name) {
  FULMEN_API_ASSIGN(const Fields format, Fields::Of(fields.At(name), fields.PathOf(name)));
  return ReadFormat(format);
}

// At most one of the fields that are there may ask for something.
ApiResult<TextRule> OnlyOneOf(const Fields& fields, std::span<const FormatSpelling> spellings) {
  TextRule found;
  for (const FormatSpelling& spelling : spellings) {
    if (!fields.Has(spelling.field)) continue;
    FULMEN_API_ASSIGN(TextRule rule, spelling.read(fields, spelling.field));
    if (rule.kind == RuleKind::kAnything) continue;
    if (found.kind != RuleKind::kAnything) {
      return ApiFail(ApiErrorKind::kInvalid, fields.PathOf(spelling.field),
                     "expected one thing that the answer is held to, found {} and {}", found.where,
                     rule.where);
    }
    found = std::move(rule);
  }
  return found;
}

ApiResult<TextRule> StructuredIn(const Fields& fields, std::string_view name) {
  constexpr FormatSpelling kSpellings[] = {{"json", SchemaIn},
                                           {"regex", PatternIn},
                                           {"choice", ChoicesIn},
                                           {"grammar", GbnfIn},
                                           {"json_object", ObjectIn}};
  FULMEN_API_ASSIGN(const Fields asked, Fields::Of(fields.At(name), fields.PathOf(name)));
  for (const std::string_view field : {"structural_tag", "whitespace_pattern"}) {
    if (!asked.Has(field)) continue;
    return ApiFail(ApiErrorKind::kUnsupported, asked.PathOf(field), "{} is not supported", field);
  }
  FULMEN_API_ASSIGN(TextRule rule, OnlyOneOf(asked, kSpellings));
  FULMEN_API_ASSIGN(rule.compact, asked.Bool("disable_any_whitespace", false));
  return rule;
}

}  // namespace

ApiResult<TextRule> ReadFormat(const Fields& format) {
  FULMEN_API_ASSIGN(const std::string type, format.NeededString("type"));
  if (type == "text") return TextRule{};
  if (type == "json_object") {
    return format.Has("schema") ? OfSchema(format.At("schema"), format.PathOf("schema"))
                                : OfJsonObject(format.PathOf("type"));
  }
  if (type != "json_schema") return format.Wrong("type", "text, json_object or json_schema");
  FULMEN_API_ASSIGN(const std::optional<Fields> inner, format.Object("json_schema"));
  const Fields& holder = inner ? *inner : format;
  FULMEN_API_TRY(holder.String("name"));
  FULMEN_API_ASSIGN(const bool strict, holder.Bool("strict", false));
  if (!holder.Has("schema")) return holder.Wrong("schema", "a JSON schema");
  return OfSchema(holder.At("schema"), holder.PathOf("schema"), strict);
}

ApiResult<TextRule> ReadTextRule(const Fields& fields) {
  constexpr FormatSpelling kSpellings[] = {{"response_format", FormatIn},
                                           {"structured_outputs", StructuredIn},
                                           {"guided_json", SchemaIn},
                                           {"guided_regex", PatternIn},
                                           {"guided_choice", ChoicesIn},
                                           {"guided_grammar", GbnfIn},
                                           {"guided_json_object", ObjectIn},
                                           {"json_schema", SchemaIn},
                                           {"grammar", GbnfIn},
                                           {"regex", PatternIn},
                                           {"ebnf", GbnfIn}};
  return OnlyOneOf(fields, kSpellings);
}

ApiResult<void> AddCalls(const Json& tools, const StrictTools& strict, const AskedCalls& asked,
                         AnswerRules& rules) {
  rules.one_call = asked.one_call || !asked.only.empty();
  bool any_strict = false;
  for (const Json& tool : tools) {
    const Json& function = tool.at("function");
    const std::string name = function.at("name");
    if (!asked.only.empty() && asked.only != name) continue;
    const auto found = strict.find(name);
    any_strict |= found != strict.end();
    rules.tools.push_back({.name = name,
                           .parameters = Member(function, "parameters"),
                           .strict = found != strict.end(),
                           .where = found != strict.end() ? found->second : ""});
  }
  if (asked.required) {
    rules.calls = AnswerRules::Calls::kRequired;
    if (!rules.tools.empty()) return {};
    if (asked.only.empty()) {
      return ApiFail(ApiErrorKind::kInvalid, asked.where, "expected tools to call, found none");
    }
    return ApiFail(ApiErrorKind::kInvalid, asked.where,
                   "expected the name of one of the tools, found \"{}\"", asked.only);
  }
  const bool held = any_strict || rules.text.kind != RuleKind::kAnything;
  if (held && !rules.tools.empty()) {
    rules.calls = AnswerRules::Calls::kAuto;
  } else {
    rules.tools.clear();
  }
  return {};
}

std::string LeftOutValue(const std::vector<std::string>& left_out) {
  std::string value;
  for (const std::string& each : left_out) {
    if (value.size() > kLongestHeader) {
      value += ", ...";
      break;
    }
    if (!value.empty()) value += ", ";
    for (const char byte : std::string_view(each).substr(0, each.find(": "))) {
      constexpr std::string_view kPlain = "#/~_-.$";
      const bool letter = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
                          (byte >= '0' && byte <= '9');
      value += letter || kPlain.find(byte) != std::string_view::npos
                   ? std::string(1, byte)
                   : fmt::format("%{:02X}", static_cast<uint8_t>(byte));
    }
  }
  return value;
}

}  // namespace fulmen
