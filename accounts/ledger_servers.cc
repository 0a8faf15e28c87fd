// How a ledger is opened, and how servers that share one know of each other.
#include <utility>

#include "accounts/ledger.h"
#include "accounts/ledger_database.h"
#include "accounts/postgres_connection.h"
#include "accounts/sqlite_connection.h"

namespace fulmen {
namespace {

constexpr const char* kCrashed = "crashed";

std::vector<std::string> RequestsOf(const SqlRows& rows) {
  std::vector<std::string> requests;
  for (const SqlRow& row : rows) requests.push_back(row.Text(0));
  return requests;
}

// Settles what a journal has. What is gone was settled already, or its server counted as dead.
void SettleWritten(Sql& sql, const JournalRecord& record) {
  const Result<LockedRequest> locked = LockRequest(sql, record.request);
  if (!locked) return;
  const Result<Money> charge = ChargeOf(locked->open, record.tokens);
  if (!charge) return;
  if (record.answer) WriteAnswer(sql, record.request, *record.answer);
  Close(sql, *locked, record.tokens, *charge, record.outcome, record.ended);
}

}  // namespace

Ledger::Ledger(const LedgerOptions& options, std::unique_ptr<SqlConnection> connection,
               std::unique_ptr<Journal> journal)
    : database_(options.database),
      clock_(options.clock),
      server_(journal == nullptr ? NewServerId() : journal->server()),
      lease_(static_cast<int64_t>(options.lease_seconds * 1e9)),
      journal_(std::move(journal)),
      committer_(std::make_unique<Committer>(
          std::move(connection), IsPostgres(options.database)
                                     ? Committer::Start{.job = [this](Sql& sql) { Resume(sql); },
                                                        .done = [this] { Resumed(); }}
                                     : std::optional<Committer::Start>())) {}

Result<std::unique_ptr<Ledger>> Ledger::Open(const LedgerOptions& options) {
  return IsPostgres(options.database) ? OpenShared(options) : OpenFile(options);
}

Result<std::unique_ptr<Ledger>> Ledger::OpenFile(const LedgerOptions& options) {
  FULMEN_ASSIGN(std::unique_ptr<SqlConnection> connection,
                OpenSqlite(options.database, kLedgerDatabase));
  std::unique_ptr<Ledger> ledger(new Ledger(options, std::move(connection), nullptr));
  FULMEN_TRY(ledger->committer_->Run([&](Sql& sql) -> Status {
    for (const std::string& request : RequestsOf(sql.Query("SELECT request FROM reservations"))) {
      ledger->EndCrashed(sql, request);
    }
    return {};
  }));
  FULMEN_TRY(ledger->LoadKeys());
  return ledger;
}

Result<std::unique_ptr<Ledger>> Ledger::OpenShared(const LedgerOptions& options) {
  constexpr double kShortestLease = 2;  // since it is renewed every half second at most
  if (options.lease_seconds < kShortestLease) {
    return Fail(ErrorCode::kInvalidArgument, "a lease should be of {} seconds or more, found {}",
                kShortestLease, options.lease_seconds);
  }
  std::unique_ptr<Journal> journal;
  if (!options.journal.empty()) {
    FULMEN_ASSIGN(journal, Journal::Open(options.journal));
  }
  std::unique_ptr<SqlConnection> connection =
      MakePostgresConnection(options.database, PostgresMigrations());
  FULMEN_TRY(connection->Connect());
  std::unique_ptr<Ledger> ledger(new Ledger(options, std::move(connection), std::move(journal)));
  FULMEN_TRY(ledger->LoadKeys());
  ledger->listener_ =
      std::make_unique<PostgresListener>(options.database, [&made = *ledger] { made.Wake(); });
  return ledger;
}

void Ledger::EndCrashed(Sql& sql, const std::string& request) {
  const Result<LockedRequest> locked = LockRequest(sql, request);
  if (locked) Close(sql, *locked, {}, {}, kCrashed, Now(sql));  // else another server was faster
}

void Ledger::Resume(Sql& sql) {
  Renew(sql);
  SettleJournal(sql);
  // Those of this server before it was started again, and those whose callers were told that the
  // database is away, though they were admitted.
  for (const std::string& request :
       RequestsOf(sql.Query("SELECT request FROM reservations WHERE owner = ?", server_))) {
    if (!open_.Find(request)) EndCrashed(sql, request);
  }
}

void Ledger::Resumed() {
  ClearJournal();
  connected_ = renewed_ = SteadyClock::now();
}

void Ledger::Wake() {
  committer_->Interrupt();
  if (waking_.exchange(true)) return;
  const auto due = std::make_shared<bool>(false);
  committer_->Submit(
      [this, due](Sql& sql) -> Status {
        *due = SteadyClock::now() - renewed_ >= lease_ / 3;
        if (*due) Renew(sql);
        return {};
      },
      [this, due](const Status& status) {
        if (status && *due) renewed_ = SteadyClock::now();
      });
  committer_->Submit(
      [this, due](Sql& sql) -> Status {
        // After the database was away its servers come back first.
        const bool settled = SteadyClock::now() - connected_ >= lease_;
        if (*due && settled) EndThoseOfDeadServers(sql);
        return {};
      },
      [](const Status& /*status*/) {});  // the next time is soon
  // What was written down though the database was only too busy.
  const auto written = std::make_shared<size_t>(0);
  committer_->Submit(
      [this, written](Sql& sql) -> Status {
        *written = SettleJournal(sql);
        return {};
      },
      [this, written](const Status& status) {
        if (status && *written > 0 && *written == journal_->records().size()) ClearJournal();
      });
  const auto news = std::make_shared<KeyNews>();
  committer_->Submit(
      [this, news](Sql& sql) -> Status {
        *news = ReadKeyNews(sql, keys_changed_);
        return {};
      },
      [this, news](const Status& status) {
        if (status) TakeKeys(std::move(*news));
        waking_ = false;
      });
}

size_t Ledger::SettleJournal(Sql& sql) {
  if (journal_ == nullptr) return 0;
  for (const JournalRecord& record : journal_->records()) SettleWritten(sql, record);
  return journal_->records().size();
}

// Records that stay after an error are found settled the next time.
void Ledger::ClearJournal() {
  if (journal_ != nullptr && !journal_->records().empty()) (void)journal_->Clear();
}

void Ledger::Renew(Sql& sql) {
  sql.Execute(
      "INSERT INTO servers (id, lease) VALUES (?, ?) "
      "ON CONFLICT (id) DO UPDATE SET lease = excluded.lease",
      server_, sql.Now() + lease_.count());
}

void Ledger::EndThoseOfDeadServers(Sql& sql) {
  for (const SqlRow& dead :
       sql.Query("SELECT id FROM servers WHERE lease <= ? FOR UPDATE SKIP LOCKED", sql.Now())) {
    sql.Execute("DELETE FROM servers WHERE id = ?", dead.Text(0));
  }
  for (const std::string& request : RequestsOf(sql.Query(
           "SELECT request FROM reservations WHERE owner NOT IN (SELECT id FROM servers)"))) {
    EndCrashed(sql, request);
  }
}

}  // namespace fulmen
