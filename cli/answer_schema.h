// Whether a text is JSON that a schema allows, for answers that another program wrote.
#pragma once

#include <string>
#include <string_view>

#include "base/json.h"
#include "base/status.h"

namespace fulmen {

// As far as the schema's keywords can be enforced (docs/constrained.md); those that cannot allow
// everything. Properties may stand in any order.
class AnswerSchema {
 public:
  // `where` names the schema in errors.
  static Result<AnswerSchema> Make(Json schema, const std::string& where);

  const Json& schema() const { return schema_; }
  // The error says what is wrong with the answer.
  Status Check(std::string_view answer) const;

 private:
  explicit AnswerSchema(Json schema) : schema_(std::move(schema)) {}

  Json schema_;
};

}  // namespace fulmen
