#pragma once
#include <optional>
#include <string_view>
#include "grammar/characters.h"
#include "grammar/terms.h"
namespace fulmen {
std::optional<Term> FormatTerm(Terms& terms, std::string_view format, Spelling spelling);
}
