#include "base/utf8.h"

namespace fulmen {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

}  // namespace

Utf8Char DecodeUtf8(const char* begin, const char* end) {
  using Kind = Utf8Char::Kind;
  const auto byte = [begin](uint32_t i) { return static_cast<uint8_t>(begin[i]); };
  const uint32_t lead = byte(0);
  if (lead < 0x80) return {lead, 1, Kind::kValid};
  // The second byte's range excludes overlong forms, surrogates and what lies past U+10FFFF.
  uint32_t low = 0x80;
  uint32_t high = 0xBF;
  uint32_t length = 0;
  if (lead >= 0xC2 && lead <= 0xDF) {
    length = 2;
  } else if (lead >= 0xE0 && lead <= 0xEF) {
    length = 3;
    if (lead == 0xE0) low = 0xA0;
    if (lead == 0xED) high = 0x9F;
  } else if (lead >= 0xF0 && lead <= 0xF4) {
    length = 4;
    if (lead == 0xF0) low = 0x90;
    if (lead == 0xF4) high = 0x8F;
  } else {
    return {0, 1, Kind::kInvalid};
  }
  uint32_t code = lead & (0x7Fu >> length);
  for (uint32_t i = 1; i < length; ++i) {
    if (begin + i == end) return {0, i, Kind::kTruncated};
    if (byte(i) < low || byte(i) > high) return {0, i, Kind::kInvalid};
    code = code << 6 | (byte(i) & 0x3Fu);
    low = 0x80;
    high = 0xBF;
  }
  return {code, length, Kind::kValid};
}

bool IsUtf8(std::string_view text) {
  const char* const end = text.data() + text.size();
  for (const char* at = text.data(); at != end;) {
    const Utf8Char next = DecodeUtf8(at, end);
    if (next.kind != Utf8Char::Kind::kValid) return false;
    at += next.bytes;
  }
  return true;
}

std::string ReplaceInvalidUtf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  const char* end = text.data() + text.size();
  for (const char* p = text.data(); p != end;) {
    const Utf8Char c = DecodeUtf8(p, end);
    if (c.kind == Utf8Char::Kind::kValid) {
      out.append(p, c.bytes);
    } else {
      out += kReplacement;
    }
    p += c.bytes;
  }
  return out;
}

void AppendUtf8(uint32_t code, std::string& out) {
  const auto put = [&out](uint32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xC0 | code >> 6);
    put(0x80 | (code & 0x3F));
  } else if ((code >= 0xD800 && code < 0xE000) || code > 0x10FFFF) {
    out += kReplacement;
  } else if (code < 0x10000) {
    put(0xE0 | code >> 12);
    put(0x80 | (code >> 6 & 0x3F));
    put(0x80 | (code & 0x3F));
  } else {
    put(0xF0 | code >> 18);
    put(0x80 | (code >> 12 & 0x3F));
    put(0x80 | (code >> 6 & 0x3F));
    put(0x80 | (code & 0x3F));
  }
}

}  // namespace fulmen
