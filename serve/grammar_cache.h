// Grammars of answers that were asked for lately.
#pragma once

#include <deque>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "engine/answer_grammar.h"
#include "serve/api_error.h"

namespace fulmen {

// Thread safe. Requests that ask for the same share a grammar, and so what the engine found out
// about it.
class GrammarCache {
 public:
  // nullopt: it is not there, and takes a while to make.
  std::optional<AnswerGrammar> Find(const AnswerRules& rules, AnswerFormat format);
  // Makes it. What cannot be enforced is the client's error, with the field and the keyword.
  ApiResult<AnswerGrammar> Make(const AnswerRules& rules, AnswerFormat format);

 private:
  std::mutex mutex_;
  std::deque<std::pair<std::string, AnswerGrammar>> recent_;  // by digest, the latest first
};

}  // namespace fulmen
