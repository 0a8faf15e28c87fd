#include "grammar/pattern_syntax.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "base/printable.h"
#include "grammar/text_cursor.h"
#include "grammar/unicode_sets.h"

namespace fulmen {
namespace {

using PatternKind = PatternNode::Kind;

constexpr size_t kLongestPattern = 65'536;
constexpr size_t kLongestCounts = 64;  // "{m,n}"; what is longer stands for itself
constexpr int kMostLookAheads = 100;

const CodePoints& Digits() {
  static const CodePoints digits({{'0', '9'}});
  return digits;
}

const CodePoints& WordCharacters() {
  static const CodePoints word({{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}});
  return word;
}

const CodePoints& LineEnds() {
  static const CodePoints line_ends({{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}});
  return line_ends;
}

// White space and line ends, as ECMA-262 has them.
const CodePoints& Spaces() {
  static const CodePoints spaces({{'\t', '\r'},
                                  {' ', ' '},
                                  {0xA0, 0xA0},
                                  {0x1680, 0x1680},
                                  {0x2000, 0x200A},
                                  {0x2028, 0x2029},
                                  {0x202F, 0x202F},
                                  {0x205F, 0x205F},
                                  {0x3000, 0x3000},
                                  {0xFEFF, 0xFEFF}});
  return spaces;
}

PatternNode Leaf(CodePoints characters) {
  return {.kind = PatternKind::kCharacter, .characters = std::move(characters)};
}

PatternNode Joined(PatternKind kind, std::vector<PatternNode> parts) {
  if (parts.size() == 1) return std::move(parts[0]);
  const bool looks = std::ranges::any_of(parts, &PatternNode::looks);
  return {.kind = kind, .looks = looks, .parts = std::move(parts)};
}

class PatternReader : private TextCursor {
 public:
  explicit PatternReader(std::string_view text) : TextCursor(text) {}

  Result<PatternNode> Read();

 private:
  // What stands for one character; `only` unless it is a set by its meaning, as \d is.
  struct Characters {
    CodePoints set;
    std::optional<uint32_t> only;
  };
  struct Counts {
    int32_t min;
    int32_t max;
  };

  Result<PatternNode> ReadChoice();
  Result<PatternNode> ReadPiece();
  Result<PatternNode> ReadAtom();
  Result<PatternNode> ReadGroup();
  Result<PatternNode> ReadLookAhead(bool negative, size_t begin);
  Status SkipGroupName(size_t begin);
  Result<PatternNode> ReadEscape();
  Result<CodePoints> ReadClass();
  Result<Characters> ReadClassMember();
  Result<Characters> ReadCharacterEscape();
  Result<uint32_t> ReadUnicodeEscape();
  Result<uint32_t> ReadHex(int digits);
  Result<CodePoints> ReadProperty(bool negative);
  Result<std::optional<Counts>> ReadCounts();
  Result<int32_t> ReadCount(std::string_view digits) const;

  uint32_t TakeCharacter() {
    const Utf8Char next = Next();
    at_ += next.bytes;
    return next.code;
  }
  tl::unexpected<Error> Expected(std::string_view what) const {
    return Fail(ErrorCode::kInvalidArgument, "expected {} at byte {} of the pattern, found {}",
                what, at_ + 1, Found());
  }
  tl::unexpected<Error> Unsupported(std::string_view what, size_t begin) const {
    return Fail(ErrorCode::kUnsupported, "{} (at byte {} of the pattern) cannot be enforced", what,
                begin + 1);
  }

