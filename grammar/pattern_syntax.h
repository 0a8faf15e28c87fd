// Regular expressions as text, read into a tree: ECMA-262's with its u flag, but as real schemas
// write them. So "]", "{" and "}" may stand for themselves, as may any mark after a backslash, and
// a
// "-" in a class that makes no range; Python's \A, \Z, (?P<name>…) and {,n} are read, too.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "grammar/characters.h"

namespace fulmen {

struct PatternNode {
  enum class Kind : uint8_t {
    kCharacter,  // one of `characters`
    kTextStart,  // "^": nothing stands before it
    kTextEnd,    // "$"
    kSequence,   // its parts, one after the other; of none: nothing
    kChoice,     // one of its parts
    kRepeat,     // its part, min to max times (Terms::kUnbounded: any number)
    kLookAhead,  // nothing, but what follows begins with its part, or does not if `negative`
  };
  Kind kind = Kind::kSequence;
  bool negative = false;
  bool looks = false;  // whether a kLookAhead is in it; never in a kRepeat
  int32_t min = 0;
  int32_t max = 0;
  CodePoints characters = {};
  std::vector<PatternNode> parts = {};
};

// At most 65,536 bytes, groups nested 200 deep, 100 look-aheads. What no regular language can
// express and what is left out (look-behind, back-references, word boundaries, flags, scripts) is
// kUnsupported; all else that is not understood is kInvalidArgument.
Result<PatternNode> ReadPattern(std::string_view text);

}  // namespace fulmen
