// JSON Schema as a grammar: the texts of the values that a schema allows.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "grammar/grammar.h"

namespace fulmen {

struct SchemaOptions {
  // Whether a keyword that cannot be enforced exactly is an error. If not it is left out, and
  // named.
  bool strict = false;
  // Spaces, tabs and line breaks in a row, wherever JSON allows some. 0: none but one space after
  // colons and commas is refused, too: {"a":1,"b":2}.
  int32_t longest_whitespace = 16;
};

// The schema's values, added to `grammar`. A keyword that was left out is added to `left_out` as a
// JSON pointer into the schema and a reason: "#/properties/a/uniqueItems: …". Errors begin with
// such a pointer, too.
Result<Expr> AddJsonSchema(Grammar& grammar, const Json& schema, const SchemaOptions& options,
                           std::vector<std::string>& left_out);

}  // namespace fulmen
