// GBNF as text, read into rules.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "grammar/characters.h"

namespace fulmen {

struct GbnfNode {
  enum class Kind : uint8_t {
    kLiteral,    // the text
    kCharacter,  // one of the characters
    kRule,       // the text of a rule
    kSequence,   // its parts, one after the other; of none: nothing
    kChoice,     // one of its parts
    kRepeat,     // its part, min to max times (Terms::kUnbounded: any number)
  };
  Kind kind = Kind::kSequence;
  int32_t min = 0;
  int32_t max = 0;
  size_t rule = 0;  // its index
  std::string text = {};
  CodePoints characters = {};
  std::vector<GbnfNode> parts = {};
};

struct GbnfRule {
  std::string name;
  GbnfNode body;
};

// All rules, each defined once, "root" among them; see gbnf.h.
Result<std::vector<GbnfRule>> ReadGbnf(std::string_view text);

}  // namespace fulmen
