// The ledger, as commands find it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "accounts/ledger.h"
#include "base/status.h"
#include "cli/command.h"

namespace fulmen {

// --accounts DATABASE
Option& AddAccountsOption(Command& command, std::string& database);

// Whether it is a database that several servers may share, rather than a file.
bool IsServerDatabase(const std::string& database);
// Opens the ledger, or makes one; the organisation "main" is always in it. `journal` is of use with
// a database of several servers; without it nothing may be asked of the ledger but administration.
Result<std::unique_ptr<Ledger>> OpenLedger(const std::string& database,
                                           const std::string& journal = "");
// Where that journal is unless it is said.
Result<std::string> JournalPath(const std::string& named);
// Models that have no price get the published ones. Where no administrator has a key, one is made
// and told this once.
Status PrepareForServer(Ledger& ledger, const std::vector<std::string>& models);

}  // namespace fulmen
