// What the fuzz targets of grammars are given: a grammar, and bytes to match.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "grammar/machine.h"

namespace fulmen::testing {

struct FuzzInput {
  FuzzInput(const uint8_t* data, size_t size) {
    const std::string_view input(reinterpret_cast<const char*>(data), size);
    constexpr std::string_view kSeparator = "\n---\n";
    const size_t end = input.find(kSeparator);
    source = input.substr(0, end);
    if (end != std::string_view::npos) text = input.substr(end + kSeparator.size()).substr(0, 64);
  }
  std::string_view source;
  std::string_view text;  // what follows the first line that says "---"
};

// From `state` the way to the end has to lead there, or to be too long to find.
inline void CheckWayToEnd(Machine& machine, Machine::State state) {
  const Result<std::string> rest = machine.WayToEnd(state);
  FULMEN_CHECK(rest || machine.exhausted() || rest.error().code == ErrorCode::kUnsupported,
               "no way to the end: {}", rest.error().message);
  if (!rest || rest->size() > 1000) return;
  for (const char byte : *rest) state = machine.Next(state, static_cast<uint8_t>(byte));
  FULMEN_CHECK(machine.exhausted() || machine.Accepts(state), "{} does not lead to the end", *rest);
}

// How many of the bytes may come; from wherever they lead, the end can be reached.
inline size_t CheckedWalk(Machine& machine, std::string_view text) {
  Machine::State state = machine.start();
  for (size_t read = 0;; ++read) {
    if (machine.exhausted() || state == Machine::kDead) return read;
    CheckWayToEnd(machine, state);
    if (read == text.size()) return read;
    const Machine::State next = machine.Next(state, static_cast<uint8_t>(text[read]));
    if (next == Machine::kDead) return read;
    state = next;
  }
}

}  // namespace fulmen::testing
