#include "accounts/sqlite_connection.h"

#include <SQLiteCpp/Backup.h>
#include <SQLiteCpp/SQLiteCpp.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <optional>
#include <unordered_map>

#include "accounts/system_time.h"
#include "base/check.h"
#include "base/temporaries.h"

namespace fulmen {
namespace {

// Syncs a file or a folder.
Status Sync(const std::string& path) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return Fail(ErrorCode::kIo, "cannot open {}: {}", path, ErrnoMessage(errno));
  const int failed = fsync(file) == 0 ? 0 : errno;
  close(file);
  if (failed == 0) return {};
  return Fail(ErrorCode::kIo, "cannot write {}: {}", path, ErrnoMessage(failed));
}

// Grows under another name beside its own, which it gets once it is whole.
class SqliteBackup : public SqlBackup {
 public:
  static Result<std::unique_ptr<SqlBackup>> Start(SQLite::Database& source, const std::string& path,
                                                  const DatabaseKind& kind) {
    std::unique_ptr<SqliteBackup> backup(new SqliteBackup(path, kind));
    std::error_code error;
    if (std::filesystem::exists(path, error)) return backup->Exists();
    const std::string& growing = backup->growing_.path();
    const int file = open(growing.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (file < 0) {
      return Fail(ErrorCode::kIo, "cannot write {}: {}", growing, ErrnoMessage(errno));
    }
    close(file);
    try {
      const std::string name = growing.starts_with('/') ? growing : "./" + growing;
      backup->copy_.emplace(name, SQLite::OPEN_READWRITE);
      backup->copy_->exec(
          "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF");  // synced at the end
      backup->backup_.emplace(*backup->copy_, source);
    } catch (const SQLite::Exception& thrown) {
      return tl::unexpected<Error>(DatabaseError(path, kind, thrown));
    }
    return std::unique_ptr<SqlBackup>(std::move(backup));
  }

  Result<bool> Step() override {
    constexpr int kPages = 256;  // some milliseconds
    try {
      if (backup_->executeStep(kPages) != SQLITE_DONE) return false;
      backup_.reset();
      copy_.reset();
    } catch (const SQLite::Exception& thrown) {
      return tl::unexpected<Error>(DatabaseError(path_, kind_, thrown));
    }
    FULMEN_TRY(Sync(growing_.path()));
    if (link(growing_.path().c_str(), path_.c_str()) != 0) {
      if (errno == EEXIST) return Exists();
      return Fail(ErrorCode::kIo, "cannot write {}: {}", path_, ErrnoMessage(errno));
    }
    FULMEN_TRY(Sync((std::filesystem::path(path_).parent_path() / ".").string()));
    return true;
  }

 private:
  SqliteBackup(const std::string& path, const DatabaseKind& kind)
      : path_(path), kind_(kind), growing_(TemporaryName(path)) {}

  tl::unexpected<Error> Exists() const {
    return Fail(ErrorCode::kConflict, "{}: a name that is free is expected, found a file", path_);
  }

  const std::string path_;
  const DatabaseKind kind_;
  const Temporary growing_;
  std::optional<SQLite::Database> copy_;
  std::optional<SQLite::Backup> backup_;
};

class SqliteConnection : public SqlConnection {
 public:
  SqliteConnection(std::string path, const DatabaseKind& kind,
                   std::unique_ptr<SQLite::Database> database)
      : path_(std::move(path)), kind_(kind), database_(std::move(database)) {}

  int64_t Now() override { return SystemTime(); }
  void Begin() override { Do("BEGIN IMMEDIATE; SAVEPOINT job"); }
  void Keep() override { Do("RELEASE job; SAVEPOINT job"); }
  void Drop() override { Do("ROLLBACK TO job"); }
  void Commit() override { Do("COMMIT"); }
  void RollBack() override {
    // After some errors, a full disk among them, SQLite has already done it.
    if (sqlite3_get_autocommit(database_->getHandle()) == 0) {
      sqlite3_exec(database_->getHandle(), "ROLLBACK", nullptr, nullptr, nullptr);
    }
  }
  Result<std::unique_ptr<SqlBackup>> StartBackup(const std::string& path) override {
    return SqliteBackup::Start(*database_, path, kind_);
  }

