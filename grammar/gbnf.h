// Grammars as text, in the GBNF of llama.cpp and in the EBNF that other servers read, which is the
// same thing:
//
//   root   ::= greeting ", " name "!"   # where a text begins
//   greeting ::= "Hello" | [Hh] "i"
//   name   ::= [A-Z] [a-z]{1,20} ("-" name)?
//
// Literals and classes have the escapes \n \r \t \\ \" \[ \] \xhh \uhhhh \Uhhhhhhhh, and any mark
// after a backslash is itself. A class may begin with ^, "." is any character. What follows an
// element may be * + ? {m} {m,} or {m,n}. Spaces and line ends part elements and mean nothing else:
// a rule ends where the next one begins.
#pragma once

#include <string_view>

#include "base/status.h"
#include "grammar/grammar.h"

namespace fulmen {

// The texts of the rule "root". Rules that do not come back to themselves become terms, so that
// their automaton is a finite one. Errors name a line and a column; that a rule begins with itself
// is found by Grammar::Finish. At most 1 MiB, and parentheses nested 200 deep.
Result<Expr> AddGbnf(Grammar& grammar, std::string_view text);

}  // namespace fulmen
