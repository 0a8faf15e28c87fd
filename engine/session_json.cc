#include "engine/session_json.h"

namespace fulmen {
namespace {

Json OrNull(std::optional<int64_t> number) { return number ? Json(*number) : Json(); }

Json FormatJson(std::optional<ChatFormat> format) {
  return format ? Json(ChatFormatName(*format)) : Json();
}

// An object also where it is empty.
Json MetadataJson(const Metadata& metadata) {
  Json json = Json::object();
  for (const auto& [name, value] : metadata) json[name] = value;
  return json;
}

Json TurnsJson(const std::vector<SavedTurn>& turns) {
  Json list = Json::array();
  for (const SavedTurn& turn : turns) {
    list.push_back({{"messages", turn.messages.size()},
                    {"tokens", turn.kept + std::ssize(turn.ids)},
                    {"answer", turn.info}});
  }
  return list;
}

}  // namespace

Json SessionSummaryJson(const SessionSummary& session) {
  return {{"namespace", session.space},
          {"name", session.name},
          {"model", session.model},
          {"chat_format", FormatJson(session.format)},
          {"created", session.created},
          {"used", session.used},
          {"expires", OrNull(session.expires)},
          {"turns", session.turns},
          {"tokens", session.tokens},
          {"damaged", session.damaged},
          {"metadata", MetadataJson(session.metadata)}};
}

Json SessionListJson(const std::vector<SessionSummary>& sessions) {
  Json list = Json::array();
  for (const SessionSummary& session : sessions) list.push_back(SessionSummaryJson(session));
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
               {"metadata", MetadataJson(session.metadata)},
               {"system", session.system},
               {"messages", session.Messages()},
               {"turns", TurnsJson(session.turns)}};
  if (ids) json["ids"] = session.Ids();
  return json;
}

}  // namespace fulmen
