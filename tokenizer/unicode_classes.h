// The character classes of the published split pattern, Unicode 16.0.
#pragma once

#include <array>
#include <cstdint>

namespace fulmen {

enum class CharClass : uint8_t {
  kOther,
  kUpper,    // Lu, Lt
  kLower,    // Ll
  kLetter,   // Lm, Lo: upper and lower at once to the pattern
  kMark,     // M
  kNumber,   // N
  kSpace,    // \s but for the next
  kNewline,  // \r, \n
};

// One entry per code point. Built on the first call; thread safe.
using CharClassTable = std::array<CharClass, 0x110000>;
const CharClassTable& UnicodeClasses();

}  // namespace fulmen
