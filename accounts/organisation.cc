#include "accounts/organisation.h"

#include "base/printable.h"

namespace fulmen {

Result<OrganisationInfo> FindOrganisation(Sql& sql, const std::string& name) {
  const SqlRows rows = sql.Query("SELECT currency, zone FROM organisations WHERE name = ?", name);
  if (rows.empty()) return Fail(ErrorCode::kNotFound, "there is no organisation \"{}\"", name);
  return OrganisationInfo{.name = name, .currency = rows[0].Text(0), .zone = rows[0].Text(1)};
}

Status CheckName(std::string_view what, const std::string& name) {
  constexpr size_t kLongest = 200;
  if (name.empty() || name.size() > kLongest) {
    return Fail(ErrorCode::kInvalidArgument, "{} should have 1 to {} bytes, found {}", what,
                kLongest, name.size());
  }
  // What a terminal would not show as it is.
  if (Printable(name) == name) return {};
  return Fail(ErrorCode::kInvalidArgument,
              "{} should be text of one line without control characters, found \"{}\"", what,
              Printable(name));
}

}  // namespace fulmen
