// Regular expressions as terms.
#pragma once

#include <string_view>

#include "base/status.h"
#include "grammar/characters.h"
#include "grammar/terms.h"

namespace fulmen {

enum class PatternMatch : uint8_t {
  kWhole,   // the pattern matches the text from its start to its end
  kSearch,  // it matches somewhere in the text, as JSON Schema means it
};

// The texts that `pattern` matches, in their spelling. It is read as pattern_syntax.h says; it may
// match no text at all, and terms may be exhausted by it.
Result<Term> ParsePattern(Terms& terms, std::string_view pattern, Spelling spelling,
                          PatternMatch how);

}  // namespace fulmen
