#include "serve/response_store.h"

#include <iterator>
#include <utility>
#include <vector>

#include "engine/database.h"
#include "engine/digest.h"

namespace fulmen {
namespace {

using SQLite::Database;
using SQLite::Statement;
using SQLite::Transaction;

// A row has a checksum over itself: SQLite does not notice a byte that has changed in a value.
constexpr const char* kSchema = R"(
CREATE TABLE responses (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  space TEXT NOT NULL,
  id TEXT NOT NULL,
  previous TEXT NOT NULL,     -- id; '' for none
  created INTEGER NOT NULL,   -- seconds since 1970
  response TEXT NOT NULL,     -- JSON, as the next
  input TEXT NOT NULL,
  deleted INTEGER NOT NULL,   -- 1: kept for those that go on from it
  checksum TEXT NOT NULL,
  UNIQUE (space, id)
) STRICT;
CREATE INDEX responses_by_previous ON responses (space, previous);
CREATE TABLE items (
  space TEXT NOT NULL,
  id TEXT NOT NULL,
  response INTEGER NOT NULL,  -- its number
  PRIMARY KEY (space, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX items_by_response ON items (response);
CREATE TABLE totals (responses INTEGER NOT NULL, bytes INTEGER NOT NULL) STRICT;
INSERT INTO totals VALUES (0, 0);
)";

constexpr DatabaseKind kKind = {.name = "response store",
                                .application_id = 0x46745273,
                                .version = 1,
                                .schema = kSchema,
                                .first_table = "responses",
                                .exclusive = true};

// Binds texts and numbers to the statement's parameters, in their order.
template <class... Values>
Statement Bound(Database& database, const char* text, const Values&... values) {
  Statement statement(database, text);
  int index = 0;
  const auto bind = [&](const auto& value) {
    if constexpr (std::is_convertible_v<decltype(value), std::string_view>) {
      statement.bind(++index, std::string(value));
    } else {
      statement.bind(++index, value);
    }
  };
  (bind(values), ...);
  return statement;
}

struct Row {
  int64_t number = 0;
  std::string id;
  std::string previous;
  int64_t created = 0;
  std::string response;
  std::string input;
  bool deleted = false;
};

std::string Checksum(std::string_view space, const Row& row) {
  DigestFields fields("response");
  fields.Text(space).Text(row.id).Text(row.previous).Number(row.created);
  fields.Text(row.response).Text(row.input).Number(row.deleted ? 1 : 0);
  return Hex(fields.Digest());
}

// The row, deleted or not, or nothing.
Result<std::optional<Row>> Find(Database& database, const std::string& path, std::string_view space,
                                std::string_view id) {
  Statement select =
      Bound(database,
            "SELECT number, id, previous, created, response, input, deleted, checksum "
            "FROM responses WHERE space = ? AND id = ?",
            space, id);
  if (!select.executeStep()) return std::nullopt;
  Row row = {.number = select.getColumn(0).getInt64(),
             .id = select.getColumn(1).getString(),
             .previous = select.getColumn(2).getString(),
             .created = select.getColumn(3).getInt64(),
             .response = select.getColumn(4).getString(),
             .input = select.getColumn(5).getString(),
             .deleted = select.getColumn(6).getInt() != 0};
  if (Checksum(space, row) != select.getColumn(7).getString()) {
    return Fail(ErrorCode::kCorrupt, "{}: the response {} is damaged: it is not what was stored",
                path, id);
  }
  return row;
}

void ChangeTotals(Database& database, int64_t responses, int64_t bytes) {
  Bound(database, "UPDATE totals SET responses = responses + ?, bytes = bytes + ?", responses,
        bytes)
      .exec();
}

bool Exceed(Database& database, const ResponseLimits& limits) {
  Statement totals = Bound(database, "SELECT responses > ? OR bytes > ? FROM totals",
                           limits.responses, limits.bytes);
  return totals.executeStep() && totals.getColumn(0).getInt() != 0;
}

// False where there is none of this number.
bool Remove(Database& database, int64_t number) {
  Statement size = Bound(database,
                         "SELECT length(CAST(response AS BLOB)) + length(CAST(input AS BLOB)) "
                         "FROM responses WHERE number = ?",
                         number);
  if (!size.executeStep()) return false;
  ChangeTotals(database, -1, -size.getColumn(0).getInt64());
  size.reset();
  Bound(database, "DELETE FROM items WHERE response = ?", number).exec();
  Bound(database, "DELETE FROM responses WHERE number = ?", number).exec();
  return true;
}

bool RemoveOldest(Database& database) {
  return Remove(database, database.execAndGet("SELECT min(number) FROM responses").getInt64());
}

// Deleted responses that nobody goes on from, from this one up through its ancestors.
void RemoveUnused(Database& database, std::string_view space, std::string id) {
  while (true) {
    Statement select =
        Bound(database,
              "SELECT number, previous FROM responses WHERE space = ?1 AND id = ?2 AND deleted = 1 "
              "AND NOT EXISTS (SELECT 1 FROM responses WHERE space = ?1 AND previous = ?2)",
              space, id);
    if (!select.executeStep()) return;
    const int64_t number = select.getColumn(0).getInt64();
    id = select.getColumn(1).getString();
    select.reset();
    Remove(database, number);
  }
}

}  // namespace

ResponseStore::ResponseStore(std::string path, std::unique_ptr<Database> database,
                             const ResponseLimits& limits)
    : path_(std::move(path)), limits_(limits), database_(std::move(database)) {}

ResponseStore::~ResponseStore() = default;

Result<std::unique_ptr<ResponseStore>> ResponseStore::Open(const std::string& path,
                                                           const ResponseLimits& limits) {
  FULMEN_ASSIGN(std::unique_ptr<Database> database, OpenDatabase(path, kKind));
  return std::unique_ptr<ResponseStore>(new ResponseStore(path, std::move(database), limits));
}

template <class Body>
auto ResponseStore::Guarded(Body body) -> decltype(body()) {
  const std::lock_guard lock(mutex_);
  try {
    return body();
  } catch (const SQLite::Exception& thrown) {
    return tl::unexpected<Error>(DatabaseError(path_, kKind, thrown));
  }
}

Status ResponseStore::Put(std::string_view space, const StoredResponse& stored) {
  const Row row = {.number = 0,
                   .id = stored.id,
                   .previous = stored.previous,
                   .created = stored.created,
                   .response = DumpJson(stored.response),
                   .input = DumpJson(stored.input),
                   .deleted = false};
  const int64_t bytes = std::ssize(row.response) + std::ssize(row.input);
  if (bytes > limits_.bytes) {
    return Fail(ErrorCode::kNoRoom,
                "{}: a response of {} bytes is larger than all {} that may be stored", path_, bytes,
                limits_.bytes);
  }
  return Guarded([&]() -> Status {
    Transaction transaction(*database_, SQLite::TransactionBehavior::IMMEDIATE);
    if (Bound(*database_, "SELECT 1 FROM responses WHERE space = ? AND id = ?", space, stored.id)
            .executeStep()) {
      return Fail(ErrorCode::kConflict, "there is a response {} already", stored.id);
    }
    Bound(
        *database_,
        "INSERT INTO responses (space, id, previous, created, response, input, deleted, checksum) "
        "VALUES (?, ?, ?, ?, ?, ?, 0, ?)",
        space, row.id, row.previous, row.created, row.response, row.input, Checksum(space, row))
        .exec();
    const int64_t number = database_->getLastInsertRowid();
    for (const Json& item : Member(stored.response, "output")) {
      const Json& id = Member(item, "id");
      if (!id.is_string()) continue;
      Bound(*database_, "INSERT OR REPLACE INTO items (space, id, response) VALUES (?, ?, ?)",
            space, id.get_ref<const std::string&>(), number)
          .exec();
    }
    ChangeTotals(*database_, 1, bytes);
    while (Exceed(*database_, limits_) && RemoveOldest(*database_)) {
    }
    transaction.commit();
    return {};
  });
}

Result<std::optional<StoredResponse>> ResponseStore::Get(std::string_view space,
                                                         std::string_view id) {
  return Guarded([&]() -> Result<std::optional<StoredResponse>> {
    FULMEN_ASSIGN(std::optional<Row> row, Find(*database_, path_, space, id));
    if (!row || row->deleted) return std::nullopt;
    StoredResponse stored = {.id = std::move(row->id),
                             .response = {},
                             .input = {},
                             .previous = std::move(row->previous),
                             .created = row->created};
    FULMEN_ASSIGN(stored.response, ParseJson(row->response, path_));
    FULMEN_ASSIGN(stored.input, ParseJson(row->input, path_));
    return stored;
  });
}

Result<std::optional<Json>> ResponseStore::Item(std::string_view space, std::string_view id) {
  std::string response;
  FULMEN_TRY(Guarded([&]() -> Status {
    Statement select = Bound(*database_,
                             "SELECT responses.id FROM items JOIN responses "
                             "ON responses.number = items.response "
                             "WHERE items.space = ? AND items.id = ?",
                             space, id);
    if (select.executeStep()) response = select.getColumn(0).getString();
    return {};
  }));
  FULMEN_ASSIGN(const std::optional<StoredResponse> stored, Get(space, response));
  if (!stored) return std::nullopt;
  for (const Json& item : Member(stored->response, "output")) {
    if (Member(item, "id") == id) return item;
  }
  return std::nullopt;
}

Result<std::optional<Json>> ResponseStore::Conversation(std::string_view space,
                                                        std::string_view id) {
  std::vector<Row> rows;  // the latest first
  std::string next(id);
  const Status found = Guarded([&]() -> Status {
    while (!next.empty()) {
      FULMEN_ASSIGN(std::optional<Row> row, Find(*database_, path_, space, next));
      if (rows.empty() && (!row || row->deleted)) return {};
      if (!row || (!rows.empty() && row->number >= rows.back().number)) {
        return Fail(ErrorCode::kNotFound,
                    "the response {} goes on from {}, which is not stored any more", rows.back().id,
                    next);
      }
      next = row->previous;
      rows.push_back(*std::move(row));
    }
    return {};
  });
  FULMEN_TRY(found);
  if (rows.empty()) return std::nullopt;
  Json items = Json::array();
  for (auto row = rows.rbegin(); row != rows.rend(); ++row) {
    FULMEN_ASSIGN(const Json input, ParseJson(row->input, path_));
    FULMEN_ASSIGN(const Json response, ParseJson(row->response, path_));
    for (const Json& item : input) items.push_back(item);
    for (const Json& item : Member(response, "output")) items.push_back(item);
  }
  return items;
}

Result<bool> ResponseStore::Delete(std::string_view space, std::string_view id) {
  return Guarded([&]() -> Result<bool> {
    Transaction transaction(*database_, SQLite::TransactionBehavior::IMMEDIATE);
    FULMEN_ASSIGN(std::optional<Row> row, Find(*database_, path_, space, id));
    if (!row || row->deleted) return false;
    row->deleted = true;
    Bound(*database_, "UPDATE responses SET deleted = 1, checksum = ? WHERE number = ?",
          Checksum(space, *row), row->number)
        .exec();
    RemoveUnused(*database_, space, std::string(id));
    transaction.commit();
    return true;
  });
}

}  // namespace fulmen
