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

// Opens a server's ledger. A new one gets an organisation and an administrator's key, which is told
// this once.
Result<std::unique_ptr<Ledger>> OpenServersLedger(const std::string& database);
// Models that have no price get the published ones.
Status AddPublishedPrices(Ledger& ledger, const std::vector<std::string>& models);

}  // namespace fulmen
