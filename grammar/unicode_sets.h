// The sets of characters that Unicode names by general category.
#pragma once

#include <optional>
#include <string_view>

#include "grammar/characters.h"

namespace fulmen {

// The characters of a general category by its short or long name ("Lu", "Uppercase_Letter"), of a
// group of categories ("L", "Letter"), or "Any", "Assigned" and "ASCII". nullopt for other names.
std::optional<CodePoints> UnicodeSet(std::string_view name);

}  // namespace fulmen
