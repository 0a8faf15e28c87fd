#include "accounts/ledger_database.h"

#include <string_view>
#include <utility>

namespace fulmen {
namespace {

// As the first version made it. Money is in 10^-9 of a currency's unit, and times are nanoseconds
// since 1970. The checks hold what no mistake of ours may break: nothing is overdrawn, and what was
// used stays written.
constexpr const char* kTables = R"(
CREATE TABLE organisations (
  name TEXT PRIMARY KEY,
  currency TEXT NOT NULL,
  balance INTEGER NOT NULL DEFAULT 0,
  held INTEGER NOT NULL DEFAULT 0 CHECK (held >= 0),  -- by open reservations
  CHECK (balance >= held)
) STRICT;
CREATE TABLE keys (
  id TEXT PRIMARY KEY,
  organisation TEXT NOT NULL REFERENCES organisations,
  hash BLOB NOT NULL UNIQUE,             -- SHA-256 of what its owner has
  name TEXT NOT NULL,
  scope TEXT NOT NULL CHECK (scope IN ('inference', 'admin')),
  created INTEGER NOT NULL,
  expires INTEGER NOT NULL,              -- 0: never
  revoked INTEGER NOT NULL DEFAULT 0,    -- 0: not
  requests_per_minute INTEGER NOT NULL,  -- 0: any number, as in the next two
  tokens_per_minute INTEGER NOT NULL,
  concurrent INTEGER NOT NULL,
  requests_full INTEGER NOT NULL DEFAULT 0,  -- when the bucket is full again, as in the next
  tokens_full INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE prices (
  model TEXT NOT NULL,
  currency TEXT NOT NULL,
  text INTEGER NOT NULL CHECK (text >= 0),  -- of one token, as the others
  cached INTEGER NOT NULL CHECK (cached >= 0),
  image INTEGER NOT NULL CHECK (image >= 0),
  output INTEGER NOT NULL CHECK (output >= 0),
  PRIMARY KEY (model, currency)
) STRICT;
CREATE TABLE deposits (
  reference TEXT PRIMARY KEY,
  organisation TEXT NOT NULL REFERENCES organisations,
  amount INTEGER NOT NULL CHECK (amount > 0),
  at INTEGER NOT NULL
) STRICT;
CREATE TABLE reservations (
  request TEXT PRIMARY KEY,
  key TEXT NOT NULL REFERENCES keys,
  organisation TEXT NOT NULL REFERENCES organisations,
  model TEXT NOT NULL,
  started INTEGER NOT NULL,
  prompt INTEGER NOT NULL,  -- tokens, as the next two
  output INTEGER NOT NULL,
  taken INTEGER NOT NULL,   -- from the key's bucket
  held INTEGER NOT NULL CHECK (held >= 0),
  text_price INTEGER NOT NULL,
  cached_price INTEGER NOT NULL,
  image_price INTEGER NOT NULL,
  output_price INTEGER NOT NULL
) STRICT;
CREATE INDEX reservations_by_key ON reservations (key);
CREATE TABLE usage (
  request TEXT PRIMARY KEY,
  key TEXT NOT NULL REFERENCES keys,
  organisation TEXT NOT NULL REFERENCES organisations,
  model TEXT NOT NULL,
  started INTEGER NOT NULL,
  ended INTEGER NOT NULL,
  outcome TEXT NOT NULL,
  prompt INTEGER NOT NULL,
  text INTEGER NOT NULL,
  cached INTEGER NOT NULL,
  image INTEGER NOT NULL,
  output INTEGER NOT NULL,
  reasoning INTEGER NOT NULL,
  text_price INTEGER NOT NULL,
  cached_price INTEGER NOT NULL,
  image_price INTEGER NOT NULL,
  output_price INTEGER NOT NULL,
  charge INTEGER NOT NULL CHECK (charge >= 0),
  CHECK (text + cached + image = prompt)
) STRICT;
CREATE INDEX usage_by_organisation ON usage (organisation, ended);
)";

constexpr const char* kSqliteTriggers = R"(
CREATE TRIGGER usage_stays BEFORE UPDATE ON usage
  BEGIN SELECT raise(ABORT, 'what was used stays as it is'); END;
CREATE TRIGGER usage_is_kept BEFORE DELETE ON usage
  BEGIN SELECT raise(ABORT, 'what was used stays written'); END;
)";

constexpr const char* kPostgresTriggers = R"(
CREATE FUNCTION usage_stays() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN RAISE EXCEPTION 'what was used stays as it is'; END $$;
CREATE TRIGGER usage_stays BEFORE UPDATE OR DELETE ON usage
  FOR EACH ROW EXECUTE FUNCTION usage_stays();
CREATE TRIGGER usage_is_kept BEFORE TRUNCATE ON usage EXECUTE FUNCTION usage_stays();
)";

