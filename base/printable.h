// Foreign text in messages and tables: what a file or a command line holds must neither move the
// cursor of a terminal nor fill its window.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/status.h"

namespace fulmen {

// `text` with escapes for what is not printed: \n, \r and \t, \x1b for other control characters of
// ASCII and for bytes that are not UTF-8, \u{202e} for controls, line ends and direction marks
// beyond ASCII. Escaping twice changes nothing. What is longer than `most` bytes then loses its
// middle.
std::string Printable(std::string_view text, size_t most = std::string::npos);

// The message of an error as it is shown: what it quotes came from anywhere.
std::string PrintableMessage(const Error& error);

}  // namespace fulmen