 private:
  // Reset once it was used: one that is under way keeps the log from being cut.
  class Use {
   public:
    explicit Use(SQLite::Statement& statement) : statement_(statement) {}
    ~Use() { statement_.tryReset(); }
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;
    SQLite::Statement* operator->() const { return &statement_; }

   private:
    SQLite::Statement& statement_;
  };

  template <class Body>
  auto Try(const Body& body) {
    try {
      return body();
    } catch (const SQLite::Exception& thrown) {
      throw SqlFailure(SqlFailure::Kind::kStatement, DatabaseError(path_, kind_, thrown));
    }
  }

  void Do(const char* text) {
    Try([&] { database_->exec(text); });
  }

  SQLite::Statement& Prepared(const std::string& text, const std::vector<SqlValue>& values) {
    auto& statement = statements_[text];
    if (statement == nullptr) {
      // A connection that has the file alone locks no rows.
      const std::string understood = text.substr(0, text.find(" FOR UPDATE"));
      statement = std::make_unique<SQLite::Statement>(*database_, understood);
    }
    int place = 0;
    for (const SqlValue& value : values) {
      ++place;
      if (const auto* number = std::get_if<int64_t>(&value)) {
        statement->bind(place, *number);
      } else if (const auto* words = std::get_if<std::string>(&value)) {
        statement->bind(place, *words);
      } else {
        const std::string& bytes = std::get<Blob>(value).bytes;
        statement->bind(place, bytes.data(), static_cast<int>(bytes.size()));
      }
    }
    return *statement;
  }

  int64_t ExecuteWith(const std::string& text, const std::vector<SqlValue>& values) override {
    return Try([&] { return int64_t{Use(Prepared(text, values))->exec()}; });
  }

  SqlRows QueryWith(const std::string& text, const std::vector<SqlValue>& values) override {
    return Try([&] {
      SqlRows rows;
      const Use statement(Prepared(text, values));
      while (statement->executeStep()) rows.push_back(ReadRow(*statement.operator->()));
      return rows;
    });
  }

  static SqlRow ReadRow(SQLite::Statement& statement) {
    std::vector<SqlValue> values;
    for (int i = 0; i < statement.getColumnCount(); ++i) {
      const SQLite::Column column = statement.getColumn(i);
      FULMEN_CHECK(!column.isNull(), "a column of the ledger is NULL");
      if (column.isInteger()) {
        values.emplace_back(column.getInt64());
      } else if (column.isText()) {
        values.emplace_back(column.getString());
      } else {
        values.emplace_back(Blob{column.getString()});
      }
    }
    return SqlRow(std::move(values));
  }

  const std::string path_;
  const DatabaseKind kind_;
  const std::unique_ptr<SQLite::Database> database_;
  std::unordered_map<std::string, std::unique_ptr<SQLite::Statement>> statements_;  // by their text
};

}  // namespace

Result<std::unique_ptr<SqlConnection>> OpenSqlite(const std::string& path,
                                                  const DatabaseKind& kind) {
  FULMEN_CHECK(kind.exclusive, "a {} has one connection", kind.name);
  FULMEN_ASSIGN(std::unique_ptr<SQLite::Database> database, OpenDatabase(path, kind));
  try {
    database->exec("PRAGMA foreign_keys = ON");
  } catch (const SQLite::Exception& thrown) {
    return tl::unexpected<Error>(DatabaseError(path, kind, thrown));
  }
  return std::unique_ptr<SqlConnection>(
      std::make_unique<SqliteConnection>(path, kind, std::move(database)));
}

}  // namespace fulmen
