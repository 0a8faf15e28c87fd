// libFuzzer target: any bytes as a regular expression and as a GBNF grammar, each with bytes to
// match.
#include <cstdint>
#include <memory>
#include <string_view>

#include "grammar/gbnf.h"
#include "grammar/machine.h"
#include "grammar/pattern.h"
#include "grammar/testing/fuzz_input.h"

namespace fulmen {
namespace {

void Walk(Grammar grammar, Expr start, std::string_view text) {
  if (!grammar.Finish(start)) return;
  Machine machine(std::make_shared<const Grammar>(std::move(grammar)));
  testing::CheckedWalk(machine, text);
}

void Read(std::string_view source, std::string_view text) {
  for (const Spelling spelling : {Spelling::kText, Spelling::kJson}) {
    for (const PatternMatch how : {PatternMatch::kWhole, PatternMatch::kSearch}) {
      Grammar grammar;
      const Result<Term> term = ParsePattern(grammar.terms(), source, spelling, how);
      if (!term) continue;
      const Expr start = grammar.Lexeme(*term);
      Walk(std::move(grammar), start, text);
    }
  }
  Grammar grammar;
  const Result<Expr> start = AddGbnf(grammar, source);
  if (start) Walk(std::move(grammar), *start, text);
}

}  // namespace
}  // namespace fulmen

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const fulmen::testing::FuzzInput input(data, size);
  fulmen::Read(input.source, input.text);
  return 0;
}
