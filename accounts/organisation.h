// Statements about organisations that several parts of the ledger need.
#pragma once

#include <string>

#include "accounts/ledger.h"
#include "accounts/sql.h"

namespace fulmen {

// An error where there is none of this name.
Result<OrganisationInfo> FindOrganisation(Sql& sql, const std::string& name);

// An error where a name is not one line of reasonable length.
Status CheckName(std::string_view what, const std::string& name);

}  // namespace fulmen
