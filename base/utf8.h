// UTF-8, for text that may not be UTF-8 at all.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace fulmen {

struct Utf8Char {
  enum class Kind : uint8_t { kValid, kInvalid, kTruncated };
  uint32_t code;   // the code point, if valid
  uint32_t bytes;  // its length; otherwise the length of the longest part that could begin one
  Kind kind;       // kTruncated: the text ends where the character might have gone on
};

// The character at `begin`; begin < end.
Utf8Char DecodeUtf8(const char* begin, const char* end);

bool IsUtf8(std::string_view text);

// `text` with U+FFFD for what is not UTF-8, as Python's errors="replace" does it.
std::string ReplaceInvalidUtf8(std::string_view text);

// Appends the code point; one that is not a Unicode scalar value appends U+FFFD.
void AppendUtf8(uint32_t code, std::string& out);

}  // namespace fulmen
