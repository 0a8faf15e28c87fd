#include "accounts/organisation.h"

namespace fulmen {

Result<OrganisationInfo> FindOrganisation(Sql& sql, const std::string& name) {
  const SqlRows rows = sql.Query("SELECT currency, zone FROM organisations WHERE name = ?", name);
  if (rows.empty()) return Fail(ErrorCode::kNotFound, "there is no organisation \"{}\"", name);
  return OrganisationInfo{.name = name, .currency = rows[0].Text(0), .zone = rows[0].Text(1)};
}

Status CheckName(std::string_view what, const std::string& name) {
  constexpr size_t kLongest = 200;
  const bool fits = !name.empty() && name.size() <= kLongest;
  if (fits && name.find_first_of(std::string_view("\0\n\r\t", 4)) == std::string::npos) return {};
  return Fail(ErrorCode::kInvalidArgument, "{} should be one line of 1 to {} bytes, found {}", what,
              kLongest, name.empty() ? "nothing" : "something else");
}

}  // namespace fulmen
