// SQLite under the ledger.
#pragma once

#include <memory>
#include <string>

#include "accounts/sql.h"
#include "engine/database.h"

namespace fulmen {

// Opens or makes the file at `path`. `kind` is exclusive: while it is open no other process has the
// file.
Result<std::unique_ptr<SqlConnection>> OpenSqlite(const std::string& path,
                                                  const DatabaseKind& kind);

}  // namespace fulmen
