// GPT-2's spelling of bytes as printable characters, in which vocabularies are written.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace fulmen {

// The bytes that `spelling` stands for; nullopt when it has a character outside the alphabet.
std::optional<std::string> BytesFromSpelling(std::string_view spelling);
std::string SpellingFromBytes(std::string_view bytes);

}  // namespace fulmen
