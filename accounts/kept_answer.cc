#include "accounts/kept_answer.h"

namespace fulmen {
namespace {

constexpr int64_t kKeptFor = int64_t{24} * 3600 * 1'000'000'000;

}  // namespace

Status BeginAnswer(Sql& sql, const std::string& request, const AnswerName& name, int64_t now) {
  sql.Execute("DELETE FROM answers WHERE made <= ? AND whole = 1", now - kKeptFor);
  const int64_t added = sql.Execute(
      "INSERT INTO answers (key, name, request_hash, request, made, whole, streams, body) "
      "VALUES (?, ?, ?, ?, ?, 0, 0, ?) ON CONFLICT DO NOTHING",
      name.key, name.name, Blob{name.request_hash}, request, now, Blob{""});
  if (added == 1) return {};
  return Fail(ErrorCode::kConflict, "the request \"{}\" came before", name.name);
}

void WriteAnswer(Sql& sql, const std::string& request, const KeptAnswer& answer) {
  sql.Execute("UPDATE answers SET whole = 1, streams = ?, body = ? WHERE request = ?",
              int64_t{answer.streams ? 1 : 0}, Blob{answer.body}, request);
}

void EndAnswer(Sql& sql, const std::string& request) {
  sql.Execute("DELETE FROM answers WHERE request = ? AND whole = 0", request);
}

std::optional<KeptAnswer> ReadAnswer(Sql& sql, const AnswerName& name, int64_t now) {
  const SqlRows rows = sql.Query(
      "SELECT request_hash, whole, streams, body FROM answers WHERE key = ? AND name = ? "
      "AND (whole = 0 OR made > ?)",
      name.key, name.name, now - kKeptFor);
  if (rows.empty()) return std::nullopt;
  KeptAnswer kept;
  kept.name = name;
  kept.name.request_hash = rows[0].Bytes(0);
  kept.is_whole = rows[0].Number(1) == 1;
  kept.streams = rows[0].Number(2) == 1;
  kept.body = rows[0].Bytes(3);
  return kept;
}

}  // namespace fulmen
