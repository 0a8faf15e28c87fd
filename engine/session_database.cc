#include "engine/session_database.h"

namespace fulmen {
namespace {

// A row of `turns` has a checksum over itself and the one before it, and a row of `sessions` one
// over itself and its last turn's: SQLite does not notice a byte that has changed in a value.
// This is the first version; the migrations make the later ones of it.
constexpr const char* kSchema = R"(
CREATE TABLE sessions (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  space TEXT NOT NULL,
  name TEXT NOT NULL,
  model TEXT NOT NULL,
  format TEXT NOT NULL,          -- of chats; '' for none
  system TEXT NOT NULL,
  created INTEGER NOT NULL,      -- seconds since 1970, as the next two
  used INTEGER NOT NULL,
  expires INTEGER,
  turns INTEGER NOT NULL,
  tokens INTEGER NOT NULL,       -- of the sequence after the last turn
  turns_checksum BLOB NOT NULL,  -- the last turn's
  checksum BLOB NOT NULL,
  UNIQUE (space, name)
) STRICT;
CREATE TABLE turns (
  session INTEGER NOT NULL,
  number INTEGER NOT NULL,       -- from 0
  messages TEXT NOT NULL,        -- JSON
  kept INTEGER NOT NULL,
  ids BLOB NOT NULL,             -- four bytes each, the lowest first
  answer INTEGER NOT NULL,
  address TEXT NOT NULL,
  checksum BLOB NOT NULL,
  PRIMARY KEY (session, number)
) STRICT;
CREATE INDEX turns_by_address ON turns (address);
CREATE TABLE answers (
  id INTEGER PRIMARY KEY,
  space TEXT NOT NULL,
  name TEXT NOT NULL,            -- the address, or a handle
  address TEXT NOT NULL,
  ids BLOB NOT NULL,
  used INTEGER NOT NULL,         -- the largest was used last
  UNIQUE (space, name)
) STRICT;
CREATE INDEX answers_by_use ON answers (used);
CREATE TABLE answer_totals (answers INTEGER NOT NULL, bytes INTEGER NOT NULL) STRICT;
INSERT INTO answer_totals VALUES (0, 0);
)";

constexpr const char* kMigrations[] = {
    R"(
ALTER TABLE sessions ADD COLUMN metadata TEXT NOT NULL DEFAULT '';  -- JSON; '' for none
ALTER TABLE turns ADD COLUMN info TEXT NOT NULL DEFAULT '';         -- JSON; '' for null
)",
};

}  // namespace

const DatabaseKind kSessionDatabase = {.name = "session store",
                                       .application_id = 0x46744d6d,
                                       .version = 2,
                                       .schema = kSchema,
                                       .first_table = "sessions",
                                       .migrations = kMigrations};

}  // namespace fulmen
