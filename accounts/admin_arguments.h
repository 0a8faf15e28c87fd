// The arguments of an administrator's operation.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>

#include "accounts/money.h"
#include "base/json.h"
#include "base/status.h"

namespace fulmen {

// Not thread safe. `json` must outlive it.
class AdminArguments {
 public:
  explicit AdminArguments(const Json& json) : json_(json) {}

  // Where there is none, an error; or nullopt, or the default.
  Result<std::string> Text(const std::string& name);
  Result<std::optional<std::string>> OptionalText(const std::string& name);
  Result<std::string> TextOr(const std::string& name, const std::string& otherwise);
  Result<std::optional<int64_t>> Number(const std::string& name);
  Result<std::optional<Money>> Amount(const std::string& name);
  // An error for what nobody asked for: a misspelt name would do nothing.
  Status CheckAllTaken() const;

 private:
  const Json* Take(const std::string& name);

  const Json& json_;
  std::set<std::string> taken_;
};

// Prices are told for a million tokens and kept for one.
Result<Money> PerToken(Money million, const std::string& name);
Result<Money> PerMillion(Money token);

}  // namespace fulmen
