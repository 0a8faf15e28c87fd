#include "cli/accounts.h"

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "accounts/system_time.h"
#include "base/console.h"
#include "base/printable.h"
#include "cli/state_folder.h"

namespace fulmen {
namespace {

constexpr const char* kOrganisation = "main";
constexpr const char* kCurrency = "CNY";
// 1 and 8 a million tokens as published, a cached one a fifth of what it costs to read.
constexpr Prices kPublished = {.text = {1000}, .cached = {200}, .image = {1000}, .output = {8000}};

Result<bool> HasAdministrator(Ledger& ledger) {
  FULMEN_ASSIGN(const auto organisations, ledger.Organisations());
  for (const OrganisationInfo& each : organisations) {
    FULMEN_ASSIGN(const std::vector<Key> keys, ledger.Keys(each.name));
    const bool one = std::ranges::any_of(keys, [](const Key& key) {
      const bool expired = key.settings.expires != 0 && key.settings.expires <= SystemTime();
      return key.settings.scope == KeyScope::kAdmin && key.revoked == 0 && !expired;
    });
    if (one) return true;
  }
  return false;
}

}  // namespace

Option& AddAccountsOption(Command& command, std::string& database) {
  return command
      .Add("--accounts DATABASE", database,
           "Keys, balances and usage: a file, or postgresql://USER@HOST/NAME")
      .Completes(Completion::kFiles);
}

bool IsServerDatabase(const std::string& database) {
  return database.starts_with("postgresql://") || database.starts_with("postgres://");
}

Result<std::string> JournalPath(const std::string& named) {
  if (!named.empty()) return named;
  std::string path = StatePath("accounts.journal");
  if (path.empty()) {
    return Fail(ErrorCode::kNotFound,
                "there is no home folder to keep a journal in: name a file with "
                "--accounts-journal");
  }
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), error);
  return path;
}

Result<std::unique_ptr<Ledger>> OpenLedger(const std::string& database,
                                           const std::string& journal) {
  std::error_code error;
  const bool is_new = !IsServerDatabase(database) && !std::filesystem::exists(database, error);
  FULMEN_ASSIGN(std::unique_ptr<Ledger> ledger,
                Ledger::Open({.database = database, .journal = journal}));
  if (is_new) Say("fulmen: a new ledger was made, {}\n", Printable(database));
  const Status added = ledger->AddOrganisation(kOrganisation, kCurrency);
  if (!added && added.error().code != ErrorCode::kConflict) {
    return tl::unexpected<Error>(added.error());
  }
  return ledger;
}

Status PrepareForServer(Ledger& ledger, const std::vector<std::string>& models) {
  for (const std::string& model : models) {
    FULMEN_TRY(ledger.AddPrices(model, kCurrency, kPublished));
  }
  FULMEN_ASSIGN(const bool has_one, HasAdministrator(ledger));
  if (has_one) return {};
  FULMEN_ASSIGN(const NewKey made,
                ledger.AddKey(kOrganisation, {.name = "first", .scope = KeyScope::kAdmin}));
  Say("fulmen: an administrator's key was made, and is shown this once:\n\n  {}\n\n",
      made.secret.Reveal());
  return {};
}

}  // namespace fulmen
