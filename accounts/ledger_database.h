// The SQLite file behind a ledger.
#pragma once

#include "engine/database.h"

namespace fulmen {

extern const DatabaseKind kLedgerDatabase;

}  // namespace fulmen
