// Generated text on its way to a terminal.
#pragma once

#include <string>
#include <string_view>

namespace fulmen {

// `text` (UTF-8) with everything a terminal would obey shown instead, as \x1b or \u202e: control
// characters but newline and tab, and what turns the direction of writing.
std::string ForTerminal(std::string_view text);

}  // namespace fulmen
