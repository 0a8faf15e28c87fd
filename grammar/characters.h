// Characters as the bytes that spell them: in plain text, and within the quotes of a JSON string.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "grammar/terms.h"

namespace fulmen {

inline constexpr uint32_t kLastCodePoint = 0x10FFFF;

// A set of Unicode scalar values (surrogates are never in it): ranges in rising order that neither
// touch nor overlap.
class CodePoints {
 public:
  struct Range {
    uint32_t first;
    uint32_t last;
    // NOLINTNEXTLINE(modernize-use-nullptr): what it warns of is not there
    friend auto operator<=>(const Range&, const Range&) = default;
  };

  CodePoints() = default;
  explicit CodePoints(std::vector<Range> ranges);  // in any order; may overlap
  static CodePoints All() { return CodePoints({{0, kLastCodePoint}}); }
  static CodePoints Of(uint32_t character) { return CodePoints({{character, character}}); }

  const std::vector<Range>& ranges() const { return ranges_; }
  bool Has(uint32_t character) const;
  CodePoints Complement() const;
  // NOLINTNEXTLINE(modernize-use-nullptr): what it warns of is not there
  friend auto operator<=>(const CodePoints&, const CodePoints&) = default;
  friend CodePoints operator|(const CodePoints& a, const CodePoints& b);
  friend CodePoints operator&(const CodePoints& a, const CodePoints& b);

 private:
  std::vector<Range> ranges_;
};

// How text is spelled in bytes. Each character has one spelling in either, so that what is said of
// texts by complement holds of their bytes.
enum class Spelling : uint8_t {
  kText,  // UTF-8
  kJson,  // UTF-8, but the two-letter escapes where JSON has one and must have it, and \u00xx
          // (lower case) for other control characters: as Python's json.dumps(ensure_ascii=False)
          // writes
};

// One character of the set.
Term Character(Terms& terms, const CodePoints& characters, Spelling spelling);
// `text`, which is UTF-8.
Term Spelled(Terms& terms, std::string_view text, Spelling spelling);
std::string JsonSpelling(std::string_view text);

// Spaces, tabs and line breaks, `longest` of them at most.
Term JsonWhitespace(Terms& terms, int32_t longest);

// One character of a JSON string in any spelling that RFC 8259 has for it, pairs of surrogates in
// one; surrogates that have no partner are not characters.
Term AnyJsonCharacter(Terms& terms);

}  // namespace fulmen
