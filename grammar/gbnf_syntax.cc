#include "grammar/gbnf_syntax.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <unordered_map>
#include <utility>

#include "base/printable.h"
#include "grammar/text_cursor.h"

namespace fulmen {
namespace {

using GbnfKind = GbnfNode::Kind;

constexpr size_t kLongestGrammar = size_t{1} << 20;

bool IsNamePart(char c) { return IsDigit(c) || IsLetter(c) || c == '-' || c == '_'; }

GbnfNode Joined(GbnfKind kind, std::vector<GbnfNode> parts) {
  if (parts.size() == 1) return std::move(parts[0]);
  return {.kind = kind, .parts = std::move(parts)};
}

class GbnfReader : private TextCursor {
 public:
  explicit GbnfReader(std::string_view text) : TextCursor(text) {}

  Result<std::vector<GbnfRule>> Read();

 private:
  // A rule as it was first named.
  struct Named {
    std::string_view name;
    size_t at;
    std::optional<GbnfNode> body = {};
  };

  Status ReadRule();
  Result<GbnfNode> ReadChoice();
  Result<GbnfNode> ReadSequence();
  Result<GbnfNode> ReadElement();
  Result<GbnfNode> ReadGroup();
  Result<GbnfNode> ReadLiteral();
  Result<GbnfNode> ReadClass();
  Result<uint32_t> ReadCharacter();
  Result<uint32_t> ReadHex(int digits);
  Result<GbnfNode> ReadCounts(GbnfNode part);
  Result<int32_t> ReadCount();

  // The index of a rule, and where it was first named.
  size_t RuleOf(std::string_view name, size_t at) {
    const auto [found, is_new] = indices_.try_emplace(name, rules_.size());
    if (is_new) rules_.push_back({name, at});
    return found->second;
  }

  // And comments, which end with their line.
  void SkipSpace() {
    while (!AtEnd()) {
      if (Peek() == '#') {
        at_ = std::min(text_.find('\n', at_), text_.size());
      } else if (std::string_view(" \t\r\n").find(Peek()) != std::string_view::npos) {
        ++at_;
      } else {
        break;
      }
    }
  }
  std::string_view TakeName() {
    const size_t begin = at_;
    while (!AtEnd() && IsNamePart(Peek())) ++at_;
    return text_.substr(begin, at_ - begin);
  }
  // Whether a name and "::=" come next: a rule of its own.
  bool AtRule() {
    const size_t begin = at_;
    const bool has_name = !TakeName().empty();
    SkipSpace();
    const bool is_rule = has_name && Take("::=");
    at_ = begin;
    return is_rule;
  }

  std::string Place(size_t at) const {
    const std::string_view before = text_.substr(0, at);
    const size_t line_end = before.rfind('\n');
    const size_t column = line_end == std::string_view::npos ? at : at - line_end - 1;
    return fmt::format("line {}, column {} of the grammar", std::ranges::count(before, '\n') + 1,
                       column + 1);
  }
  tl::unexpected<Error> Expected(std::string_view what) const {
    return Fail(ErrorCode::kInvalidArgument, "expected {} in {}, found {}", what, Place(at_),
                Found());
  }

