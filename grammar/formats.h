// The formats that JSON Schema names for strings.
#pragma once

#include <optional>
#include <string_view>

#include "grammar/characters.h"
#include "grammar/terms.h"

namespace fulmen {

// The texts of a format of JSON Schema ("date-time", "uri"…), of OpenAPI's "byte", or of an older
// name for one of these; nullopt for others, which promise nothing. No text is in it that the
// format forbids. Some that it allows are not: those that few programs read (leap seconds, comments
// in mail addresses, host names with "--"), and whatever of "regex" and of international names is
// hard to tell from what is forbidden.
std::optional<Term> FormatTerm(Terms& terms, std::string_view format, Spelling spelling);

}  // namespace fulmen
