#include "engine/session_database.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <thread>

namespace fulmen {
namespace {

namespace fs = std::filesystem;

constexpr int kBusyMilliseconds = 10'000;
constexpr int32_t kApplicationId = 0x46744d6d;  // tells our databases from all others
constexpr int kVersion = 1;
// A database of this size is checked whole, in some 60 ms. Of a larger one only what says which
// sessions there are: every row has its checksum, and SQLite tells of pages that make no sense once
// it comes to them.
constexpr int64_t kCheckedBytes = int64_t{64} << 20;

constexpr const char* kOtherFile = "a session store is expected, found another kind of file";

// A row of `turns` has a checksum over itself and the one before it, and a row of `sessions` one
// over itself and its last turn's: SQLite does not notice a byte that has changed in a value.
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

// Makes an empty file that only its owner can read. One that is there already is never opened
// here: closing it would take away locks that this process has on it.
Status MakeFile(const std::string& path) {
  struct stat info {};
  if (stat(path.c_str(), &info) == 0) {
    constexpr int kSmallest = 512;  // SQLite takes a single byte for an empty database
    if (S_ISREG(info.st_mode) && (info.st_size == 0 || info.st_size >= kSmallest)) return {};
    if (S_ISREG(info.st_mode)) {
      return Fail(ErrorCode::kCorrupt, "{}: {}", path, kOtherFile);
    }
    return Fail(ErrorCode::kIo, "{}: a session store is a regular file, found {}", path,
                S_ISDIR(info.st_mode) ? "a folder" : "something else");
  }
  const fs::path folder = fs::path(path).parent_path();
  std::error_code error;
  if (!folder.empty() && fs::create_directories(folder, error)) {
    fs::permissions(folder, fs::perms::owner_all, error);
  }
  if (error) {
    return Fail(ErrorCode::kIo, "cannot make the folder {}: {}", folder.string(), error.message());
  }
  const int file = open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (file < 0 && errno == EEXIST) return {};
  if (file < 0) return Fail(ErrorCode::kIo, "cannot write {}: {}", path, ErrnoMessage(errno));
  close(file);
  // The name has to be on the disk before anything is promised to be.
  const int above = open((folder / ".").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (above >= 0) {
    fsync(above);
    close(above);
  }
  return {};
}

int Pragma(SQLite::Database& database, const char* name) {
  return database.execAndGet(std::string("PRAGMA ") + name).getInt();
}

// Whether it has nothing in it yet; an error when it has what is not ours.
Result<bool> IsNew(SQLite::Database& database, const std::string& path) {
  const SQLite::Transaction all_at_one_time(database);
  const int application = Pragma(database, "application_id");
  const int version = Pragma(database, "user_version");
  if (application == kApplicationId && version > kVersion) {
    return Fail(ErrorCode::kUnsupported,
                "{}: a session store of version {} is expected, found {}: a later Fulmen made it",
                path, kVersion, version);
  }
  if (application == kApplicationId && version == kVersion) return false;
  const bool empty = database.execAndGet("SELECT count(*) FROM sqlite_schema").getInt() == 0;
  if (application == 0 && version == 0 && empty) return true;
  return Fail(ErrorCode::kCorrupt, "{}: a session store is expected, found another SQLite database",
              path);
}

Status Check(SQLite::Database& database, const std::string& path) {
  const int64_t bytes =
      int64_t{Pragma(database, "page_count")} * int64_t{Pragma(database, "page_size")};
  const char* const check =
      bytes > kCheckedBytes ? "PRAGMA integrity_check(sessions)" : "PRAGMA integrity_check(1)";
  const std::string found = database.execAndGet(check).getString();
  if (found == "ok") return {};
  return Fail(ErrorCode::kCorrupt, "{}: the session store is damaged: {}", path,
              found.substr(0, found.find('\n')));
}

Status Prepare(SQLite::Database& database, const std::string& path) {
  database.setBusyTimeout(kBusyMilliseconds);
  database.exec("PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON");
  FULMEN_ASSIGN(const bool is_new, IsNew(database, path));
  // Readers and a writer side by side, and a commit is on the disk when it returns.
  const std::string mode = database.execAndGet("PRAGMA journal_mode = WAL").getString();
  if (mode != "wal") {
    return Fail(ErrorCode::kUnsupported,
                "{}: its file system cannot hold a session store, which several processes share",
                path);
  }
  database.exec("PRAGMA synchronous = FULL");
  if (is_new) {
    SQLite::Transaction transaction(database, SQLite::TransactionBehavior::IMMEDIATE);
    if (Pragma(database, "user_version") == 0) {  // nobody was faster
      database.exec(kSchema);
      database.exec(fmt::format("PRAGMA application_id = {}; PRAGMA user_version = {}",
                                kApplicationId, kVersion));
    }
    transaction.commit();
  }
  return Check(database, path);
}

}  // namespace

Result<std::unique_ptr<SQLite::Database>> OpenSessionDatabase(const std::string& path) {
  FULMEN_TRY(MakeFile(path));
  // SQLite gives "file:..." and ":memory:" a meaning of their own.
  const std::string name = path.starts_with('/') ? path : "./" + path;
  const auto deadline =
      std::chrono::steady_clock::now() + std::chrono::milliseconds(kBusyMilliseconds);
  while (true) {
    try {
      auto database = std::make_unique<SQLite::Database>(name, SQLite::OPEN_READWRITE);
      FULMEN_TRY(Prepare(*database, path));
      return database;
    } catch (const SQLite::Exception& thrown) {
      // Two processes that turn the same new file to WAL are told so without waiting.
      const bool busy = thrown.getErrorCode() == SQLITE_BUSY;
      if (!busy || std::chrono::steady_clock::now() > deadline) {
        return tl::unexpected<Error>(SessionDatabaseError(path, thrown));
      }
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

Error SessionDatabaseError(const std::string& path, const SQLite::Exception& thrown) {
  const auto error = [&](ErrorCode code, std::string_view what) {
    return Error{code, fmt::format("{}: {}", path, what)};
  };
  switch (thrown.getErrorCode()) {
    case SQLITE_FULL:
      return error(ErrorCode::kIo, "the disk is full, so this was not stored");
    case SQLITE_IOERR:
      return error(ErrorCode::kIo,
                   "the disk failed or is full, so this was not stored (disk I/O error)");
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return error(ErrorCode::kUnavailable,
                   fmt::format("another process has not let go of the session store for {} seconds",
                               kBusyMilliseconds / 1000));
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
      return error(ErrorCode::kIo,
                   "the session store cannot be opened for writing, or its folder cannot be "
                   "written into");
    case SQLITE_NOTADB:
      return error(ErrorCode::kCorrupt, kOtherFile);
    case SQLITE_TOOBIG:
      return error(ErrorCode::kInvalidArgument, "a turn of more than a gigabyte cannot be stored");
    case SQLITE_NOMEM:
      return error(ErrorCode::kIo, "out of memory");
    default:  // a schema, or a value, that is not as we made it
      return error(ErrorCode::kCorrupt,
                   fmt::format("the session store is damaged: {}", thrown.what()));
  }
}

}  // namespace fulmen