// Time zones, limits of spending, several answers to a request, and several servers: a reservation
// has the server as its owner, whose lease is renewed while it is alive; a key has the number of
// its last change.
constexpr const char* kVersion2 = R"(
ALTER TABLE organisations ADD COLUMN zone TEXT NOT NULL DEFAULT 'UTC';
ALTER TABLE keys ADD COLUMN spend_per_day INTEGER NOT NULL DEFAULT 0;  -- 0: any amount
ALTER TABLE keys ADD COLUMN changed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE reservations ADD COLUMN choices INTEGER NOT NULL DEFAULT 1;
ALTER TABLE reservations ADD COLUMN owner TEXT NOT NULL DEFAULT '';
CREATE TABLE days (
  key TEXT NOT NULL REFERENCES keys,
  start INTEGER NOT NULL,
  until INTEGER NOT NULL,
  spent INTEGER NOT NULL CHECK (spent >= 0),
  PRIMARY KEY (key, start)
) STRICT;
CREATE TABLE key_changes (last INTEGER NOT NULL) STRICT;  -- one row
INSERT INTO key_changes VALUES (0);
CREATE TABLE servers (
  id TEXT PRIMARY KEY,
  lease INTEGER NOT NULL  -- when it ends
) STRICT;
)";

// Of idempotency keys: answers for who asks again.
constexpr const char* kAnswers = R"(
CREATE TABLE answers (
  key TEXT NOT NULL REFERENCES keys,
  name TEXT NOT NULL,
  request_hash BLOB NOT NULL,
  request TEXT NOT NULL,
  made INTEGER NOT NULL,
  whole INTEGER NOT NULL,  -- else its request is under way
  streams INTEGER NOT NULL,
  body BLOB NOT NULL,
  PRIMARY KEY (key, name)
) STRICT;
CREATE INDEX answers_by_request ON answers (request);
CREATE INDEX answers_by_time ON answers (made);
)";

// Sign-ins of browsers. One that has ended stays until it would have expired, for other servers to
// learn of it.
constexpr const char* kLogins = R"(
CREATE TABLE logins (
  hash BLOB PRIMARY KEY,       -- SHA-256 of what the browser has
  key TEXT NOT NULL REFERENCES keys,
  expires INTEGER NOT NULL,
  ended INTEGER NOT NULL,      -- 0: not
  changed INTEGER NOT NULL     -- as that of a key
) STRICT;
)";

constexpr const char* kMigrations[] = {kVersion2, kAnswers, kLogins};

const std::string kSqliteSchema = std::string(kTables) + kSqliteTriggers;

// Without references: to check one locks the row of an organisation or a key once more, which many
// requests change together, and slows all of them. Neither is ever deleted.
std::string ForPostgres(std::string text) {
  const std::pair<std::string_view, std::string_view> words[] = {{" INTEGER", " BIGINT"},
                                                                 {" BLOB", " BYTEA"},
                                                                 {") STRICT", ")"},
                                                                 {" REFERENCES organisations", ""},
                                                                 {" REFERENCES keys", ""}};
  for (const auto& [from, to] : words) {
    for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at)) {
      text.replace(at, from.size(), to);
    }
  }
  return text;
}

}  // namespace

const DatabaseKind kLedgerDatabase = {.name = "ledger",
                                      .application_id = 0x46746c67,
                                      .version = 4,
                                      .schema = kSqliteSchema.c_str(),
                                      .first_table = "organisations",
                                      .exclusive = true,
                                      .migrations = kMigrations};

std::vector<std::string> PostgresMigrations() {
  std::vector<std::string> all = {ForPostgres(kTables) + kPostgresTriggers};
  for (const char* migration : kMigrations) all.push_back(ForPostgres(migration));
  return all;
}

}  // namespace fulmen
