#include "accounts/postgres_connection.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <charconv>
#include <chrono>
#include <mutex>
#include <optional>
#include <pqxx/pqxx>
#include <unordered_map>

#include "base/check.h"
#include "engine/digest.h"

namespace fulmen {
namespace {

using SteadyClock = std::chrono::steady_clock;

// What a statement may take, and then what waits for a server that does not even say so.
constexpr const char* kSession = R"(
SET search_path = fulmen;
SET statement_timeout = '4s';
SET lock_timeout = '1500ms';
SET idle_in_transaction_session_timeout = '5s')";
constexpr auto kLongestStatement = std::chrono::seconds(5);

// Of types that a result may have, as PostgreSQL numbers them.
constexpr pqxx::oid kBytes = 17;
constexpr pqxx::oid kInt64 = 20;
constexpr pqxx::oid kInt32 = 23;

std::string FirstLine(const char* text) {
  const std::string_view all = text;
  return std::string(all.substr(0, all.find('\n')));
}

// With $1, $2, ... in place of each ?.
std::string Numbered(const std::string& text) {
  std::string numbered;
  int count = 0;
  for (const char c : text) {
    if (c == '?') {
      numbered += fmt::format("${}", ++count);
    } else {
      numbered += c;
    }
  }
  return numbered;
}

std::string TextOf(const SqlValue& value) {
  if (const auto* number = std::get_if<int64_t>(&value)) return std::to_string(*number);
  if (const auto* words = std::get_if<std::string>(&value)) return *words;
  return "\\x" + Hex(std::get<Blob>(value).bytes);
}

// Bytes as PostgreSQL writes them: \x and two digits each.
Blob BytesOf(std::string_view text) {
  Blob blob;
  for (size_t at = 2; at + 1 < text.size(); at += 2) {
    int byte = 0;
    std::from_chars(text.data() + at, text.data() + at + 2, byte, 16);
    blob.bytes += static_cast<char>(byte);
  }
  return blob;
}

SqlValue ValueOf(const pqxx::field& field) {
  FULMEN_CHECK(!field.is_null(), "the column {} of the ledger is NULL", field.name());
  switch (field.type()) {
    case kInt32:
    case kInt64:
      return field.as<int64_t>();
    case kBytes:
      return BytesOf({field.c_str(), field.size()});
    default:
      return std::string(field.c_str(), field.size());
  }
}

class PostgresConnection : public SqlConnection {
 public:
  PostgresConnection(const std::string& database, std::vector<std::string> migrations)
      : database_(WithTimeouts(database)), migrations_(std::move(migrations)) {}
  ~PostgresConnection() override { Disconnect(); }

  Status Connect() override {
    if (session_ != nullptr) return {};
    try {
      session_ = std::make_unique<Session>(database_);
      Watch(session_->connection.sock());
      return Migrate();
    } catch (const SqlFailure& failure) {
      Disconnect();
      return tl::unexpected<Error>(failure.error);
    } catch (const std::exception& thrown) {
      Disconnect();
      return Fail(ErrorCode::kUnavailable, "PostgreSQL cannot be reached: {}",
                  FirstLine(thrown.what()));
    }
  }

  // A commit that is under way still, of the connection before this one, is waited for by trying
  // again.
  bool WasCommitted() override {
    if (last_transaction_.empty()) return false;  // it wrote nothing
    const std::string status =
        Query("SELECT coalesce(pg_xact_status(CAST(? AS xid8)), 'aborted')", last_transaction_)[0]
            .Text(0);
    if (status != "in progress") return status == "committed";
    throw SqlFailure(SqlFailure::Kind::kLost, {ErrorCode::kUnavailable, "a commit is under way"});
  }

  void Interrupt() override {
    const std::lock_guard lock(watching_);
    if (socket_ < 0 || !since_ || SteadyClock::now() - *since_ < kLongestStatement) return;
    shutdown(socket_, SHUT_RDWR);  // the connection is lost to who waits for it
  }

  int64_t Now() override {
    if (now_ == 0) {
      now_ = Query("SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000000 AS BIGINT)")[0]
                 .Number(0);
    }
    return now_;
  }

  void AnnounceKeys() override { Do(std::string("NOTIFY ") + kKeyChannel); }

  void Begin() override {
    now_ = 0;
    last_transaction_.clear();
    Do("BEGIN; SAVEPOINT job");
  }

  void Keep() override { Do("RELEASE job; SAVEPOINT job"); }
  void Drop() override { Do("ROLLBACK TO job"); }

  void Commit() override {
    last_transaction_ =
        Query("SELECT coalesce(CAST(pg_current_xact_id_if_assigned() AS TEXT), '')")[0].Text(0);
    Do("COMMIT");
  }

  void RollBack() override {
    if (session_ == nullptr) return;
    try {
      if (session_->connection.is_open()) {
        Do("ROLLBACK");
        return;
      }
    } catch (const SqlFailure&) {  // then it is lost, too
    }
    Disconnect();
  }

  Result<std::unique_ptr<SqlBackup>> StartBackup(const std::string& /*path*/) override {
    return Fail(ErrorCode::kUnsupported,
                "a ledger in PostgreSQL is copied by PostgreSQL's own pg_dump");
  }

 private:
  struct Session {
    explicit Session(const std::string& database) : connection(database), work(connection) {}
    pqxx::connection connection;
    pqxx::nontransaction work;
    std::unordered_map<std::string, std::string> names;  // of prepared statements, by their text
  };

