// The fields of a request that hold its answer to something: a format of its words, tools that keep
// to a schema, calls that must be made.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "engine/answer_grammar.h"
#include "serve/api_error.h"
#include "serve/fields.h"

namespace fulmen {

// What the words are held to, under any of the names that there are for it: `response_format` as
// OpenAI and llama.cpp have it; `structured_outputs`, and guided_json, guided_regex, guided_choice,
// guided_grammar and guided_json_object before it, as vLLM has them; `json_schema` and `grammar` of
// llama.cpp, `regex` and `ebnf` of SGLang. More than one of them is an error.
ApiResult<TextRule> ReadTextRule(const Fields& fields);
// An object with the type text, json_object or json_schema, whose name, schema and strict stand
// beside the type (Responses, Anthropic) or in its json_schema (chat).
ApiResult<TextRule> ReadFormat(const Fields& format);

// Of the tools of a request, those that are strict: where their schemas are, by name.
using StrictTools = std::map<std::string, std::string, std::less<>>;

struct AskedCalls {
  bool required = false;
  std::string only = {};  // the one function that may be called; "": any of the tools
  bool one_call = false;
  std::string where = {};  // the field that asks
};
// `tools` are those that are shown to the model, in the shape of ChatPrompt; to be called once the
// rule of the text is there.
ApiResult<void> AddCalls(const Json& tools, const StrictTools& strict, const AskedCalls& asked,
                         AnswerRules& rules);

// What was left out of a schema (AnswerGrammar::left_out), as the value of a header: the pointers,
// with %xx for what has no place in one.
std::string LeftOutValue(const std::vector<std::string>& left_out);

}  // namespace fulmen
