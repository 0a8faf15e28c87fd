// Where a reader of somebody else's text stands in it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/printable.h"
#include "base/utf8.h"

namespace fulmen {

inline bool IsDigit(char c) { return c >= '0' && c <= '9'; }
inline bool IsLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
inline std::optional<uint32_t> HexDigit(char c) {
  if (IsDigit(c)) return c - '0';
  const char lower = static_cast<char>(c | 0x20);
  if (lower >= 'a' && lower <= 'f') return lower - 'a' + 10;
  return std::nullopt;
}

// The base of readers; the text must outlive it.
class TextCursor {
 protected:
  static constexpr int kDeepest = 200;  // groups within groups

  explicit TextCursor(std::string_view text) : text_(text) {}

  bool AtEnd() const { return at_ == text_.size(); }
  char Peek() const { return AtEnd() ? '\0' : text_[at_]; }
  bool Take(std::string_view expected) {
    if (!text_.substr(at_).starts_with(expected)) return false;
    at_ += expected.size();
    return true;
  }
  // The character here; not at the end.
  Utf8Char Next() const { return DecodeUtf8(text_.data() + at_, text_.data() + text_.size()); }
  // It, as messages show it.
  std::string Found() const {
    if (AtEnd()) return "its end";
    return '"' + Printable(text_.substr(at_, Next().bytes)) + '"';
  }
  // Where the text first is not UTF-8; its size if nowhere.
  size_t EndOfUtf8() const {
    TextCursor other(text_);
    while (!other.AtEnd() && other.Next().kind == Utf8Char::Kind::kValid) {
      other.at_ += other.Next().bytes;
    }
    return other.at_;
  }

  std::string_view text_;
  size_t at_ = 0;
};

}  // namespace fulmen
