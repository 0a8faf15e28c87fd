// The tables behind a ledger.
#pragma once

#include <string>
#include <vector>

#include "engine/database.h"

namespace fulmen {

extern const DatabaseKind kLedgerDatabase;

// The same in PostgreSQL's words: what makes the first version, and what brings each to the next.
std::vector<std::string> PostgresMigrations();

}  // namespace fulmen
