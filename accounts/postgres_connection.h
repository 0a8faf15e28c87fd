// PostgreSQL under the ledger, for several servers that share one.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "accounts/sql.h"

namespace fulmen {

// Whether `database` is such a connection string, and not a path.
bool IsPostgres(std::string_view database);

// Not connected yet. Connect() makes what is missing of the tables: `migrations` brings each
// version to the next. They are in a schema "fulmen" of the database.
std::unique_ptr<SqlConnection> MakePostgresConnection(const std::string& database,
                                                      std::vector<std::string> migrations);

// `database` with a time after which a server that does not answer counts as away.
std::string WithTimeouts(const std::string& database);

constexpr const char* kKeyChannel = "fulmen_keys";  // of Sql::AnnounceKeys

}  // namespace fulmen
