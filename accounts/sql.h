// A database that statements with their values bound are put to: nothing from outside gets into the
// text of one. The ledger's statements are written once, for SQLite and for PostgreSQL.
#pragma once

#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/status.h"

namespace fulmen {

struct Blob {
  std::string bytes;
};

using SqlValue = std::variant<int64_t, std::string, Blob>;

// Of a result, none of whose columns is NULL.
class SqlRow {
 public:
  explicit SqlRow(std::vector<SqlValue> values) : values_(std::move(values)) {}
  int64_t Number(size_t column) const { return std::get<int64_t>(values_.at(column)); }
  const std::string& Text(size_t column) const { return std::get<std::string>(values_.at(column)); }
  const std::string& Bytes(size_t column) const { return std::get<Blob>(values_.at(column)).bytes; }

 private:
  std::vector<SqlValue> values_;
};

using SqlRows = std::vector<SqlRow>;

// What a statement throws, in place of what its library does. Committer makes a Status of it.
struct SqlFailure : std::exception {
  enum class Kind : uint8_t {
    kStatement,  // it cannot be done
    kAgain,      // another transaction won against this one: the whole of it may be repeated
    kBusy,       // another one has held what this one needs for too long
    kLost,       // the connection is gone
  };

  SqlFailure(Kind what, Error why) : kind(what), error(std::move(why)) {}
  const char* what() const noexcept override { return error.message.c_str(); }

  Kind kind;
  Error error;
};

// One connection, for one thread.
class Sql {
 public:
  Sql() = default;
  virtual ~Sql() = default;
  Sql(const Sql&) = delete;
  Sql& operator=(const Sql&) = delete;

  // `text` has a ? for each value. FOR UPDATE at its end locks the rows for what follows, where
  // others may write at the same time. Returns how many rows it changed.
  template <class... Values>
  int64_t Execute(const std::string& text, Values&&... values) {
    return ExecuteWith(text, {Value(std::forward<Values>(values))...});
  }

  template <class... Values>
  SqlRows Query(const std::string& text, Values&&... values) {
    return QueryWith(text, {Value(std::forward<Values>(values))...});
  }

  // Nanoseconds since 1970, by the clock that all servers of this database share.
  virtual int64_t Now() = 0;
  // Tells other servers of this database, once it is committed, that keys have changed.
  virtual void AnnounceKeys() {}

 private:
  static SqlValue Value(int64_t value) { return value; }
  static SqlValue Value(std::string value) { return value; }
  static SqlValue Value(Blob value) { return value; }
  virtual int64_t ExecuteWith(const std::string& text, const std::vector<SqlValue>& values) = 0;
  virtual SqlRows QueryWith(const std::string& text, const std::vector<SqlValue>& values) = 0;
};

// A copy of a database that goes on being used.
class SqlBackup {
 public:
  virtual ~SqlBackup() = default;
  // Copies some more. True once the copy is whole, and there under its name.
  virtual Result<bool> Step() = 0;
};

// What the committer's thread has.
class SqlConnection : public Sql {
 public:
  // Where there is none: a connection to a database that has all its tables.
  virtual Status Connect() { return {}; }
  // After Connect, where Commit threw kLost before it: whether it was done all the same.
  virtual bool WasCommitted() { return false; }
  // From any thread: ends a wait for a database that does not answer.
  virtual void Interrupt() {}

  virtual void Begin() = 0;
  // What was done since Begin, or the last of these, stays or goes alone.
  virtual void Keep() = 0;
  virtual void Drop() = 0;
  virtual void Commit() = 0;
  // After anything was thrown. A connection that is lost is closed.
  virtual void RollBack() = 0;
  // Between transactions.
  virtual Result<std::unique_ptr<SqlBackup>> StartBackup(const std::string& path) = 0;
};

}  // namespace fulmen