  int depth_ = 0;
  std::vector<Named> rules_;
  std::unordered_map<std::string_view, size_t> indices_;
};

Result<std::vector<GbnfRule>> GbnfReader::Read() {
  if (text_.size() > kLongestGrammar) {
    return Fail(ErrorCode::kUnsupported, "expected a grammar of at most {} bytes, found {}",
                kLongestGrammar, text_.size());
  }
  if (const size_t end = EndOfUtf8(); end < text_.size()) {
    return Fail(ErrorCode::kInvalidArgument, "expected UTF-8 in {}", Place(end));
  }
  for (SkipSpace(); !AtEnd(); SkipSpace()) FULMEN_TRY(ReadRule());
  if (!indices_.contains("root")) {
    return Fail(ErrorCode::kInvalidArgument,
                "expected a rule named \"root\" in the grammar, found {} rules of other names",
                rules_.size());
  }
  std::vector<GbnfRule> rules;
  for (Named& rule : rules_) {
    if (!rule.body) {
      return Fail(ErrorCode::kInvalidArgument, "expected a rule named \"{}\" for {}, found none",
                  Printable(rule.name, 60), Place(rule.at));
    }
    rules.push_back({std::string(rule.name), *std::move(rule.body)});
  }
  return rules;
}

Status GbnfReader::ReadRule() {
  const size_t begin = at_;
  const std::string_view name = TakeName();
  if (name.empty()) return Expected("the name of a rule");
  SkipSpace();
  if (!Take("::=")) return Expected("\"::=\"");
  const size_t rule = RuleOf(name, begin);
  if (rules_[rule].body) {
    at_ = begin;
    return Expected(fmt::format("one rule named \"{}\"", Printable(name, 60)));
  }
  FULMEN_ASSIGN(GbnfNode body, ReadChoice());
  if (!AtEnd() && !AtRule()) return Expected("an element, \"|\" or another rule");
  rules_[rule].body = std::move(body);
  return {};
}

Result<GbnfNode> GbnfReader::ReadChoice() {
  std::vector<GbnfNode> ways;
  do {
    FULMEN_ASSIGN(GbnfNode way, ReadSequence());
    ways.push_back(std::move(way));
  } while (Take("|"));
  return Joined(GbnfKind::kChoice, std::move(ways));
}

// Up to what cannot be an element of it.
Result<GbnfNode> GbnfReader::ReadSequence() {
  std::vector<GbnfNode> parts;
  for (SkipSpace(); !AtEnd() && Peek() != '|' && Peek() != ')'; SkipSpace()) {
    if (IsNamePart(Peek()) && AtRule()) break;
    FULMEN_ASSIGN(GbnfNode part, ReadElement());
    SkipSpace();
    if (std::string_view("*+?{").find(Peek()) != std::string_view::npos) {
      FULMEN_ASSIGN(part, ReadCounts(std::move(part)));
    }
    parts.push_back(std::move(part));
  }
  return Joined(GbnfKind::kSequence, std::move(parts));
}

Result<GbnfNode> GbnfReader::ReadElement() {
  if (Peek() == '"') return ReadLiteral();
  if (Peek() == '[') return ReadClass();
  if (Peek() == '(') return ReadGroup();
  if (Take(".")) return GbnfNode{.kind = GbnfKind::kCharacter, .characters = CodePoints::All()};
  if (!IsNamePart(Peek())) return Expected("an element, \"|\" or another rule");
  const size_t begin = at_;
  return GbnfNode{.kind = GbnfKind::kRule, .rule = RuleOf(TakeName(), begin)};
}

Result<GbnfNode> GbnfReader::ReadGroup() {
  const size_t begin = at_++;
  if (Peek() == '=' || Peek() == '!') {
    return Fail(ErrorCode::kUnsupported, "a look-ahead (in {}) cannot be enforced", Place(begin));
  }
  if (++depth_ > kDeepest) {
    return Fail(ErrorCode::kUnsupported, "expected parentheses at most {} deep, found more in {}",
                kDeepest, Place(begin));
  }
  FULMEN_ASSIGN(GbnfNode group, ReadChoice());
  if (!Take(")")) return Expected(fmt::format("a \")\" for the \"(\" of {}", Place(begin)));
  --depth_;
  return group;
}

Result<GbnfNode> GbnfReader::ReadLiteral() {
  const size_t begin = at_++;
  GbnfNode literal{.kind = GbnfKind::kLiteral};
  while (!Take("\"")) {
    if (AtEnd()) return Expected(fmt::format("a quote for the one of {}", Place(begin)));
    FULMEN_ASSIGN(const uint32_t character, ReadCharacter());
    AppendUtf8(character, literal.text);
  }
  return literal;
}

Result<GbnfNode> GbnfReader::ReadClass() {
  const size_t begin = at_++;
  const bool negative = Take("^");
  std::vector<CodePoints::Range> ranges;
  while (!Take("]")) {
    if (AtEnd()) return Expected(fmt::format("a \"]\" for the \"[\" of {}", Place(begin)));
    FULMEN_ASSIGN(const uint32_t first, ReadCharacter());
    uint32_t last = first;
    if (Peek() == '-' && !text_.substr(at_).starts_with("-]")) {
      const size_t range_begin = ++at_;
      if (AtEnd()) continue;
      FULMEN_ASSIGN(last, ReadCharacter());
      if (last < first) {
        at_ = range_begin;
        return Expected("the end of a range after its beginning");
      }
    }
    ranges.push_back({first, last});
  }
  CodePoints characters(std::move(ranges));
  if (negative) characters = characters.Complement();
  return GbnfNode{.kind = GbnfKind::kCharacter, .characters = std::move(characters)};
}

// One of a literal or a class, which has not ended.
Result<uint32_t> GbnfReader::ReadCharacter() {
  const bool escaped = Take("\\");
  if (AtEnd()) return Expected("a character after the backslash");
  if (escaped && (IsDigit(Peek()) || IsLetter(Peek()))) {
    switch (Peek()) {
      case 'n':
        ++at_;
        return '\n';
      case 'r':
        ++at_;
        return '\r';
      case 't':
        ++at_;
        return '\t';
      case 'x':
        ++at_;
        return ReadHex(2);
      case 'u':
        ++at_;
        return ReadHex(4);
      case 'U':
        ++at_;
        return ReadHex(8);
      default:
        return Expected("an escape: one of n, r, t, x, u, U, or a mark");
    }
  }
  const Utf8Char next = Next();
  at_ += next.bytes;
  return next.code;
}

Result<uint32_t> GbnfReader::ReadHex(int digits) {
  const size_t begin = at_;
  uint32_t code = 0;
  for (int at = 0; at < digits; ++at, ++at_) {
    const std::optional<uint32_t> digit = HexDigit(Peek());
    if (!digit) return Expected("a hexadecimal digit");
    code = code * 16 + *digit;
  }
  if (code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) {
    at_ = begin;
    return Expected("a character of Unicode");
  }
  return code;
}

// What follows an element.
Result<GbnfNode> GbnfReader::ReadCounts(GbnfNode part) {
  GbnfNode repeat{.kind = GbnfKind::kRepeat, .min = 0, .max = Terms::kUnbounded};
  if (Take("?")) {
    repeat.max = 1;
  } else if (Take("+")) {
    repeat.min = 1;
  } else if (!Take("*")) {
    ++at_;  // "{"
    FULMEN_ASSIGN(repeat.min, ReadCount());
    repeat.max = repeat.min;
    if (Take(",")) {
      SkipSpace();
      repeat.max = Terms::kUnbounded;
      if (Peek() != '}') {
        FULMEN_ASSIGN(repeat.max, ReadCount());
      }
    }
    if (repeat.min > repeat.max) return Expected("counts in rising order");
    if (!Take("}")) return Expected("a \"}\"");
  }
  repeat.parts.push_back(std::move(part));
  return repeat;
}

Result<int32_t> GbnfReader::ReadCount() {
  SkipSpace();
  if (!IsDigit(Peek())) return Expected("a count");
  int64_t count = 0;
  for (; IsDigit(Peek()); ++at_) {
    count = count * 10 + (Peek() - '0');
    if (count >= Terms::kUnbounded) return Expected("a smaller count");
  }
  SkipSpace();
  return static_cast<int32_t>(count);
}

}  // namespace

Result<std::vector<GbnfRule>> ReadGbnf(std::string_view text) { return GbnfReader(text).Read(); }

}  // namespace fulmen
