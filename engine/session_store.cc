#include "engine/session_store.h"

#include <algorithm>
#include <utility>

#include "base/printable.h"
#include "engine/digest.h"
#include "engine/session_database.h"
#include "engine/session_rows.h"
#include "engine/session_search.h"

namespace fulmen {
namespace {

using SQLite::Database;
using SQLite::Statement;
using SQLite::Transaction;

// Takes the lock for writing at its beginning, where waiting for it is possible.
constexpr auto kWriting = SQLite::TransactionBehavior::IMMEDIATE;

tl::unexpected<Error> NameTaken(std::string_view name) {
  return Fail(ErrorCode::kConflict, "there is a session \"{}\" already", Printable(name));
}

tl::unexpected<Error> NoSuchSession(const std::string& path, std::string_view name) {
  return Fail(ErrorCode::kNotFound, "there is no session \"{}\" in {}", Printable(name), path);
}

tl::unexpected<Error> Damaged(const std::string& path, std::string_view name) {
  return Fail(ErrorCode::kCorrupt,
              "{}: the session \"{}\" is damaged: it is not what was written there", path,
              Printable(name));
}

// A row to go on from.
Result<SessionRow> IntactRow(Database& database, const std::string& path, std::string_view space,
                             std::string_view name) {
  std::optional<SessionRow> row = FindRow(database, space, name);
  if (!row) return NoSuchSession(path, name);
  if (row->session.damaged) return Damaged(path, name);
  return *std::move(row);
}

// Those of one namespace, or of all, the one used last first. The table is read rather than an
// index: it shows what is damaged.
Result<std::vector<int64_t>> IdsOf(Database& database, const std::string& path,
                                   std::optional<std::string_view> space, const SessionPage& page) {
  Statement select(database,
                   "SELECT id FROM sessions WHERE (?1 IS NULL OR space = ?1) AND (?2 IS NULL OR "
                   "used < ?2 OR (used = ?2 AND name > ?3)) ORDER BY used DESC, name, space");
  if (space) BindText(select, 1, *space);
  if (!page.after.empty()) {
    const auto after = FindRow(database, space.value_or(""), page.after);
    if (!after) return NoSuchSession(path, page.after);
    select.bind(2, after->session.used);
    BindText(select, 3, page.after);
  }
  std::vector<int64_t> ids;
  while (select.executeStep()) ids.push_back(select.getColumn(0).getInt64());
  return ids;
}

void ChangeTotals(Database& database, int64_t answers, int64_t bytes) {
  Statement update(database, "UPDATE answer_totals SET answers = answers + ?, bytes = bytes + ?");
  update.bind(1, answers);
  update.bind(2, bytes);
  update.exec();
}

// Removes the answer that `select` gives, id and bytes, where it gives one.
bool RemoveAnswer(Database& database, Statement& select) {
  if (!select.executeStep()) return false;
  Statement remove(database, "DELETE FROM answers WHERE id = ?");
  remove.bind(1, select.getColumn(0).getInt64());
  ChangeTotals(database, -1, -select.getColumn(1).getInt64());
  select.reset();
  remove.exec();
  return true;
}

bool Exceed(Database& database, const AnswerLimits& limits) {
  Statement totals(database, "SELECT answers > ? OR bytes > ? FROM answer_totals");
  totals.bind(1, limits.answers);
  totals.bind(2, limits.bytes);
  return totals.executeStep() && totals.getColumn(0).getInt() != 0;
}

}  // namespace

SessionStore::SessionStore(std::string path, std::unique_ptr<Database> database,
                           const AnswerLimits& limits)
    : path_(std::move(path)), limits_(limits), database_(std::move(database)) {}

SessionStore::~SessionStore() = default;

Result<std::unique_ptr<SessionStore>> SessionStore::Open(const std::string& path,
                                                         const AnswerLimits& limits) {
  FULMEN_ASSIGN(std::unique_ptr<Database> database, OpenDatabase(path, kSessionDatabase));
  return std::unique_ptr<SessionStore>(new SessionStore(path, std::move(database), limits));
}

template <class Body>
auto SessionStore::Guarded(Body body) -> decltype(body()) {
  const std::lock_guard lock(mutex_);
  try {
    return body();
  } catch (const SQLite::Exception& thrown) {
    return tl::unexpected<Error>(DatabaseError(path_, kSessionDatabase, thrown));
  }
}

Result<std::optional<SavedSession>> SessionStore::Find(std::string_view space,
                                                       std::string_view name) {
  return Guarded([&]() -> Result<std::optional<SavedSession>> {
    const Transaction at_one_time(*database_);
    std::optional<SessionRow> row = FindRow(*database_, space, name);
    if (!row) return std::nullopt;
    if (row->session.damaged) return Damaged(path_, name);
    std::optional<std::vector<SavedTurn>> turns = ReadTurns(*database_, *row);
    if (!turns) return Damaged(path_, name);
    SessionSummary& found = row->session;
    return SavedSession{.space = std::move(found.space),
                        .name = std::move(found.name),
                        .model = std::move(found.model),
                        .format = found.format,
                        .system = std::move(found.system),
                        .created = found.created,
                        .used = found.used,
                        .expires = found.expires,
                        .turns = *std::move(turns),
                        .metadata = std::move(found.metadata)};
  });
}

Result<std::vector<SessionSummary>> SessionStore::List(std::optional<std::string_view> space,
                                                       const SessionPage& page) {
  return Guarded([&]() -> Result<std::vector<SessionSummary>> {
    const Transaction at_one_time(*database_);
    FULMEN_ASSIGN(const std::vector<int64_t> ids, IdsOf(*database_, path_, space, page));
    std::vector<SessionSummary> sessions;
    for (const int64_t id : ids) {
      if (std::ssize(sessions) >= page.limit) break;
      if (auto row = FindRow(*database_, id)) sessions.push_back(std::move(row->session));
    }
    return sessions;
  });
}

Result<std::vector<FoundSession>> SessionStore::Search(std::string_view space,
                                                       std::string_view text,
                                                       const SessionPage& page) {
  FULMEN_ASSIGN(const std::vector<int64_t> ids,
                Guarded([&] { return IdsOf(*database_, path_, space, page); }));
  const SearchText wanted(text);
  std::vector<FoundSession> sessions;
  for (const int64_t id : ids) {
    if (std::ssize(sessions) >= page.limit) break;
    // One at a time: a store may hold much to look through.
    FULMEN_TRY(Guarded([&]() -> Status {
      const Transaction at_one_time(*database_);
      auto row = FindRow(*database_, id);
      if (!row || row->session.damaged) return {};
      auto match = FindInSession(*database_, *row, wanted);
      if (!match) return {};
      sessions.push_back({std::move(row->session), match->turn, std::move(match->excerpt)});
      return {};
    }));
  }
  return sessions;
}

Status SessionStore::Create(const SavedSession& session) {
  FULMEN_TRY(CheckSession(session));
  return Guarded([&]() -> Status {
    Transaction transaction(*database_, kWriting);
    if (FindRow(*database_, session.space, session.name)) return NameTaken(session.name);
    SessionRow row = {.session = {.space = session.space,
                                  .name = session.name,
                                  .model = session.model,
                                  .format = session.format,
                                  .system = session.system,
                                  .created = session.created,
                                  .used = session.used,
                                  .expires = session.expires,
                                  .metadata = session.metadata}};
    WriteRow(*database_, row);
    for (const SavedTurn& turn : session.turns) AddTurn(*database_, row, turn);
    WriteRow(*database_, row);
    transaction.commit();
    return {};
  });
}

Result<std::string> SessionStore::AppendTurn(std::string_view space, std::string_view name,
                                             int64_t turns, const SavedTurn& turn, int64_t now) {
  return Guarded([&]() -> Result<std::string> {
    Transaction transaction(*database_, kWriting);
    FULMEN_ASSIGN(SessionRow row, IntactRow(*database_, path_, space, name));
    if (row.session.turns != turns) {
      return Fail(ErrorCode::kConflict,
                  "session \"{}\" has {} turns where {} are expected: another process has "
                  "changed it",
                  Printable(name), row.session.turns, turns);
    }
    FULMEN_TRY(CheckTurn(turn, row.session.tokens));
    std::string address = AddTurn(*database_, row, turn);
    row.session.used = now;
    WriteRow(*database_, row);
    transaction.commit();
    return address;
  });
}

Status SessionStore::Fork(std::string_view space, std::string_view from, std::string_view to,
                          int64_t now, const ForkOptions& options) {
  FULMEN_TRY(CheckSessionName(to));
  if (options.metadata) FULMEN_TRY(CheckMetadata(*options.metadata));
  return Guarded([&]() -> Status {
    Transaction transaction(*database_, kWriting);
    FULMEN_ASSIGN(SessionRow row, IntactRow(*database_, path_, space, from));
    if (FindRow(*database_, space, to)) return NameTaken(to);
    const int64_t turns = options.turns.value_or(row.session.turns);
    if (turns < 0 || turns > row.session.turns) {
      return Fail(ErrorCode::kInvalidArgument,
                  "turns should be 0 to the {} of session \"{}\", found {}", row.session.turns,
                  Printable(from), turns);
    }
    const SessionRow original = row;
    row.id = 0;
    row.session.name = to;
    row.session.created = now;
    row.session.used = now;
    row.session.expires.reset();
    if (options.metadata) row.session.metadata = *options.metadata;
    WriteRow(*database_, row);
    CopyTurns(*database_, original, turns, row);
    WriteRow(*database_, row);
    transaction.commit();
    return {};
  });
}

Status SessionStore::Rename(std::string_view space, std::string_view from, std::string_view to) {
  FULMEN_TRY(CheckSessionName(to));
  return Guarded([&]() -> Status {
    Transaction transaction(*database_, kWriting);
    FULMEN_ASSIGN(SessionRow row, IntactRow(*database_, path_, space, from));
    if (FindRow(*database_, space, to)) return NameTaken(to);
    row.session.name = to;
    WriteRow(*database_, row);
    transaction.commit();
    return {};
  });
}

Status SessionStore::Remove(std::string_view space, std::string_view name) {
  return Guarded([&]() -> Status {
    Transaction transaction(*database_, kWriting);
    const std::optional<SessionRow> row = FindRow(*database_, space, name);
    if (!row) return NoSuchSession(path_, name);
    RemoveRow(*database_, row->id);
    transaction.commit();
    return {};
  });
}

Status SessionStore::ChangeMetadata(
    std::string_view space, std::string_view name,
    const std::map<std::string, std::optional<std::string>>& changes) {
  return Guarded([&]() -> Status {
    Transaction transaction(*database_, kWriting);
    FULMEN_ASSIGN(SessionRow row, IntactRow(*database_, path_, space, name));
    Metadata& metadata = row.session.metadata;
    for (const auto& [key, value] : changes) {
      if (value) {
        metadata[key] = *value;
      } else {
        metadata.erase(key);
      }
    }
    FULMEN_TRY(CheckMetadata(metadata));
    WriteRow(*database_, row);
    transaction.commit();
    return {};
  });
}

Status SessionStore::SetExpiry(std::string_view space, std::string_view name,
                               std::optional<int64_t> expires) {
  return Guarded([&]() -> Status {
    Transaction transaction(*database_, kWriting);
    FULMEN_ASSIGN(SessionRow row, IntactRow(*database_, path_, space, name));
    row.session.expires = expires;
    WriteRow(*database_, row);
    transaction.commit();
    return {};
  });
}

Result<int64_t> SessionStore::RemoveExpired(int64_t now) {
  return Guarded([&]() -> Result<int64_t> {
    const std::string expired = fmt::format("WHERE expires <= {}", now);
    // Mostly there are none, and nobody has to be waited for.
    if (FindRows(*database_, expired).empty()) return 0;
    Transaction transaction(*database_, kWriting);
    int64_t removed = 0;
    for (const SessionRow& row : FindRows(*database_, expired)) {
      if (row.session.damaged) continue;  // its time may be what is damaged
      RemoveRow(*database_, row.id);
      ++removed;
    }
    transaction.commit();
    return removed;
  });
}

Result<std::string> SessionStore::Remember(std::string_view space, std::string_view model,
                                           std::span<const int32_t> ids, std::string_view handle) {
  std::string address = AnswerAddress(space, model, ids);
  const std::string bytes = IdsToBytes(ids);
  if (std::ssize(bytes) > limits_.bytes) return address;  // all others would go, and then it
  return Guarded([&]() -> Result<std::string> {
    Transaction transaction(*database_, kWriting);
    int64_t used = database_->execAndGet("SELECT coalesce(max(used), 0) FROM answers").getInt64();
    for (const int64_t id : recalled_) {
      Statement update(*database_, "UPDATE answers SET used = ? WHERE id = ?");
      update.bind(1, ++used);
      update.bind(2, id);
      update.exec();
    }
    recalled_.clear();
    // One of this address may be damaged.
    Statement older(*database_, "SELECT id, length(ids) FROM answers WHERE space = ? AND name = ?");
    const std::string_view name = handle.empty() ? address : handle;
    BindText(older, 1, space);
    BindText(older, 2, name);
    RemoveAnswer(*database_, older);
    Statement insert(
        *database_, "INSERT INTO answers (space, name, address, ids, used) VALUES (?, ?, ?, ?, ?)");
    BindText(insert, 1, space);
    BindText(insert, 2, name);
    BindText(insert, 3, address);
    BindBlob(insert, 4, bytes);
    insert.bind(5, ++used);
    insert.exec();
    ChangeTotals(*database_, 1, std::ssize(bytes));
    Statement oldest(*database_, "SELECT id, length(ids) FROM answers ORDER BY used, id LIMIT 1");
    while (Exceed(*database_, limits_) && RemoveAnswer(*database_, oldest)) {
    }
    transaction.commit();
    return address;
  });
}

Result<std::optional<std::vector<int32_t>>> SessionStore::Recall(
    std::string_view space, std::string_view model, std::string_view address_or_handle) {
  return Guarded([&]() -> Result<std::optional<std::vector<int32_t>>> {
    const Transaction at_one_time(*database_);
    Statement answers(*database_,
                      "SELECT id, ids, address FROM answers WHERE space = ? AND name = ?");
    BindText(answers, 1, space);
    BindText(answers, 2, address_or_handle);
    if (answers.executeStep()) {
      auto ids = IdsFromBytes(BlobOf(answers.getColumn(1)));
      if (ids && AnswerAddress(space, model, *ids) == answers.getColumn(2).getString()) {
        recalled_.insert(answers.getColumn(0).getInt64());
        return ids;
      }
    }
    Statement turns(*database_,
                    "SELECT turns.ids, turns.answer - turns.kept FROM turns JOIN sessions "
                    "ON sessions.id = turns.session WHERE address = ? AND space = ?");
    BindText(turns, 1, address_or_handle);
    BindText(turns, 2, space);
    while (turns.executeStep()) {
      auto ids = IdsFromBytes(BlobOf(turns.getColumn(0)));
      const int64_t begin = turns.getColumn(1).getInt64();
      if (!ids || begin < 0 || begin > std::ssize(*ids)) continue;
      ids->erase(ids->begin(), ids->begin() + begin);
      if (AnswerAddress(space, model, *ids) == address_or_handle) return ids;
    }
    return std::nullopt;
  });
}

}  // namespace fulmen
