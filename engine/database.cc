#include "engine/database.h"

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
// A database of this size is checked whole, in some 60 ms. Of a larger one only its first table:
// every row has its checksum, and SQLite tells of pages that make no sense once it comes to them.
constexpr int64_t kCheckedBytes = int64_t{64} << 20;

std::string OtherFile(const DatabaseKind& kind) {
  return fmt::format("a {} is expected, found another kind of file", kind.name);
}

// Makes an empty file that only its owner can read. One that is there already is never opened
// here: closing it would take away locks that this process has on it.
Status MakeFile(const std::string& path, const DatabaseKind& kind) {
  struct stat info {};
  if (stat(path.c_str(), &info) == 0) {
    constexpr int kSmallest = 512;  // SQLite takes a single byte for an empty database
    if (S_ISREG(info.st_mode) && (info.st_size == 0 || info.st_size >= kSmallest)) return {};
    if (S_ISREG(info.st_mode)) {
      return Fail(ErrorCode::kCorrupt, "{}: {}", path, OtherFile(kind));
    }
    return Fail(ErrorCode::kIo, "{}: a {} is a regular file, found {}", path, kind.name,
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

int FirstVersion(const DatabaseKind& kind) {
  return kind.version - static_cast<int>(kind.migrations.size());
}

// Its version, 0 where it has nothing in it yet; an error when it has what is not ours.
Result<int> Version(SQLite::Database& database, const std::string& path, const DatabaseKind& kind) {
  const SQLite::Transaction all_at_one_time(database);
  const int application = Pragma(database, "application_id");
  const int version = Pragma(database, "user_version");
  if (application == kind.application_id && version > kind.version) {
    return Fail(ErrorCode::kUnsupported,
                "{}: a {} of version {} is expected, found {}: a later Fulmen made it", path,
                kind.name, kind.version, version);
  }
  if (application == kind.application_id && version >= FirstVersion(kind)) return version;
  const bool empty = database.execAndGet("SELECT count(*) FROM sqlite_schema").getInt() == 0;
  if (application == 0 && version == 0 && empty) return 0;
  return Fail(ErrorCode::kCorrupt, "{}: a {} is expected, found another SQLite database", path,
              kind.name);
}

// Makes what is expected of a new database, or of one of an earlier version.
void Migrate(SQLite::Database& database, const DatabaseKind& kind) {
  SQLite::Transaction transaction(database, SQLite::TransactionBehavior::IMMEDIATE);
  int version = Pragma(database, "user_version");  // anew, since another may have been faster
  if (version >= kind.version) return;
  if (version == 0) {
    database.exec(kind.schema);
    version = FirstVersion(kind);
  }
  for (; version < kind.version; ++version) {
    database.exec(kind.migrations[static_cast<size_t>(version - FirstVersion(kind))]);
  }
  database.exec(fmt::format("PRAGMA application_id = {}; PRAGMA user_version = {}",
                            kind.application_id, kind.version));
  transaction.commit();
}

Status Check(SQLite::Database& database, const std::string& path, const DatabaseKind& kind) {
  const int64_t bytes =
      int64_t{Pragma(database, "page_count")} * int64_t{Pragma(database, "page_size")};
  const std::string check =
      fmt::format("PRAGMA integrity_check({})", bytes > kCheckedBytes ? kind.first_table : "1");
  const std::string found = database.execAndGet(check).getString();
  if (found == "ok") return {};
  return Fail(ErrorCode::kCorrupt, "{}: the {} is damaged: {}", path, kind.name,
              found.substr(0, found.find('\n')));
}

Status Prepare(SQLite::Database& database, const std::string& path, const DatabaseKind& kind) {
  database.setBusyTimeout(kBusyMilliseconds);
  database.exec("PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON");
  // Before the first look at a database in WAL mode: then no other connection can come in, and
  // SQLite before 3.51.3 is spared a race between one's commit and another's checkpoint.
  if (kind.exclusive) database.exec("PRAGMA locking_mode = EXCLUSIVE");
  FULMEN_ASSIGN(const int version, Version(database, path, kind));
  // Readers and a writer side by side, and a commit is on the disk when it returns.
  const std::string mode = database.execAndGet("PRAGMA journal_mode = WAL").getString();
  if (mode != "wal") {
    return Fail(ErrorCode::kUnsupported,
                "{}: its file system cannot hold a {}: SQLite's WAL mode does not work there", path,
                kind.name);
  }
  database.exec("PRAGMA synchronous = FULL");
  if (version != kind.version) Migrate(database, kind);
  return Check(database, path, kind);
}

}  // namespace

Result<std::unique_ptr<SQLite::Database>> OpenDatabase(const std::string& path,
                                                       const DatabaseKind& kind) {
  FULMEN_TRY(MakeFile(path, kind));
  // SQLite gives "file:..." and ":memory:" a meaning of their own.
  const std::string name = path.starts_with('/') ? path : "./" + path;
  const auto deadline =
      std::chrono::steady_clock::now() + std::chrono::milliseconds(kBusyMilliseconds);
  while (true) {
    try {
      auto database = std::make_unique<SQLite::Database>(name, SQLite::OPEN_READWRITE);
      FULMEN_TRY(Prepare(*database, path, kind));
      return database;
    } catch (const SQLite::Exception& thrown) {
      // Two processes that turn the same new file to WAL are told so without waiting.
      const bool busy = thrown.getErrorCode() == SQLITE_BUSY;
      if (!busy || std::chrono::steady_clock::now() > deadline) {
        return tl::unexpected<Error>(DatabaseError(path, kind, thrown));
      }
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

Error DatabaseError(const std::string& path, const DatabaseKind& kind,
                    const SQLite::Exception& thrown) {
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
                   fmt::format("another process has not let go of the {} for {} seconds", kind.name,
                               kBusyMilliseconds / 1000));
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
      return error(ErrorCode::kIo,
                   fmt::format("the {} cannot be opened for writing, or its folder cannot be "
                               "written into",
                               kind.name));
    case SQLITE_NOTADB:
      return error(ErrorCode::kCorrupt, OtherFile(kind));
    case SQLITE_TOOBIG:
      return error(ErrorCode::kInvalidArgument,
                   "more than a gigabyte cannot be stored in one piece");
    case SQLITE_NOMEM:
      return error(ErrorCode::kIo, "out of memory");
    default:  // a schema, or a value, that is not as we made it
      return error(ErrorCode::kCorrupt,
                   fmt::format("the {} is damaged: {}", kind.name, thrown.what()));
  }
}

}  // namespace fulmen
