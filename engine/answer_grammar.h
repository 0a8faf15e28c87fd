// What a request asks of its answer, as one grammar for all of the answer's text: thoughts, words
// and calls, in the markup of the model's chat format.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "engine/answer_parser.h"
#include "grammar/grammar.h"

namespace fulmen {

// What an answer's words have to be.
struct TextRule {
  enum class Kind : uint8_t {
    kAnything,
    kSchema,   // JSON of `schema`
    kPattern,  // `text` is a regular expression, which matches all of it
    kChoice,   // one of `choices`
    kGbnf,     // `text` is a grammar as llama.cpp has them
  };
  Kind kind = Kind::kAnything;
  Json schema = nullptr;
  bool strict = false;   // a keyword that cannot be enforced is an error, else it is left out
  bool compact = false;  // JSON without whitespace
  std::string text = {};
  std::vector<std::string> choices = {};
  std::string where = {};  // who asks: the field of a request
};

struct ToolRule {
  std::string name;
  Json parameters = nullptr;  // a schema; null: none is known
  // Whether calls keep to the schema exactly. If not it is a hint: calls that must be made keep to
  // as much of it as can be enforced, be it nothing, and others to none.
  bool strict = false;
  std::string where = {};
};

struct AnswerRules {
  enum class Calls : uint8_t {
    kFree,      // as the model likes
    kAuto,      // as the model likes, but of these tools only, and after all words
    kRequired,  // nothing but calls, at least one
  };
  TextRule text = {};
  Calls calls = Calls::kFree;
  std::vector<ToolRule> tools = {};  // that may be called
  bool one_call = false;

  // Whether they ask for anything.
  bool any() const { return text.kind != TextRule::Kind::kAnything || calls != Calls::kFree; }
  // Rules of the same digest make the same grammar for the same format.
  std::string Digest(AnswerFormat format) const;
};

struct AnswerGrammar {
  std::shared_ptr<const Grammar> grammar;
  std::vector<std::string> left_out;  // keywords of the text's schema (AddJsonSchema)
};
struct AnswerGrammarError {
  Error error;
  std::string where;  // whose rule it is about; may be empty
};

// A model that thinks may do so first, in any words. Calls look as its chat template shows them;
// with words that are free they come last, and words with the opening marker in them begin calls.
// Words of a kind exclude calls, and the other way round. Takes up to seconds for the largest
// schemas, and memory that is bounded.
tl::expected<AnswerGrammar, AnswerGrammarError> MakeAnswerGrammar(const AnswerRules& rules,
                                                                  AnswerFormat format);

}  // namespace fulmen
