#include "grammar/pattern.h"
#include "grammar/formats.h"
namespace fulmen {
Result<Term> ParsePattern(Terms&, std::string_view pattern, Spelling, PatternMatch) { return Fail(ErrorCode::kUnsupported,"no patterns yet {}", pattern); }
std::optional<Term> FormatTerm(Terms&, std::string_view, Spelling) { return std::nullopt; }
}
