#include "serve/sse.h"

namespace fulmen {

void AppendSseText(std::string& out, std::string_view event, std::string_view data) {
  if (!event.empty()) out.append("event: ").append(event).append("\n");
  out.append("data: ").append(data).append("\n\n");
}

void AppendSse(std::string& out, std::string_view event, const Json& data) {
  AppendSseText(out, event, DumpJson(data));
}

}  // namespace fulmen
