// Unicode normalization form C, by utf8proc's tables (see docs/tokenizer.md for their version).
#pragma once

#include <string>
#include <string_view>

namespace fulmen {

// Bytes that are no part of valid UTF-8 stay as they are.
std::string NormalizeNfc(std::string_view text);

}  // namespace fulmen
