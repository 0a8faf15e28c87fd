// The rows of a session store: written with their checksums, and read only where these hold.
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/saved_session.h"
#include "engine/session_store.h"

namespace fulmen {

// All of these throw what SQLite does. The caller has a transaction where it takes several.

struct SessionRow {
  int64_t id = 0;
  SessionSummary session;
  std::string turns_checksum = {};  // the last turn's; empty without turns
};

std::optional<SessionRow> FindRow(SQLite::Database& database, std::string_view space,
                                  std::string_view name);
std::optional<SessionRow> FindRow(SQLite::Database& database, int64_t id);
// Those that `where`, the rest of a SELECT, leaves.
std::vector<SessionRow> FindRows(SQLite::Database& database, const std::string& where);
// Adds a row where its id is 0, which it then gets; else brings the row up to date.
void WriteRow(SQLite::Database& database, SessionRow& row);
// The row and its turns.
void RemoveRow(SQLite::Database& database, int64_t id);

// Adds a turn behind the last one of `row`, which still has to be written. Gives its address.
std::string AddTurn(SQLite::Database& database, SessionRow& row, SavedTurn turn);
// Copies the first `count` turns of `original` to `row`, which has an id and still has to be
// written again. No more are there than `original` has.
void CopyTurns(SQLite::Database& database, const SessionRow& original, int64_t count,
               SessionRow& row);
// All turns of `row`; nullopt when they are not those that were written.
std::optional<std::vector<SavedTurn>> ReadTurns(SQLite::Database& database, const SessionRow& row);

// Values of statements. Ids are four bytes each, the lowest first.
void BindText(SQLite::Statement& statement, int index, std::string_view text);
void BindBlob(SQLite::Statement& statement, int index, std::string_view bytes);
std::string BlobOf(const SQLite::Column& column);
std::optional<std::vector<int32_t>> IdsFromBytes(std::string_view bytes);

}  // namespace fulmen
