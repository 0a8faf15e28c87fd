// A scanner for the split pattern of the published MiniMax-01 tokenizers.
#pragma once

#include <string_view>

#include "tokenizer/unicode_classes.h"

namespace fulmen {

// The pattern as tokenizer.json spells it. Others go through tokenizer/regex.h.
extern const std::string_view kPublishedSplitPattern;

// Finds what a backtracking regex engine finds with kPublishedSplitPattern, in linear time. The
// pattern matches everywhere, so matches are pieces and pieces cover the text. A byte that is no
// part of valid UTF-8 is a character of its own, in no class.
class PublishedSplit {
 public:
  PublishedSplit() : classes_(UnicodeClasses()) {}

  // End of the piece that begins at `begin`, in a text that ends at `end`; begin < end.
  const char* PieceEnd(const char* begin, const char* end) const;

  // Whether a piece that ends at `piece_end` does so however a text that ends at `end` goes on:
  // what PieceEnd() looked at lies before `end`. May say no where it does.
  bool IsSettled(const char* piece_end, const char* end) const;

 private:
  struct Char {
    CharClass char_class;
    uint32_t bytes;
  };
  struct Word {
    const char* end;  // nullptr: none begins here
    bool capitals;    // of Lu and Lt only, which the pattern's second alternative finds
  };

  Char At(const char* p, const char* end) const;
  // \p{U}*\p{W}+ or else \p{U}+ at `begin`, U and W being the pattern's two overlapping classes.
  Word WordAt(const char* begin, const char* end) const;
  const char* SymbolsEnd(const char* begin, const char* end) const;
  const char* SpaceEnd(const char* begin, const char* end) const;

  const CharClassTable& classes_;
};

}  // namespace fulmen
