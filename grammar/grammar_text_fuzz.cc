// libFuzzer target: any bytes as a regular expression and as a GBNF grammar, each with bytes to
// match: what follows the first line that says "---".
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/check.h"
#include "grammar/gbnf.h"
#include "grammar/machine.h"
#include "grammar/pattern.h"

namespace fulmen {
namespace {

void Walk(Grammar grammar, Expr start, std::string_view text) {
  if (!grammar.Finish(start)) return;
  Machine machine(std::make_shared<const Grammar>(std::move(grammar)));
  Machine::State state = machine.start();
  for (const char byte : text.substr(0, 64)) {
    const Machine::State next = machine.Next(state, static_cast<uint8_t>(byte));
    if (next == Machine::kDead) break;
    state = next;
  }
  if (machine.exhausted() || state == Machine::kDead) return;
  const Result<std::string> rest = machine.WayToEnd(state);
  if (!rest || rest->size() > 1000) return;
  for (const char byte : *rest) state = machine.Next(state, static_cast<uint8_t>(byte));
  FULMEN_CHECK(machine.exhausted() || machine.Accepts(state), "{} does not lead to the end", *rest);
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
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  constexpr std::string_view kSeparator = "\n---\n";
  const size_t end = input.find(kSeparator);
  const size_t begin = end == std::string_view::npos ? size : end + kSeparator.size();
  fulmen::Read(input.substr(0, end), input.substr(begin));
  return 0;
}
