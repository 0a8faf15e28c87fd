// The flags that hold an answer to a format.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/status.h"
#include "cli/command.h"
#include "engine/answer_parser.h"
#include "grammar/grammar.h"

namespace fulmen {

struct FormatOptions {
  std::optional<std::string> schema;   // a file
  bool compact = false;                // JSON without whitespace
  std::optional<std::string> regex;    // itself
  std::optional<std::string> grammar;  // a file

  // Of answers in this format; null where nothing was asked for. Says what of a schema cannot be
  // enforced, unless `quiet`.
  Result<std::shared_ptr<const Grammar>> Make(AnswerFormat format, bool quiet) const;
};

// --schema, --compact, --regex and --grammar.
void AddFormatOptions(Command& command, FormatOptions& options);

}  // namespace fulmen
