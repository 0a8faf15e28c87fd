#pragma once
#include <string_view>
#include "base/status.h"
#include "grammar/characters.h"
#include "grammar/terms.h"
namespace fulmen {
enum class PatternMatch : uint8_t { kWhole, kSearch };
Result<Term> ParsePattern(Terms& terms, std::string_view pattern, Spelling spelling, PatternMatch how);
}
