#include "engine/answer_grammar.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "engine/answer_markers.h"
#include "engine/digest.h"
#include "grammar/characters.h"
#include "grammar/gbnf.h"
#include "grammar/json_schema.h"
#include "grammar/pattern.h"

namespace fulmen {
namespace {

// OpenAI's client takes no more.
constexpr int64_t kMostCalls = 127;
// Of spaces and line ends between thoughts and what follows.
constexpr int32_t kMostSpace = 16;

using Failed = tl::unexpected<AnswerGrammarError>;

Json AnyObject() { return {{"type", "object"}}; }

class AnswerGrammarMaker {
 public:
  AnswerGrammarMaker(const AnswerRules& rules, AnswerFormat format, bool with_hints)
      : rules_(rules), format_(format), with_hints_(with_hints) {}

  tl::expected<AnswerGrammar, AnswerGrammarError> Make() {
    const Expr said = Said();
    if (error_) return Failed(*std::move(error_));
    const Expr whole = format_.reasoning ? grammar_.Choice({Thought(said), said}) : said;
    if (const Status finished = grammar_.Finish(whole); !finished) {
      return Failed({finished.error(), rules_.text.where});
    }
    return AnswerGrammar{std::make_shared<const Grammar>(std::move(grammar_)),
                         std::move(left_out_)};
  }

 private:
  Terms& terms() { return grammar_.terms(); }

  Term Without(std::string_view marker) {
    return terms().Not(terms().Concat(
        std::vector{Terms::kEverything, terms().Literal(marker), Terms::kEverything}));
  }

  Term Space() { return JsonWhitespace(terms(), kMostSpace); }

  Expr Thought(Expr then) {
    const Term thought = terms().Concat(std::vector{
        Space(), terms().Literal(kThink), Without(kThinkEnd), terms().Literal(kThinkEnd), Space()});
    return grammar_.Sequence({grammar_.Lexeme(thought), then});
  }

  // The answer but for its thoughts.
  Expr Said() {
    if (rules_.calls == AnswerRules::Calls::kRequired) return CallBlock();
    const bool free = rules_.text.kind == TextRule::Kind::kAnything;
    if (rules_.calls == AnswerRules::Calls::kFree || rules_.tools.empty()) {
      return free ? grammar_.Lexeme(Terms::kEverything) : Words();
    }
    if (!free) return grammar_.Choice({CallBlock(), Words()});
    const Expr words = grammar_.Lexeme(Without(OpeningMarker(format_.calls)));
    return grammar_.Sequence({words, grammar_.Repeat(CallBlock(), 0, 1)});
  }

  Expr Words() {
    const TextRule& rule = rules_.text;
    switch (rule.kind) {
      case TextRule::Kind::kAnything:
        return grammar_.Lexeme(Terms::kEverything);
      case TextRule::Kind::kSchema:
        return Taken(AddJsonSchema(grammar_, rule.schema,
                                   {.strict = rule.strict,
                                    .longest_whitespace = rule.compact ? 0 : kMostSpace},
                                   left_out_),
                     rule.where);
      case TextRule::Kind::kPattern:
        return grammar_.Lexeme(Taken(
            ParsePattern(terms(), rule.text, Spelling::kText, PatternMatch::kWhole), rule.where));
      case TextRule::Kind::kChoice: {
        std::vector<Expr> choices;
        for (const std::string& choice : rule.choices) choices.push_back(grammar_.Literal(choice));
        return grammar_.Choice(std::move(choices));
      }
      case TextRule::Kind::kGbnf:
        break;
    }
    return Taken(AddGbnf(grammar_, rule.text), rule.where);
  }

  // As the chat templates show them (tokenizer/chat.cc), and AnswerParser reads them.
  Expr CallBlock() {
    const bool m1 = format_.calls == CallFormat::kM1;
    std::vector<Expr> calls;
    for (const ToolRule& tool : rules_.tools) {
      const Expr arguments = Arguments(tool);
      const Expr begin = m1 ? grammar_.Lexeme(M1Call(tool.name))
                            : grammar_.Literal("functions." + tool.name + "(");
      calls.push_back(grammar_.Sequence({begin, arguments, grammar_.Literal(m1 ? "}\n" : ")\n")}));
    }
    const std::string opening =
        std::string(OpeningMarker(format_.calls)) + (m1 ? "\n" : "```typescript\n");
    const Expr call = grammar_.Choice(std::move(calls));
    return grammar_.Sequence({grammar_.Literal(opening),
                              grammar_.Repeat(call, 1, rules_.one_call ? 1 : kMostCalls),
                              grammar_.Literal(ClosingMarker(format_.calls))});
  }

