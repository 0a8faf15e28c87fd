#include "grammar/characters.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/utf8.h"

namespace fulmen {
namespace {

constexpr uint32_t kFirstSurrogate = 0xD800;
constexpr uint32_t kLastSurrogate = 0xDFFF;

std::string Utf8(uint32_t character) {
  std::string bytes;
  AppendUtf8(character, bytes);
  return bytes;
}

Term ByteRange(Terms& terms, uint32_t first, uint32_t last) {
  return terms.Bytes(ByteSet::Range(static_cast<uint8_t>(first), static_cast<uint8_t>(last)));
}

// The UTF-8 of `first` to `last`, from byte `at` on; both have as many bytes, and the same ones
// before it.
Term Utf8Range(Terms& terms, std::string_view first, std::string_view last, size_t at) {
  const auto low = static_cast<uint8_t>(first[at]);
  const auto high = static_cast<uint8_t>(last[at]);
  if (at + 1 == first.size()) return ByteRange(terms, low, high);
  const std::string lowest(first.size(), '\x80');
  const std::string highest(first.size(), '\xBF');
  if (low == high) {
    return terms.Concat(ByteRange(terms, low, low), Utf8Range(terms, first, last, at + 1));
  }
  const auto tail_is = [&](std::string_view bytes, const std::string& filler) {
    return bytes.substr(at + 1) == std::string_view(filler).substr(at + 1);
  };
  std::vector<Term> ways;
  uint32_t whole_first = low;
  uint32_t whole_last = high;
  if (!tail_is(first, lowest)) {
    ways.push_back(
        terms.Concat(ByteRange(terms, low, low), Utf8Range(terms, first, highest, at + 1)));
    ++whole_first;
  }
  if (!tail_is(last, highest)) {
    ways.push_back(
        terms.Concat(ByteRange(terms, high, high), Utf8Range(terms, lowest, last, at + 1)));
    --whole_last;
  }
  if (whole_first <= whole_last) {
    ways.push_back(terms.Concat(ByteRange(terms, whole_first, whole_last),
                                Utf8Range(terms, lowest, highest, at + 1)));
  }
  return terms.Union(ways);
}

// Ranges of characters that have equally many bytes in UTF-8.
Term Utf8Characters(Terms& terms, const CodePoints& characters) {
  std::vector<Term> ways;
  for (const CodePoints::Range& range : characters.ranges()) {
    uint32_t first = range.first;
    for (const uint32_t longest : {0x7FU, 0x7FFU, 0xFFFFU, kLastCodePoint}) {
      const uint32_t last = std::min(range.last, longest);
      if (first > last) continue;
      ways.push_back(Utf8Range(terms, Utf8(first), Utf8(last), 0));
      first = last + 1;
    }
  }
  return terms.Union(ways);
}

// What stands for a character that a JSON string cannot hold as it is; "" for all others.
std::string EscapeOf(uint32_t character) {
  switch (character) {
    case '"':
      return "\\\"";
    case '\\':
      return "\\\\";
    case '\b':
      return "\\b";
    case '\f':
      return "\\f";
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    case '\t':
      return "\\t";
    default:
      return character < 0x20 ? fmt::format("\\u{:04x}", character) : "";
  }
}

const CodePoints& EscapedCharacters() {
  static const CodePoints escaped({{0, 0x1F}, {'"', '"'}, {'\\', '\\'}});
  return escaped;
}

Term AnyCase(Terms& terms, std::string_view hex_digits) {
  ByteSet bytes;
  for (const char digit : hex_digits) {
    bytes.Insert(static_cast<uint8_t>(digit));
    if (digit >= 'a') bytes.Insert(static_cast<uint8_t>(digit - 'a' + 'A'));
  }
  return terms.Bytes(bytes);
}

}  // namespace

CodePoints::CodePoints(std::vector<Range> ranges) {
  std::ranges::sort(ranges, {}, &Range::first);
  const auto add = [this](uint32_t first, uint32_t last) {
    if (first > last) return;
    if (!ranges_.empty() && first <= ranges_.back().last + 1) {
      ranges_.back().last = std::max(ranges_.back().last, last);
    } else {
      ranges_.push_back({first, last});
    }
  };
  for (const Range& range : ranges) {
    add(range.first, std::min(range.last, kFirstSurrogate - 1));
    add(std::max(range.first, kLastSurrogate + 1), std::min(range.last, kLastCodePoint));
  }
}

bool CodePoints::Has(uint32_t character) const {
  return std::ranges::any_of(ranges_, [&](const Range& range) {
    return range.first <= character && character <= range.last;
  });
}

CodePoints CodePoints::Complement() const {
  std::vector<Range> ranges;
  uint32_t next = 0;
  for (const Range& range : ranges_) {
    if (range.first > next) ranges.push_back({next, range.first - 1});
    next = range.last + 1;
  }
  if (next <= kLastCodePoint) ranges.push_back({next, kLastCodePoint});
  return CodePoints(std::move(ranges));
}

CodePoints operator|(const CodePoints& a, const CodePoints& b) {
  std::vector<CodePoints::Range> ranges = a.ranges_;
  ranges.insert(ranges.end(), b.ranges_.begin(), b.ranges_.end());
  return CodePoints(std::move(ranges));
}

CodePoints operator&(const CodePoints& a, const CodePoints& b) {
  return (a.Complement() | b.Complement()).Complement();
}

Term Character(Terms& terms, const CodePoints& characters, Spelling spelling) {
  if (spelling == Spelling::kText) return Utf8Characters(terms, characters);
  std::vector<Term> ways{Utf8Characters(terms, characters & EscapedCharacters().Complement())};
  const CodePoints escaped = characters & EscapedCharacters();
  for (const CodePoints::Range& range : escaped.ranges()) {
    for (uint32_t character = range.first; character <= range.last; ++character) {
      ways.push_back(terms.Literal(EscapeOf(character)));
    }
  }
  return terms.Union(ways);
}

std::string JsonSpelling(std::string_view text) {
  std::string spelled;
  for (const char byte : text) {
    const std::string escape = EscapeOf(static_cast<uint8_t>(byte));
    spelled += escape.empty() ? std::string(1, byte) : escape;
  }
  return spelled;
}

Term Spelled(Terms& terms, std::string_view text, Spelling spelling) {
  return terms.Literal(spelling == Spelling::kText ? std::string(text) : JsonSpelling(text));
}

Term JsonWhitespace(Terms& terms, int32_t longest) {
  return terms.Repeat(terms.Bytes(ByteSet::Of(" \t\n\r")), 0, longest);
}

Term AnyJsonCharacter(Terms& terms) {
  const Term hex = AnyCase(terms, "0123456789abcdef");
  const Term d = AnyCase(terms, "d");
  const Term escape = terms.Literal("\\u");
  const auto hex4 = [&](Term first_two) {
    return terms.Concat(std::vector{escape, first_two, hex, hex});
  };
  const Term high = hex4(terms.Concat(d, AnyCase(terms, "89ab")));
  const Term low = hex4(terms.Concat(d, AnyCase(terms, "cdef")));
  const Term others = hex4(terms.Union(terms.Concat(AnyCase(terms, "0123456789abcef"), hex),
                                       terms.Concat(d, AnyCase(terms, "01234567"))));
  const ByteSet letters = ByteSet::Of("\"\\/bfnrt");
  return terms.Union(std::vector{Utf8Characters(terms, EscapedCharacters().Complement()),
                                 terms.Concat(terms.Literal("\\"), terms.Bytes(letters)), others,
                                 terms.Concat(high, low)});
}

}  // namespace fulmen