  int depth_ = 0;
  int look_aheads_ = 0;
};

Result<PatternNode> PatternReader::Read() {
  if (text_.size() > kLongestPattern) {
    return Fail(ErrorCode::kUnsupported, "expected a pattern of at most {} bytes, found {}",
                kLongestPattern, text_.size());
  }
  if (const size_t end = EndOfUtf8(); end < text_.size()) {
    return Fail(ErrorCode::kInvalidArgument, "expected UTF-8 at byte {} of the pattern", end + 1);
  }
  FULMEN_ASSIGN(PatternNode whole, ReadChoice());
  if (!AtEnd()) return Expected("a \"(\" before the \")\"");
  return whole;
}

Result<PatternNode> PatternReader::ReadChoice() {
  std::vector<PatternNode> ways;
  do {
    std::vector<PatternNode> parts;
    while (!AtEnd() && Peek() != '|' && Peek() != ')') {
      FULMEN_ASSIGN(PatternNode part, ReadPiece());
      parts.push_back(std::move(part));
    }
    ways.push_back(Joined(PatternKind::kSequence, std::move(parts)));
  } while (Take("|"));
  return Joined(PatternKind::kChoice, std::move(ways));
}

// An atom and how often it is to come.
Result<PatternNode> PatternReader::ReadPiece() {
  const size_t begin = at_;
  FULMEN_ASSIGN(PatternNode atom, ReadAtom());
  FULMEN_ASSIGN(const std::optional<Counts> counts, ReadCounts());
  if (!counts) return atom;
  if (atom.looks) {
    if (counts->min == 1 && counts->max == 1) return atom;
    if (counts->min != 0 || counts->max != 1) return Unsupported("a look-ahead repeated", begin);
    std::vector<PatternNode> ways;
    ways.push_back(std::move(atom));
    ways.emplace_back();
    return Joined(PatternKind::kChoice, std::move(ways));
  }
  PatternNode repeat{.kind = PatternKind::kRepeat, .min = counts->min, .max = counts->max};
  repeat.parts.push_back(std::move(atom));
  return repeat;
}

Result<PatternNode> PatternReader::ReadAtom() {
  switch (Peek()) {
    case '^':
      ++at_;
      return PatternNode{.kind = PatternKind::kTextStart};
    case '$':
      ++at_;
      return PatternNode{.kind = PatternKind::kTextEnd};
    case '.':
      ++at_;
      return Leaf(LineEnds().Complement());
    case '(':
      return ReadGroup();
    case '\\':
      return ReadEscape();
    case '[': {
      FULMEN_ASSIGN(CodePoints characters, ReadClass());
      return Leaf(std::move(characters));
    }
    case '*':
    case '+':
    case '?':
      return Expected("something to repeat");
    case '{': {
      const size_t begin = at_;
      FULMEN_ASSIGN(const std::optional<Counts> counts, ReadCounts());
      at_ = begin;
      if (counts) return Expected("something to repeat");
      break;
    }
    default:
      break;
  }
  return Leaf(CodePoints::Of(TakeCharacter()));
}

// What makes the part before it repeat; nullopt if nothing does. Lazy ones match the same texts.
Result<std::optional<PatternReader::Counts>> PatternReader::ReadCounts() {
  std::optional<Counts> counts;
  if (Take("*")) {
    counts = {0, Terms::kUnbounded};
  } else if (Take("+")) {
    counts = {1, Terms::kUnbounded};
  } else if (Take("?")) {
    counts = {0, 1};
  } else if (Peek() == '{') {
    const std::string_view ahead = text_.substr(at_, kLongestCounts);
    const size_t close = ahead.find('}');
    if (close == std::string_view::npos) return counts;
    const std::string_view inside = ahead.substr(1, close - 1);
    const size_t comma = inside.find(',');
    const std::string_view low = inside.substr(0, comma);
    const std::string_view high = comma == std::string_view::npos ? low : inside.substr(comma + 1);
    const auto digits = [](std::string_view part) { return std::ranges::all_of(part, IsDigit); };
    if ((low.empty() && high.empty()) || !digits(low) || !digits(high)) return counts;
    FULMEN_ASSIGN(const int32_t min, ReadCount(low.empty() ? "0" : low));
    int32_t max = Terms::kUnbounded;
    if (!high.empty()) {
      FULMEN_ASSIGN(max, ReadCount(high));
    }
    if (min > max) return Expected("counts in rising order");
    at_ += close + 1;
    counts = {min, max};
  }
  if (counts) Take("?");
  return counts;
}

Result<int32_t> PatternReader::ReadCount(std::string_view digits) const {
  int64_t count = 0;
  for (const char digit : digits) {
    count = count * 10 + (digit - '0');
    if (count >= Terms::kUnbounded) {
      return Fail(ErrorCode::kInvalidArgument,
                  "expected a count below {} at byte {} of the pattern, found {}",
                  Terms::kUnbounded, at_ + 1, Printable(digits, 40));
    }
  }
  return static_cast<int32_t>(count);
}

Result<PatternNode> PatternReader::ReadGroup() {
  const size_t begin = at_++;
  if (++depth_ > kDeepest) {
    return Fail(ErrorCode::kUnsupported, "expected groups at most {} deep, found more at byte {}",
                kDeepest, begin + 1);
  }
  PatternNode group;
  if (Take("?=")) {
    FULMEN_ASSIGN(group, ReadLookAhead(false, begin));
  } else if (Take("?!")) {
    FULMEN_ASSIGN(group, ReadLookAhead(true, begin));
  } else {
    FULMEN_TRY(SkipGroupName(begin));
    FULMEN_ASSIGN(group, ReadChoice());
  }
  if (!Take(")")) {
    return Expected(fmt::format("a \")\" for the \"(\" of byte {}", begin + 1));
  }
  --depth_;
  return group;
}

Result<PatternNode> PatternReader::ReadLookAhead(bool negative, size_t begin) {
  if (++look_aheads_ > kMostLookAheads) return Unsupported("one look-ahead more than 100", begin);
  FULMEN_ASSIGN(PatternNode ahead, ReadChoice());
  PatternNode look{.kind = PatternKind::kLookAhead, .negative = negative, .looks = true};
  look.parts.push_back(std::move(ahead));
  return look;
}

// What may stand before the content of a group that is no look-ahead: "?:" or a name.
Status PatternReader::SkipGroupName(size_t begin) {
  if (!Take("?") || Take(":")) return {};
  if (Take("<=") || Take("<!")) return Unsupported("a look-behind", begin);
  if (Take("P=")) return Unsupported("a back-reference", begin);
  if (!Take("<") && !Take("P<")) {
    return Unsupported(
        fmt::format("a group that begins with \"(?{}\"", Printable(text_.substr(at_, 1))), begin);
  }
  const size_t close = text_.find('>', at_);
  if (close == std::string_view::npos || close == at_) return Expected("a name and a \">\"");
  at_ = close + 1;
  return {};
}

Result<PatternNode> PatternReader::ReadEscape() {
  const size_t begin = at_++;
  if (Take("A")) return PatternNode{.kind = PatternKind::kTextStart};
  if (Take("Z") || Take("z")) return PatternNode{.kind = PatternKind::kTextEnd};
  if (Take("b") || Take("B")) return Unsupported("a word boundary", begin);
  if (Peek() == 'k' || (Peek() >= '1' && Peek() <= '9')) {
    return Unsupported("a back-reference", begin);
  }
  FULMEN_ASSIGN(Characters characters, ReadCharacterEscape());
  return Leaf(std::move(characters.set));
}

// What follows a backslash, in a class or outside of one.
Result<PatternReader::Characters> PatternReader::ReadCharacterEscape() {
  const auto set = [](CodePoints characters) { return Characters{std::move(characters), {}}; };
  const auto only = [](uint32_t character) {
    return Characters{CodePoints::Of(character), character};
  };
  if (AtEnd()) return Expected("a character after the backslash");
  const size_t begin = at_;
  const uint32_t next = TakeCharacter();
  switch (next) {
    case 'd':
      return set(Digits());
    case 'D':
      return set(Digits().Complement());
    case 'w':
      return set(WordCharacters());
    case 'W':
      return set(WordCharacters().Complement());
    case 's':
      return set(Spaces());
    case 'S':
      return set(Spaces().Complement());
    case 't':
      return only('\t');
    case 'n':
      return only('\n');
    case 'v':
      return only('\v');
    case 'f':
      return only('\f');
    case 'r':
      return only('\r');
    case '0':
      if (IsDigit(Peek())) return Expected("no digit after \\0");
      return only(0);
    case 'c':
      if (!IsLetter(Peek())) return Expected("a letter after \\c");
      return only(TakeCharacter() % 32);
    case 'x': {
      FULMEN_ASSIGN(const uint32_t code, ReadHex(2));
      return only(code);
    }
    case 'u': {
      FULMEN_ASSIGN(const uint32_t code, ReadUnicodeEscape());
      return only(code);
    }
    case 'p':
    case 'P': {
      FULMEN_ASSIGN(CodePoints characters, ReadProperty(next == 'P'));
      return set(std::move(characters));
    }
    default:
      if (next < 0x80 && (IsLetter(static_cast<char>(next)) || IsDigit(static_cast<char>(next)))) {
        at_ = begin;
        return Expected("a character that means something after a backslash");
      }
      return only(next);
  }
}

Result<uint32_t> PatternReader::ReadHex(int digits) {
  uint32_t code = 0;
  for (int at = 0; at < digits; ++at, ++at_) {
    const std::optional<uint32_t> digit = HexDigit(Peek());
    if (!digit) return Expected("a hexadecimal digit");
    code = code * 16 + *digit;
  }
  return code;
}

// After "\u": {1F600}, 00e9, or a pair of surrogates.
Result<uint32_t> PatternReader::ReadUnicodeEscape() {
  if (Take("{")) {
    uint32_t code = 0;
    do {
      FULMEN_ASSIGN(const uint32_t digit, ReadHex(1));
      code = code * 16 + digit;
      if (code > 0x10FFFF) return Expected("a character up to \\u{10FFFF}");
    } while (!Take("}"));
    return code;
  }
  FULMEN_ASSIGN(const uint32_t code, ReadHex(4));
  if (code < 0xD800 || code > 0xDBFF || !text_.substr(at_).starts_with("\\u")) return code;
  const size_t begin = at_;
  at_ += 2;
  const Result<uint32_t> low = ReadHex(4);
  if (low && *low >= 0xDC00 && *low <= 0xDFFF) {
    return 0x10000 + ((code - 0xD800) << 10) + (*low - 0xDC00);
  }
  at_ = begin;  // a surrogate of its own, which no text has
  return code;
}

// After "\p" or "\P".
Result<CodePoints> PatternReader::ReadProperty(bool negative) {
  const size_t begin = at_;
  if (!Take("{")) return Expected("a \"{\" and the name of a property");
  const size_t close = text_.find('}', at_);
  if (close == std::string_view::npos) return Expected("a property and a \"}\"");
  std::string_view name = text_.substr(at_, close - at_);
  at_ = close + 1;
  for (const std::string_view prefix : {"General_Category=", "gc="}) {
    if (name.starts_with(prefix)) name.remove_prefix(prefix.size());
  }
  const std::optional<CodePoints> characters = UnicodeSet(name);
  if (!characters) {
    return Unsupported(fmt::format("the property \"{}\"", Printable(name, 40)), begin);
  }
  return negative ? characters->Complement() : *characters;
}

Result<CodePoints> PatternReader::ReadClass() {
  const size_t begin = at_++;
  const bool negative = Take("^");
  std::vector<CodePoints::Range> ranges;
  const auto add = [&](const CodePoints& set) {
    ranges.insert(ranges.end(), set.ranges().begin(), set.ranges().end());
  };
  while (!Take("]")) {
    if (AtEnd()) return Expected(fmt::format("a \"]\" for the \"[\" of byte {}", begin + 1));
    FULMEN_ASSIGN(const Characters first, ReadClassMember());
    // A "-" makes a range unless it is the last or a set stands at its side.
    const bool ranged = first.only && Peek() == '-' && !text_.substr(at_).starts_with("-]");
    if (!ranged) {
      add(first.set);
      continue;
    }
    ++at_;
    if (AtEnd()) continue;
    const size_t second_begin = at_;
    FULMEN_ASSIGN(const Characters second, ReadClassMember());
    if (!second.only) {
      add(first.set | second.set | CodePoints::Of('-'));
    } else if (*first.only <= *second.only) {
      ranges.push_back({*first.only, *second.only});
    } else {
      at_ = second_begin;
      return Expected("the end of a range after its beginning");
    }
  }
  const CodePoints characters(std::move(ranges));
  return negative ? characters.Complement() : characters;
}

Result<PatternReader::Characters> PatternReader::ReadClassMember() {
  if (Take("\\b")) return Characters{CodePoints::Of('\b'), '\b'};
  if (Take("\\")) return ReadCharacterEscape();
  const uint32_t character = TakeCharacter();
  return Characters{CodePoints::Of(character), character};
}

}  // namespace

Result<PatternNode> ReadPattern(std::string_view text) { return PatternReader(text).Read(); }

}  // namespace fulmen