  // A descriptor of our own for it, since libpq closes its own when it likes.
  void Watch(int socket) {
    const std::lock_guard lock(watching_);
    if (socket_ >= 0) close(socket_);
    socket_ = socket < 0 ? -1 : fcntl(socket, F_DUPFD_CLOEXEC, 0);
  }

  void Disconnect() {
    Watch(-1);
    session_.reset();
  }

  template <class Body>
  pqxx::result Try(const Body& body) {
    if (session_ == nullptr) {
      throw SqlFailure(SqlFailure::Kind::kLost, {ErrorCode::kUnavailable, "PostgreSQL is away"});
    }
    const auto note = [this](std::optional<SteadyClock::time_point> since) {
      const std::lock_guard lock(watching_);
      since_ = since;
    };
    note(SteadyClock::now());
    try {
      pqxx::result result = body(*session_);
      note(std::nullopt);
      return result;
    } catch (const std::exception& thrown) {
      note(std::nullopt);
      throw FailureOf(thrown);
    }
  }

  SqlFailure FailureOf(const std::exception& thrown) const {
    using Kind = SqlFailure::Kind;
    const auto* error = dynamic_cast<const pqxx::sql_error*>(&thrown);
    const std::string state = error == nullptr ? "" : error->sqlstate();
    const std::string message = FirstLine(thrown.what());
    // 57P: the server goes down; 25P03: this one was idle in a transaction for too long.
    if (!session_->connection.is_open() || state.starts_with("57P") || state == "25P03" ||
        dynamic_cast<const pqxx::broken_connection*>(&thrown) != nullptr) {
      return {Kind::kLost,
              {ErrorCode::kUnavailable, fmt::format("PostgreSQL is away: {}", message)}};
    }
    if (dynamic_cast<const pqxx::transaction_rollback*>(&thrown) != nullptr) {
      return {Kind::kAgain,
              {ErrorCode::kUnavailable, fmt::format("PostgreSQL is too busy: {}", message)}};
    }
    if (state == "55P03") {  // its lock_timeout
      return {Kind::kBusy,
              {ErrorCode::kUnavailable, fmt::format("PostgreSQL is too busy: {}", message)}};
    }
    return {Kind::kStatement, {ErrorCode::kIo, fmt::format("PostgreSQL refused: {}", message)}};
  }

  void Do(const std::string& text) {
    Try([&](Session& session) { return session.work.exec(text); });
  }

  pqxx::result Run(const std::string& text, const std::vector<SqlValue>& values) {
    return Try([&](Session& session) {
      if (values.empty()) return session.work.exec(text);
      std::string& name = session.names[text];
      if (name.empty()) {
        name = fmt::format("s{}", session.names.size());
        session.connection.prepare(name, Numbered(text));
      }
      std::vector<std::string> texts;
      for (const SqlValue& value : values) texts.push_back(TextOf(value));
      return session.work.exec_prepared(name, pqxx::prepare::make_dynamic_params(texts));
    });
  }

  int64_t ExecuteWith(const std::string& text, const std::vector<SqlValue>& values) override {
    return static_cast<int64_t>(Run(text, values).affected_rows());
  }

  SqlRows QueryWith(const std::string& text, const std::vector<SqlValue>& values) override {
    SqlRows rows;
    for (const pqxx::row& row : Run(text, values)) {
      std::vector<SqlValue> read;
      for (const pqxx::field& field : row) read.push_back(ValueOf(field));
      rows.emplace_back(std::move(read));
    }
    return rows;
  }

  // By one server at a time.
  Status Migrate() {
    Do("BEGIN; SELECT pg_advisory_xact_lock(x'46746c67'::int)");
    if (Query("SELECT 1 FROM pg_namespace WHERE nspname = 'fulmen'").empty()) {
      Do("CREATE SCHEMA fulmen; CREATE TABLE fulmen.migrations (version BIGINT PRIMARY KEY)");
    }
    Do(kSession);
    const auto newest = static_cast<int64_t>(migrations_.size());
    int64_t version =
        Query("SELECT CAST(coalesce(max(version), 0) AS BIGINT) FROM migrations")[0].Number(0);
    if (version > newest) {
      Disconnect();
      return Fail(
          ErrorCode::kUnsupported,
          "PostgreSQL: a ledger of version {} is expected, found {}: a later Fulmen made it",
          newest, version);
    }
    while (version < newest) {
      Do(migrations_[static_cast<size_t>(version)]);
      Execute("INSERT INTO migrations VALUES (?)", ++version);
    }
    Do("COMMIT");
    return {};
  }

  const std::string database_;
  const std::vector<std::string> migrations_;
  std::unique_ptr<Session> session_;
  int64_t now_ = 0;               // one for all of a transaction; 0: not asked for yet
  std::string last_transaction_;  // its number, once it is being committed

  std::mutex watching_;
  int socket_ = -1;
  std::optional<SteadyClock::time_point> since_;  // a statement runs
};

}  // namespace

bool IsPostgres(std::string_view database) {
  return database.starts_with("postgresql://") || database.starts_with("postgres://");
}

std::unique_ptr<SqlConnection> MakePostgresConnection(const std::string& database,
                                                      std::vector<std::string> migrations) {
  return std::make_unique<PostgresConnection>(database, std::move(migrations));
}

std::string WithTimeouts(const std::string& database) {
  const char* joint = database.find('?') == std::string::npos ? "?" : "&";
  return database + joint + "connect_timeout=2&tcp_user_timeout=5000";
}

}  // namespace fulmen
