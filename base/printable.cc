#include "base/printable.h"

#include <fmt/core.h>

#include <cstdint>

#include "base/utf8.h"

namespace fulmen {
namespace {

constexpr std::string_view kEllipsis = " ... ";

// Whether the code point, past ASCII, has no glyph of its own or changes how its neighbours appear.
bool IsInvisible(uint32_t code) {
  return code < 0xA0 || (code >= 0x200B && code <= 0x200F) || (code >= 0x2028 && code <= 0x202E) ||
         (code >= 0x2060 && code <= 0x206F) || code == 0xFEFF ||
         (code >= 0xFFF9 && code <= 0xFFFB) || (code >= 0xE0000 && code <= 0xE0FFF);
}

void AppendEscaped(std::string_view bytes, const Utf8Char& c, std::string& out) {
  if (c.kind != Utf8Char::Kind::kValid || c.code < 0x80) {
    for (const char byte : bytes) out += fmt::format("\\x{:02x}", static_cast<uint8_t>(byte));
  } else {
    out += fmt::format("\\u{{{:x}}}", c.code);
  }
}

void AppendPrintable(std::string_view bytes, const Utf8Char& c, std::string& out) {
  if (c.kind == Utf8Char::Kind::kValid) {
    if (c.code == '\n') return void(out += "\\n");
    if (c.code == '\r') return void(out += "\\r");
    if (c.code == '\t') return void(out += "\\t");
    const bool shown = c.code < 0x80 ? c.code >= 0x20 && c.code != 0x7F : !IsInvisible(c.code);
    if (shown) return void(out += bytes);
  }
  AppendEscaped(bytes, c, out);
}

bool BeginsCharacter(char byte) { return (static_cast<uint8_t>(byte) & 0xC0) != 0x80; }

}  // namespace

std::string Printable(std::string_view text, size_t most) {
  std::string out;
  const char* end = text.data() + text.size();
  for (const char* p = text.data(); p != end;) {
    const Utf8Char c = DecodeUtf8(p, end);
    AppendPrintable({p, c.bytes}, c, out);
    p += c.bytes;
  }
  if (out.size() <= most) return out;
  size_t head = most * 2 / 3;
  size_t tail = out.size() - most / 3;
  while (head > 0 && !BeginsCharacter(out[head])) --head;
  while (tail < out.size() && !BeginsCharacter(out[tail])) ++tail;
  return out.substr(0, head).append(kEllipsis).append(out, tail);
}

std::string PrintableMessage(const Error& error) {
  constexpr size_t kLongest = 1000;
  return Printable(error.message, kLongest);
}

}  // namespace fulmen
