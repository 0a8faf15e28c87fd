#include "cli/accounts.h"

#include "base/console.h"

namespace fulmen {
namespace {

constexpr const char* kCurrency = "CNY";
// 1 and 8 a million tokens as published, a cached one a fifth of what it costs to read.
constexpr Prices kPublished = {.text = {1000}, .cached = {200}, .image = {1000}, .output = {8000}};

Status SetUp(Ledger& ledger) {
  const Status is_new = ledger.AddOrganisation("main", kCurrency);
  if (!is_new && is_new.error().code == ErrorCode::kConflict) return {};
  FULMEN_TRY(is_new);
  FULMEN_ASSIGN(const NewKey made,
                ledger.AddKey("main", {.name = "first", .scope = KeyScope::kAdmin}));
  Say("fulmen: a new ledger. Its administrator's key, which is shown this once:\n\n  {}\n\n",
      made.secret.Reveal());
  return {};
}

}  // namespace

Option& AddAccountsOption(Command& command, std::string& database) {
  return command
      .Add("--accounts DATABASE", database,
           "Keys, balances and usage: a file, or postgresql://USER@HOST/NAME")
      .Completes(Completion::kFiles);
}

Result<std::unique_ptr<Ledger>> OpenServersLedger(const std::string& database) {
  FULMEN_ASSIGN(std::unique_ptr<Ledger> ledger, Ledger::Open(database));
  FULMEN_TRY(SetUp(*ledger));
  return ledger;
}

Status AddPublishedPrices(Ledger& ledger, const std::vector<std::string>& models) {
  for (const std::string& model : models) {
    FULMEN_TRY(ledger.AddPrices(model, kCurrency, kPublished));
  }
  return {};
}

}  // namespace fulmen
