// The SQLite file behind a session store: made, opened and refused here.
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <memory>
#include <string>

#include "base/status.h"

namespace fulmen {

// Opens the database at `path`, or makes it, with the folders above it, readable by its owner
// alone. What is no session store, is damaged, or comes from a later version stays as it is and is
// an error.
Result<std::unique_ptr<SQLite::Database>> OpenSessionDatabase(const std::string& path);

// What SQLite threw, as an error about the file at `path`.
Error SessionDatabaseError(const std::string& path, const SQLite::Exception& thrown);

}  // namespace fulmen
