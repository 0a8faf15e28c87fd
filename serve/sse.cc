#include "serve/sse.h"

namespace fulmen {

std::string DumpJson(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

void AppendSseText(std::string& out, std::string_view event, std::string_view data) {
  if (!event.empty()) out.append("event: ").append(event).append("\n");
  out.append("data: ").append(data).append("\n\n");
}

void AppendSse(std::string& out, std::string_view event, const Json& data) {
  AppendSseText(out, event, DumpJson(data));
}

}  // namespace fulmen
