// Operations on a ledger, from the command line: on its database, or through the server that has it
// open.
#pragma once

#include <string>

#include "base/json.h"
#include "base/status.h"
#include "cli/command.h"

namespace fulmen {

struct AdminTarget {
  std::string accounts;  // the database
  std::string url;       // or the server
  std::string key_file;
};

// --accounts, --url and --key-file; and that one of them or of their variables is there.
void AddAdminTarget(Command& command, AdminTarget& target);

// `operation` is one of accounts/admin.h. `makes`: a database that is not there yet is made.
Result<Json> CallAdmin(const AdminTarget& target, const std::string& operation,
                       const Json& arguments, bool makes = false);

}  // namespace fulmen
