#include "engine/session_rows.h"

#include <fmt/core.h>
#include <sqlite3.h>

#include "engine/digest.h"

namespace fulmen {
namespace {

using SQLite::Database;
using SQLite::Statement;

// SQLite counts in int, and refuses by itself only what fits into one.
void CheckSize(std::string_view value) {
  constexpr size_t kLargest = 1'000'000'000;
  if (value.size() > kLargest) throw SQLite::Exception("value too large", SQLITE_TOOBIG);
}

std::string FormatName(std::optional<ChatFormat> format) {
  return format ? std::string(ChatFormatName(*format)) : "";
}

std::string MetadataText(const Metadata& metadata) {
  return metadata.empty() ? "" : DumpJson(Json(metadata));
}

Metadata ParseMetadata(const std::string& text) {
  Metadata metadata;
  const auto json = ParseJson(text, "metadata");
  if (!json || !json->is_object()) return metadata;
  for (const auto& [name, value] : json->items()) {
    if (value.is_string()) metadata.emplace(name, value.get<std::string>());
  }
  return metadata;
}

std::string InfoText(const Json& info) { return info.is_null() ? "" : DumpJson(info); }

// Rows of the first version have no metadata and no info, and keep the checksums they have.

std::string RowChecksum(const SessionRow& row) {
  const SessionSummary& session = row.session;
  const std::string metadata = MetadataText(session.metadata);
  DigestFields fields(metadata.empty() ? "fulmen session row 1" : "fulmen session row 2");
  if (!metadata.empty()) fields.Text(metadata);
  return fields.Text(session.space)
      .Text(session.name)
      .Text(session.model)
      .Text(FormatName(session.format))
      .Text(session.system)
      .Number(session.created)
      .Number(session.used)
      .Number(session.expires ? 1 : 0)
      .Number(session.expires.value_or(0))
      .Number(session.turns)
      .Number(session.tokens)
      .Text(row.turns_checksum)
      .Digest();
}

std::string TurnChecksum(std::string_view before, const SavedTurn& turn, std::string_view messages,
                         std::string_view info) {
  DigestFields fields(info.empty() ? "fulmen turn row 1" : "fulmen turn row 2");
  if (!info.empty()) fields.Text(info);
  return fields.Text(before)
      .Text(messages)
      .Number(turn.kept)
      .Ids(turn.ids)
      .Number(turn.answer)
      .Text(turn.address)
      .Digest();
}

constexpr const char* kRowColumns =
    "id, space, name, model, format, system, created, used, expires, turns, tokens, "
    "turns_checksum, checksum, metadata";

SessionRow ReadRow(Statement& statement) {
  SessionRow row;
  SessionSummary& session = row.session;
  row.id = statement.getColumn(0).getInt64();
  session.space = statement.getColumn(1).getString();
  session.name = statement.getColumn(2).getString();
  session.model = statement.getColumn(3).getString();
  const std::string format = statement.getColumn(4).getString();
  session.format = ChatFormatFromName(format);
  session.system = statement.getColumn(5).getString();
  session.created = statement.getColumn(6).getInt64();
  session.used = statement.getColumn(7).getInt64();
  if (!statement.getColumn(8).isNull()) session.expires = statement.getColumn(8).getInt64();
  session.turns = statement.getColumn(9).getInt64();
  session.tokens = statement.getColumn(10).getInt64();
  row.turns_checksum = BlobOf(statement.getColumn(11));
  const std::string metadata = statement.getColumn(13).getString();
  session.metadata = ParseMetadata(metadata);
  session.damaged = FormatName(session.format) != format ||
                    MetadataText(session.metadata) != metadata ||
                    BlobOf(statement.getColumn(12)) != RowChecksum(row);
  return row;
}

// The next turn, or nothing when it is not as it was written. `checksum` is that of the turn
// before it, and becomes its own.
std::optional<SavedTurn> ReadTurn(Statement& statement, std::string& checksum) {
  SavedTurn turn;
  const std::string messages = statement.getColumn(0).getString();
  turn.kept = statement.getColumn(1).getInt64();
  auto ids = IdsFromBytes(BlobOf(statement.getColumn(2)));
  if (!ids) return std::nullopt;
  turn.ids = *std::move(ids);
  turn.answer = statement.getColumn(3).getInt64();
  turn.address = statement.getColumn(4).getString();
  const std::string info = statement.getColumn(6).getString();
  checksum = TurnChecksum(checksum, turn, messages, info);
  if (BlobOf(statement.getColumn(5)) != checksum) return std::nullopt;
  Result<Json> parsed = ParseJson(messages, "a turn");
  if (!parsed) return std::nullopt;
  turn.messages = *std::move(parsed);
  if (info.empty()) return turn;
  Result<Json> told = ParseJson(info, "a turn");
  if (!told) return std::nullopt;
  turn.info = *std::move(told);
  return turn;
}

}  // namespace

void BindText(Statement& statement, int index, std::string_view text) {
  CheckSize(text);
  statement.bind(index, std::string(text));
}

void BindBlob(Statement& statement, int index, std::string_view bytes) {
  CheckSize(bytes);
  statement.bind(index, static_cast<const void*>(bytes.data()), static_cast<int>(bytes.size()));
}

std::string BlobOf(const SQLite::Column& column) {
  return {static_cast<const char*>(column.getBlob()), static_cast<size_t>(column.getBytes())};
}

std::optional<std::vector<int32_t>> IdsFromBytes(std::string_view bytes) {
  if (bytes.size() % 4 != 0) return std::nullopt;
  std::vector<int32_t> ids(bytes.size() / 4);
  for (size_t i = 0; i < bytes.size(); ++i) {
    const auto byte = static_cast<uint32_t>(static_cast<uint8_t>(bytes[i]));
    ids[i / 4] = static_cast<int32_t>(static_cast<uint32_t>(ids[i / 4]) | byte << (i % 4 * 8));
  }
  return ids;
}

std::vector<SessionRow> FindRows(Database& database, const std::string& where) {
  Statement select(database, fmt::format("SELECT {} FROM sessions {}", kRowColumns, where));
  std::vector<SessionRow> rows;
  while (select.executeStep()) rows.push_back(ReadRow(select));
  return rows;
}

std::optional<SessionRow> FindRow(Database& database, int64_t id) {
  Statement select(database, fmt::format("SELECT {} FROM sessions WHERE id = ?", kRowColumns));
  select.bind(1, id);
  if (!select.executeStep()) return std::nullopt;
  return ReadRow(select);
}

std::optional<SessionRow> FindRow(Database& database, std::string_view space,
                                  std::string_view name) {
  Statement select(
      database, fmt::format("SELECT {} FROM sessions WHERE space = ? AND name = ?", kRowColumns));
  BindText(select, 1, space);
  BindText(select, 2, name);
  if (!select.executeStep()) return std::nullopt;
  return ReadRow(select);
}

void WriteRow(Database& database, SessionRow& row) {
  const SessionSummary& session = row.session;
  Statement write(database,
                  row.id == 0
                      ? "INSERT INTO sessions (space, name, model, format, system, created, "
                        "used, expires, turns, tokens, turns_checksum, checksum, "
                        "metadata) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
                      : "UPDATE sessions SET space = ?, name = ?, model = ?, format = ?, "
                        "system = ?, created = ?, used = ?, expires = ?, turns = ?, "
                        "tokens = ?, turns_checksum = ?, checksum = ?, metadata = ? WHERE id = ?");
  BindText(write, 1, session.space);
  BindText(write, 2, session.name);
  BindText(write, 3, session.model);
  BindText(write, 4, FormatName(session.format));
  BindText(write, 5, session.system);
  write.bind(6, session.created);
  write.bind(7, session.used);
  if (session.expires) write.bind(8, *session.expires);
  write.bind(9, session.turns);
  write.bind(10, session.tokens);
  BindBlob(write, 11, row.turns_checksum);
  BindBlob(write, 12, RowChecksum(row));
  BindText(write, 13, MetadataText(session.metadata));
  if (row.id != 0) write.bind(14, row.id);
  write.exec();
  if (row.id == 0) row.id = database.getLastInsertRowid();
}

std::string AddTurn(Database& database, SessionRow& row, SavedTurn turn) {
  SessionSummary& session = row.session;
  turn.address = AnswerAddress(session.space, session.model, turn.answer_ids());
  const std::string messages = DumpJson(turn.messages);
  const std::string info = InfoText(turn.info);
  const std::string checksum = TurnChecksum(row.turns_checksum, turn, messages, info);
  Statement insert(database, "INSERT INTO turns VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)");
  insert.bind(1, row.id);
  insert.bind(2, session.turns);
  BindText(insert, 3, messages);
  insert.bind(4, turn.kept);
  BindBlob(insert, 5, IdsToBytes(turn.ids));
  insert.bind(6, turn.answer);
  BindText(insert, 7, turn.address);
  BindBlob(insert, 8, checksum);
  BindText(insert, 9, info);
  insert.exec();
  ++session.turns;
  session.tokens = turn.kept + std::ssize(turn.ids);
  row.turns_checksum = checksum;
  return turn.address;
}

void CopyTurns(Database& database, const SessionRow& original, int64_t count, SessionRow& row) {
  Statement copy(database,
                 "INSERT INTO turns SELECT ?, number, messages, kept, ids, answer, address, "
                 "checksum, info FROM turns WHERE session = ? AND number < ?");
  copy.bind(1, row.id);
  copy.bind(2, original.id);
  copy.bind(3, count);
  copy.exec();
  row.session.turns = count;
  if (count == original.session.turns) return;
  row.session.tokens = 0;
  row.turns_checksum.clear();
  Statement last(database,
                 "SELECT kept + length(ids) / 4, checksum FROM turns WHERE session = ? AND "
                 "number = ?");
  last.bind(1, row.id);
  last.bind(2, count - 1);
  if (!last.executeStep()) return;
  row.session.tokens = last.getColumn(0).getInt64();
  row.turns_checksum = BlobOf(last.getColumn(1));
}

std::optional<std::vector<SavedTurn>> ReadTurns(Database& database, const SessionRow& row) {
  Statement select(database,
                   "SELECT messages, kept, ids, answer, address, checksum, info FROM turns "
                   "WHERE session = ? ORDER BY number");
  select.bind(1, row.id);
  std::vector<SavedTurn> turns;
  std::string checksum;
  while (select.executeStep()) {
    std::optional<SavedTurn> turn = ReadTurn(select, checksum);
    if (!turn) return std::nullopt;
    turns.push_back(*std::move(turn));
  }
  if (std::ssize(turns) != row.session.turns || checksum != row.turns_checksum) return std::nullopt;
  return turns;
}

void RemoveRow(Database& database, int64_t id) {
  for (const char* sql :
       {"DELETE FROM turns WHERE session = ?", "DELETE FROM sessions WHERE id = ?"}) {
    Statement remove(database, sql);
    remove.bind(1, id);
    remove.exec();
  }
}

}  // namespace fulmen
