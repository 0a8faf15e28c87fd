// The marks by which the parts of an answer are told apart. In none of them but the fence does the
// first byte stand again.
#pragma once

#include <string_view>

#include "engine/call_reader.h"

namespace fulmen {

inline constexpr std::string_view kThink = "<think>";
inline constexpr std::string_view kThinkEnd = "</think>";
inline constexpr std::string_view kFenceMarks = "```";

// What opens a block of calls: for kText01 a special token, where the tokenizer has it.
constexpr std::string_view OpeningMarker(CallFormat calls) {
  switch (calls) {
    case CallFormat::kNone:
      return "";
    case CallFormat::kText01:
      return "<function_call>";
    case CallFormat::kM1:
      return "<tool_calls>";
  }
  return "";
}

constexpr std::string_view ClosingMarker(CallFormat calls) {
  return calls == CallFormat::kM1 ? "</tool_calls>" : kFenceMarks;
}

}  // namespace fulmen
