#include "engine/session_file.h"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "base/printable.h"
#include "engine/digest.h"

namespace fulmen {
namespace {

constexpr const char* kKind = "fulmen session";
// Files without metadata and infos of turns are written as the first version, which has neither.
constexpr int64_t kFirstVersion = 1;
constexpr int64_t kVersion = 2;
// The last second of the year 9999.
constexpr int64_t kLatest = 253'402'300'799;

Status OnlyMembers(const Json& object, std::span<const std::string_view> known,
                   const std::string& where) {
  for (const auto& [key, value] : object.items()) {
    if (std::ranges::find(known, key) != known.end()) continue;
    return Fail(ErrorCode::kCorrupt, "{}: unknown member '{}'", where, key);
  }
  return {};
}

Result<int64_t> WholeMember(const Json& object, std::string_view key, int64_t most,
                            const std::string& where) {
  const Json& member = Member(object, key);
  if (const auto number = IntegerIn(member, 0, most)) return *number;
  return Fail(ErrorCode::kCorrupt, "{}: '{}' should be a whole number from 0 to {}, found {}",
              where, key, most, Shown(member));
}

Result<std::vector<int32_t>> IdsMember(const Json& object, const std::string& where) {
  const Json& member = Member(object, "ids");
  if (!member.is_array()) {
    return Fail(ErrorCode::kCorrupt, "{}: 'ids' should be a list of token ids, found {}", where,
                Shown(member));
  }
  std::vector<int32_t> ids;
  ids.reserve(member.size());
  for (const Json& each : member) {
    const auto id = IntegerIn(each, 0, std::numeric_limits<int32_t>::max());
    if (!id) {
      return Fail(ErrorCode::kCorrupt, "{}: a token id should be a whole number, found {}", where,
                  Shown(each));
    }
    ids.push_back(static_cast<int32_t>(*id));
  }
  return ids;
}

Result<Metadata> ReadMetadata(const Json& document, const std::string& where) {
  const Json& member = Member(document, "metadata");
  Metadata metadata;
  if (member.is_null()) return metadata;
  if (!member.is_object()) {
    return Fail(ErrorCode::kCorrupt, "{}: 'metadata' should be an object of strings, found {}",
                where, Shown(member));
  }
  for (const auto& [name, value] : member.items()) {
    if (!value.is_string()) {
      return Fail(ErrorCode::kCorrupt, "{}: 'metadata' should be an object of strings, found {}",
                  where, Shown(value));
    }
    metadata.emplace(name, value.get<std::string>());
  }
  return metadata;
}

Result<SavedTurn> ReadTurn(const Json& json, int64_t version, const std::string& where) {
  if (!json.is_object()) {
    return Fail(ErrorCode::kCorrupt, "{}: an object is expected, found {}", where, Shown(json));
  }
  constexpr std::array<std::string_view, 5> kMembers = {"messages", "kept", "ids", "answer",
                                                        "info"};
  const size_t known = kMembers.size() - (version == kFirstVersion ? 1 : 0);
  FULMEN_TRY(OnlyMembers(json, std::span(kMembers).first(known), where));
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  SavedTurn turn;
  turn.messages = Member(json, "messages");
  FULMEN_ASSIGN(turn.kept, WholeMember(json, "kept", kMost, where));
  FULMEN_ASSIGN(turn.ids, IdsMember(json, where));
  FULMEN_ASSIGN(turn.answer, WholeMember(json, "answer", kMost, where));
  turn.info = Member(json, "info");
  return turn;
}

Result<std::optional<ChatFormat>> ReadFormat(const Json& document, const std::string& where) {
  const Json& member = Member(document, "chat_format");
  if (member.is_null()) return std::nullopt;
  FULMEN_ASSIGN(const std::string name, StringMember(document, "chat_format", where));
  if (const auto format = ChatFormatFromName(name)) return format;
  return Fail(ErrorCode::kUnsupported, "{}: chat format \"{}\" is none that this version knows",
              where, Printable(name, 60));
}

// That it is such a file, of a version we read, which is told, and whole.
Result<int64_t> CheckDocument(const Json& document, const std::string& where) {
  if (Member(document, "format") != kKind) {
    return Fail(ErrorCode::kCorrupt,
                "{}: not an exported session: 'format' should be \"{}\", found {}", where, kKind,
                Shown(Member(document, "format")));
  }
  const auto version = IntegerIn(Member(document, "version"), kFirstVersion, kVersion);
  if (!version) {
    return Fail(ErrorCode::kUnsupported, "{}: version {} or {} is expected, found {}", where,
                kFirstVersion, kVersion, Shown(Member(document, "version")));
  }
  const std::string checksum = SessionFileChecksum(document);
  if (Member(document, "checksum") != checksum) {
    return Fail(ErrorCode::kCorrupt,
                "{}: the file is damaged: its checksum is {}, that of what it holds {}", where,
                Shown(Member(document, "checksum")), checksum);
  }
  constexpr std::array<std::string_view, 10> kMembers = {
      "format", "version", "name",  "model",    "chat_format",
      "system", "created", "turns", "checksum", "metadata"};
  const size_t known = kMembers.size() - (*version == kFirstVersion ? 1 : 0);
  FULMEN_TRY(OnlyMembers(document, std::span(kMembers).first(known), where));
  return *version;
}

}  // namespace

std::string SessionFileChecksum(Json document) {
  document.erase("checksum");
  return Hex(Sha256(DumpJson(document)));
}

std::string FormatSession(const SavedSession& session) {
  Json turns = Json::array();
  int64_t version = session.metadata.empty() ? kFirstVersion : kVersion;
  for (const SavedTurn& turn : session.turns) {
    Json written = {{"messages", turn.messages},
                    {"kept", turn.kept},
                    {"ids", turn.ids},
                    {"answer", turn.answer}};
    if (!turn.info.is_null()) {
      written["info"] = turn.info;
      version = kVersion;
    }
    turns.push_back(std::move(written));
  }
  Json document = {{"format", kKind},
                   {"version", version},
                   {"name", session.name},
                   {"model", session.model},
                   {"chat_format", session.format ? Json(ChatFormatName(*session.format)) : Json()},
                   {"system", session.system},
                   {"created", session.created},
                   {"turns", std::move(turns)}};
  if (!session.metadata.empty()) document["metadata"] = session.metadata;
  document["checksum"] = SessionFileChecksum(document);
  return DumpJson(document) + "\n";
}

Result<SavedSession> ParseSession(std::string_view text, const std::string& where) {
  FULMEN_ASSIGN(const Json document, ParseJson(text, where));
  FULMEN_ASSIGN(const int64_t version, CheckDocument(document, where));
  SavedSession session;
  FULMEN_ASSIGN(session.name, StringMember(document, "name", where));
  FULMEN_ASSIGN(session.model, StringMember(document, "model", where));
  FULMEN_ASSIGN(session.format, ReadFormat(document, where));
  FULMEN_ASSIGN(session.system, StringMember(document, "system", where));
  FULMEN_ASSIGN(session.created, WholeMember(document, "created", kLatest, where));
  session.used = session.created;
  FULMEN_ASSIGN(session.metadata, ReadMetadata(document, where));
  const Json& turns = Member(document, "turns");
  if (!turns.is_array()) {
    return Fail(ErrorCode::kCorrupt, "{}: 'turns' should be a list, found {}", where, Shown(turns));
  }
  for (const Json& turn : turns) {
    FULMEN_ASSIGN(
        SavedTurn read,
        ReadTurn(turn, version, fmt::format("{}: turn {}", where, session.turns.size() + 1)));
    session.turns.push_back(std::move(read));
  }
  if (const Status status = CheckSession(session); !status) {
    return Fail(ErrorCode::kCorrupt, "{}: {}", where, status.error().message);
  }
  return session;
}

}  // namespace fulmen
