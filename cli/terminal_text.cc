#include "cli/terminal_text.h"

#include <fmt/core.h>

#include <cstdint>

namespace fulmen {
namespace {

uint8_t ByteAt(std::string_view text, size_t i) {
  return i < text.size() ? static_cast<uint8_t>(text[i]) : 0;
}

}  // namespace

std::string ForTerminal(std::string_view text) {
  std::string shown;
  for (size_t i = 0; i < text.size(); ++i) {
    const uint8_t first = ByteAt(text, i);
    const uint8_t second = ByteAt(text, i + 1);
    const uint8_t third = ByteAt(text, i + 2);
    if ((first < 0x20 && first != '\n' && first != '\t') || first == 0x7f) {
      shown += fmt::format("\\x{:02x}", first);
    } else if (first == 0xc2 && second >= 0x80 && second < 0xa0) {  // U+0080 to U+009F
      shown += fmt::format("\\u00{:02x}", second);
      i += 1;
    } else if (first == 0xe2 && ((second == 0x80 && third >= 0xaa && third <= 0xae) ||
                                 (second == 0x81 && third >= 0xa6 && third <= 0xa9))) {
      // U+202A to U+202E, U+2066 to U+2069
      shown += fmt::format("\\u20{:02x}", (second & 0x3) << 6 | (third & 0x3f));
      i += 2;
    } else {
      shown += text[i];
    }
  }
  return shown;
}

}  // namespace fulmen
