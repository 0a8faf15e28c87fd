// Letters and spaces of ASCII, as formats and protocols have them, whatever the locale is.
#pragma once

#include <string>
#include <string_view>

namespace fulmen {

char LowerCase(char c);
std::string LowerCase(std::string_view text);
bool SameIgnoringCase(std::string_view a, std::string_view b);
// Without the spaces, tabs and line ends at both its ends.
std::string_view Trimmed(std::string_view text);

}  // namespace fulmen
