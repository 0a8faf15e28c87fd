// Server-sent events (WHATWG HTML, 9.2): how answers are streamed.
#pragma once

#include <string>
#include <string_view>

#include "base/json.h"

namespace fulmen {

// Appends an event to `out`; an empty name leaves its line out.
void AppendSseText(std::string& out, std::string_view event, std::string_view data);
void AppendSse(std::string& out, std::string_view event, const Json& data);

inline constexpr const char* kSseContentType = "text/event-stream; charset=utf-8";

// A comment, which clients pass over: a sign of life.
inline constexpr std::string_view kSseComment = ":\n\n";

}  // namespace fulmen
