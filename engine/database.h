// SQLite files that hold what may not be lost: made, opened and refused here.
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/status.h"

namespace fulmen {

// What a database holds. The strings are literals.
struct DatabaseKind {
  const char* name;         // in errors, as in "session store"
  int32_t application_id;   // tells it from all others
  int version;              // of what a new one has: the schema with all migrations
  const char* schema;       // statements that make what the migrations start from
  const char* first_table;  // the one that is checked where the file is too large for a whole check
  bool exclusive = false;   // one process at a time may have it open; else several may
  // Statements, each of which brings an earlier version to the next one; the last makes `version`.
  std::span<const char* const> migrations = {};
};

// Opens the database at `path`, or makes it, with the folders above it, readable by its owner
// alone. One of an earlier version is brought to this one, in one transaction. What is of another
// kind, is damaged, or comes from a later version stays as it is and is an error. A commit is on
// the disk when it returns.
Result<std::unique_ptr<SQLite::Database>> OpenDatabase(const std::string& path,
                                                       const DatabaseKind& kind);

// What SQLite threw, as an error about the file at `path`.
Error DatabaseError(const std::string& path, const DatabaseKind& kind,
                    const SQLite::Exception& thrown);

}  // namespace fulmen
