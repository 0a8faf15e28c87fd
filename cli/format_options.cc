#include "cli/format_options.h"

#include "base/console.h"
#include "cli/input.h"
#include "engine/answer_grammar.h"

namespace fulmen {

Result<std::shared_ptr<const Grammar>> FormatOptions::Make(AnswerFormat format, bool quiet) const {
  TextRule text;
  if (schema) {
    text.kind = TextRule::Kind::kSchema;
    text.where = "--schema " + InputName(*schema);
    text.compact = compact;
    FULMEN_ASSIGN(text.schema, ReadJsonInput(*schema));
  } else if (regex) {
    text.kind = TextRule::Kind::kPattern;
    text.where = "--regex";
    text.text = *regex;
  } else if (grammar) {
    text.kind = TextRule::Kind::kGbnf;
    text.where = "--grammar " + InputName(*grammar);
    FULMEN_ASSIGN(text.text, ReadInput(*grammar));
  } else {
    return nullptr;
  }
  auto made = MakeAnswerGrammar({.text = text}, format);
  if (!made) {
    const Error& error = made.error().error;
    return Fail(error.code, "{}: {}", text.where, error.message);
  }
  for (const std::string& left_out : made->left_out) {
    if (!quiet) Say("fulmen: {}: not enforced: {}\n", text.where, left_out);
  }
  return std::move(made->grammar);
}

void AddFormatOptions(Command& command, FormatOptions& options) {
  command.Group("Format of answers");
  command
      .Add("--schema FILE", options.schema,
           "Hold answers to the JSON Schema in this file; what of it cannot be enforced is told")
      .Excludes({"--regex", "--grammar"});
  command.Add("--compact", options.compact, "JSON without spaces and line breaks")
      .Needs({"--schema"});
  command.Add("--regex PATTERN", options.regex, "Hold answers to a regular expression")
      .Excludes({"--grammar"});
  command.Add("--grammar FILE", options.grammar, "Hold answers to the GBNF grammar in this file");
}

}  // namespace fulmen
