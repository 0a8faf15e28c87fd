#include "engine/session_json.h"

namespace fulmen {
namespace {

Json OrNull(std::optional<int64_t> number) { return number ? Json(*number) : Json(); }

Json FormatJson(std::optional<ChatFormat> format) {
  return format ? Json(ChatFormatName(*format)) : Json();
}

}  // namespace

Json SessionListJson(const std::vector<SessionSummary>& sessions) {
  Json list = Json::array();
  for (const SessionSummary& session : sessions) {
    list.push_back({{"namespace", session.space},
                    {"name", session.name},
                    {"model", session.model},
                    {"chat_format", FormatJson(session.format)},
                    {"created", session.created},
                    {"used", session.used},
                    {"expires", OrNull(session.expires)},
                    {"turns", session.turns},
                    {"tokens", session.tokens},
                    {"damaged", session.damaged}});
  }
  return list;
}

Json SessionJson(const SavedSession& session, bool ids) {
  Json json = {{"namespace", session.space},
               {"name", session.name},
               {"model", session.model},
               {"chat_format", FormatJson(session.format)},
               {"created", session.created},
               {"used", session.used},
               {"expires", OrNull(session.expires)},
               {"system", session.system},
               {"messages", session.Messages()}};
  if (ids) json["ids"] = session.Ids();
  return json;
}

}  // namespace fulmen