  // Up to the arguments. Models leave spaces out that the template has.
  Term M1Call(std::string_view name) {
    const Term space = terms().Optional(terms().Literal(" "));
    return terms().Concat(std::vector{terms().Literal("{\"name\":"), space, terms().Literal("\""),
                                      Spelled(terms(), name, Spelling::kJson),
                                      terms().Literal("\","), space,
                                      terms().Literal("\"arguments\":"), space});
  }

  Expr Arguments(const ToolRule& tool) {
    std::vector<std::string> left_out;
    if (tool.strict) return Taken(AddArguments(tool.parameters, true, left_out), tool.where);
    if (with_hints_ && rules_.calls == AnswerRules::Calls::kRequired) {
      const Grammar before = grammar_;
      if (const auto added = AddArguments(tool.parameters, false, left_out)) return *added;
      grammar_ = before;
    }
    return Taken(AddArguments(nullptr, false, left_out), tool.where);
  }

  // Arguments are an object, whether the schema says so or not.
  Result<Expr> AddArguments(Json schema, bool strict, std::vector<std::string>& left_out) {
    if (schema.is_null()) schema = AnyObject();
    if (schema == Json(true)) schema = AnyObject();
    if (!schema.is_object()) {
      return Fail(ErrorCode::kInvalidArgument, "#: expected the schema of an object, found {}",
                  Shown(schema));
    }
    const auto type = schema.find("type");
    if (type == schema.end()) {
      schema["type"] = "object";
    } else if (type->is_array() && std::ranges::find(*type, "object") != type->end()) {
      *type = "object";
    } else if (*type != "object") {
      return Fail(ErrorCode::kInvalidArgument, "#/type: expected object, found {}", Shown(*type));
    }
    FULMEN_ASSIGN(const Expr expr, AddJsonSchema(grammar_, schema, {.strict = strict}, left_out));
    if (terms().exhausted() || !grammar_.MayMatch(expr)) {
      return Fail(ErrorCode::kInvalidArgument, "#: no value at all is allowed, or too many are");
    }
    return expr;
  }

  // The value, or its error for whoever asked.
  template <class T>
  T Taken(Result<T> result, const std::string& where) {
    if (result) return *result;
    if (!error_) error_ = AnswerGrammarError{std::move(result).error(), where};
    return T{};
  }

  const AnswerRules& rules_;
  const AnswerFormat format_;
  const bool with_hints_;
  Grammar grammar_;
  std::vector<std::string> left_out_;
  std::optional<AnswerGrammarError> error_;
};

}  // namespace

std::string AnswerRules::Digest(AnswerFormat format) const {
  DigestFields fields("answer grammar");
  fields.Number(format.reasoning ? 1 : 0).Number(static_cast<int64_t>(format.calls));
  fields.Number(static_cast<int64_t>(text.kind)).Text(text.schema.dump()).Text(text.text);
  fields.Number(text.strict ? 1 : 0).Number(text.compact ? 1 : 0).Number(std::ssize(text.choices));
  for (const std::string& choice : text.choices) fields.Text(choice);
  fields.Number(static_cast<int64_t>(calls)).Number(one_call ? 1 : 0);
  for (const ToolRule& tool : tools) {
    fields.Text(tool.name).Text(tool.parameters.dump()).Number(tool.strict ? 1 : 0);
  }
  return fields.Digest();
}

tl::expected<AnswerGrammar, AnswerGrammarError> MakeAnswerGrammar(const AnswerRules& rules,
                                                                  AnswerFormat format) {
  auto made = AnswerGrammarMaker(rules, format, /*with_hints=*/true).Make();
  const bool hints = std::ranges::any_of(
      rules.tools, [](const ToolRule& tool) { return !tool.strict && !tool.parameters.is_null(); });
  // Hints that are too much together never cost an answer.
  if (!made && hints && rules.calls == AnswerRules::Calls::kRequired) {
    auto plain = AnswerGrammarMaker(rules, format, /*with_hints=*/false).Make();
    if (plain) return plain;
  }
  return made;
}

}  // namespace fulmen
