// How far texts of some characters are sure to be the beginning of a string of a language: what
// lets a mask take thousands of tokens at once.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

#include "grammar/characters.h"
#include "grammar/terms.h"

namespace fulmen {

// For one set of characters, in UTF-8, and the terms given to it, of which it remembers what it
// found out.
class Reach {
 public:
  static constexpr int64_t kEndless = INT64_MAX;

  Reach(Terms& terms, const CodePoints& characters);

  struct Span {
    int64_t all = 0;    // every text of so many of the characters or fewer is such a beginning
    bool none = false;  // and none of more is
    // Of two languages together.
    friend Span operator|(const Span& a, const Span& b) {
      return {std::max(a.all, b.all), a.none && b.none};
    }
  };
  Span Of(Term term);

 private:
  struct Cover {
    bool all;   // each of the characters is in the language
    bool only;  // no string of it begins with two of them
  };
  Cover CoverOf(Term term);
  Span Find(Term term);
  Span OfUnion(Term term);
  Span OfConcat(Term term);
  Span OfRepeat(Term repeat, Term rest);
  Span OfIntersection(Term term);
  // Derivatives of `term` by all texts of the characters, if each of these is a beginning; nullopt
  // also if there are too many to look at.
  std::optional<std::vector<Term>> Closure(Term start);

  Terms& terms_;
  Term character_;
  ByteSet first_bytes_;
  std::unordered_map<Term, Cover> covers_;
  std::unordered_map<Term, Span> spans_;
};

}  // namespace fulmen
