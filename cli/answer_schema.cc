#include "cli/answer_schema.h"

#include <memory>
#include <utility>
#include <vector>

#include "eval/instance_order.h"
#include "grammar/grammar.h"
#include "grammar/json_schema.h"
#include "grammar/matcher.h"
#include "grammar/token_trie.h"
#include "tokenizer/python_json.h"

namespace fulmen {
namespace {

Result<std::shared_ptr<const Grammar>> GrammarOf(const Json& schema) {
  auto grammar = std::make_shared<Grammar>();
  std::vector<std::string> left_out;
  FULMEN_ASSIGN(const Expr start, AddJsonSchema(*grammar, schema, {}, left_out));
  FULMEN_TRY(grammar->Finish(start));
  return grammar;
}

}  // namespace

Result<AnswerSchema> AnswerSchema::Make(Json schema, const std::string& where) {
  const auto grammar = GrammarOf(schema);
  if (!grammar) return Fail(grammar.error().code, "{}: {}", where, grammar.error().message);
  return AnswerSchema(std::move(schema));
}

Status AnswerSchema::Check(std::string_view answer) const {
  FULMEN_ASSIGN(const Json value, ParseJson(answer, "the answer"));
  FULMEN_ASSIGN(const auto grammar, GrammarOf(schema_));
  const Matcher start(grammar, std::make_shared<TokenTrie>());  // no tokens are asked for
  Matcher matcher = start;
  const Status as_is = matcher.AcceptText(PythonJson(value));
  if (as_is && matcher.CanEnd()) return {};
  const auto ordered = InstanceOrder(schema_).Find(value, start);
  matcher = start;
  if (ordered && matcher.AcceptText(PythonJson(*ordered)) && matcher.CanEnd()) return {};
  return Fail(ErrorCode::kCorrupt, "the answer does not keep to the schema: {}",
              as_is ? "it ends too soon" : as_is.error().message);
}

}  // namespace fulmen
