#include "tokenizer/published_split.h"

#include <cstddef>

#include "base/utf8.h"

namespace fulmen {

const std::string_view kPublishedSplitPattern =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+)"
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*)"
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
    R"(\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

namespace {

bool IsLetter(CharClass c) {
  return c == CharClass::kUpper || c == CharClass::kLower || c == CharClass::kLetter;
}

// (?i:'s|'t|'re|'ve|'m|'ll|'d)? The engine folds U+017F, the long s, to s.
const char* ContractionEnd(const char* begin, const char* end) {
  if (end - begin < 2 || begin[0] != '\'') return begin;
  const char first = static_cast<char>(begin[1] | 0x20);
  if (first == 's' || first == 't' || first == 'm' || first == 'd') return begin + 2;
  if (end - begin < 3) return begin;
  if (begin[1] == '\xC5' && begin[2] == '\xBF') return begin + 3;
  const char second = static_cast<char>(begin[2] | 0x20);
  if ((first == 'r' || first == 'v') && second == 'e') return begin + 3;
  if (first == 'l' && second == 'l') return begin + 3;
  return begin;
}

}  // namespace

inline PublishedSplit::Char PublishedSplit::At(const char* p, const char* end) const {
  const auto byte = static_cast<uint8_t>(*p);
  if (byte < 0x80) return {classes_[byte], 1};
  const Utf8Char c = DecodeUtf8(p, end);
  if (c.kind != Utf8Char::Kind::kValid) return {CharClass::kOther, 1};
  return {classes_[c.code], c.bytes};
}

// \p{U}* takes all it can. If a Ll follows, \p{W}+ goes on from there; otherwise the engine gives
// characters back until one is of both classes, which is then all that \p{W}+ gets.
PublishedSplit::Word PublishedSplit::WordAt(const char* begin, const char* end) const {
  const char* p = begin;
  const char* after_last_of_both = nullptr;
  while (p != end) {
    const Char c = At(p, end);
    if (c.char_class == CharClass::kLower) {
      do {
        p += At(p, end).bytes;
        if (p == end) break;
        const CharClass next = At(p, end).char_class;
        if (next != CharClass::kLower && next != CharClass::kLetter && next != CharClass::kMark) {
          break;
        }
      } while (true);
      return {p, false};
    }
    const bool both = c.char_class == CharClass::kLetter || c.char_class == CharClass::kMark;
    if (!both && c.char_class != CharClass::kUpper) break;
    p += c.bytes;
    if (both) after_last_of_both = p;
  }
  if (after_last_of_both != nullptr) return {after_last_of_both, false};
  return {p != begin ? p : nullptr, true};
}

// [^\s\p{L}\p{N}]+[\r\n/]*
const char* PublishedSplit::SymbolsEnd(const char* begin, const char* end) const {
  const char* p = begin;
  while (p != end) {
    const Char c = At(p, end);
    if (c.char_class != CharClass::kOther && c.char_class != CharClass::kMark) break;
    p += c.bytes;
  }
  while (p != end && (*p == '\r' || *p == '\n' || *p == '/')) ++p;
  return p;
}

// \s*[\r\n]+|\s+(?!\S)|\s+
const char* PublishedSplit::SpaceEnd(const char* begin, const char* end) const {
  const char* after_newline = nullptr;
  const char* last = begin;  // the last character of the run
  const char* p = begin;
  while (p != end) {
    const Char c = At(p, end);
    if (c.char_class != CharClass::kSpace && c.char_class != CharClass::kNewline) break;
    last = p;
    p += c.bytes;
    if (c.char_class == CharClass::kNewline) after_newline = p;
  }
  if (after_newline != nullptr) return after_newline;
  return p == end || last == begin ? p : last;
}

const char* PublishedSplit::PieceEnd(const char* begin, const char* end) const {
  const Char first = At(begin, end);
  if (IsLetter(first.char_class)) return ContractionEnd(WordAt(begin, end).end, end);
  if (first.char_class == CharClass::kNumber) {
    const char* p = begin + first.bytes;
    for (int digits = 1; digits < 3 && p != end; ++digits) {
      const Char c = At(p, end);
      if (c.char_class != CharClass::kNumber) break;
      p += c.bytes;
    }
    return p;
  }
  if (first.char_class == CharClass::kNewline) return SpaceEnd(begin, end);
  const char* second = begin + first.bytes;
  const Word word = second != end ? WordAt(second, end) : Word{nullptr, false};
  if (word.end != nullptr && !(word.capitals && first.char_class == CharClass::kMark)) {
    return ContractionEnd(word.end, end);
  }
  // A mark is itself a word by the first alternative, which comes before capitals alone.
  if (first.char_class == CharClass::kMark) return ContractionEnd(second, end);
  if (first.char_class == CharClass::kOther) return SymbolsEnd(begin, end);
  // Before a mark this space would have been the beginning of a word.
  if (*begin == ' ' && second != end && At(second, end).char_class == CharClass::kOther) {
    return SymbolsEnd(second, end);
  }
  return SpaceEnd(begin, end);
}

bool PublishedSplit::IsSettled(const char* piece_end, const char* end) const {
  // An apostrophe may begin a contraction, whose longest is three bytes.
  constexpr std::ptrdiff_t kContraction = 3;
  if (piece_end == end || (*piece_end == '\'' && end - piece_end < kContraction)) return false;
  // A run of letters and marks, or of spaces, that goes on behind the piece was looked at to its
  // end, and the character there.
  const auto kind_of = [](CharClass c) {
    if (IsLetter(c) || c == CharClass::kMark) return 1;
    return c == CharClass::kSpace || c == CharClass::kNewline ? 2 : 0;
  };
  const auto is_cut = [end](const char* p) {
    return DecodeUtf8(p, end).kind == Utf8Char::Kind::kTruncated;
  };
  if (is_cut(piece_end)) return false;
  const int kind = kind_of(At(piece_end, end).char_class);
  const auto before = static_cast<uint8_t>(piece_end[-1]);
  if (kind == 0 || (before < 0x80 && kind_of(classes_[before]) != kind)) return true;
  const char* p = piece_end;
  while (p != end && !is_cut(p) && kind_of(At(p, end).char_class) == kind) p += At(p, end).bytes;
  return p != end && !is_cut(p);
}

}  // namespace fulmen
