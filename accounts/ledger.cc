#include "accounts/ledger.h"

#include <utility>

#include "accounts/day.h"
#include "accounts/organisation.h"

namespace fulmen {
namespace {

Status CheckPrices(const std::string& model, const std::string& currency, const Prices& prices) {
  FULMEN_TRY(CheckName("the name of a model", model));
  FULMEN_TRY(CheckName("a currency", currency));
  for (const Money price : {prices.text, prices.cached, prices.image, prices.output}) {
    if (price.nanos < 0) {
      return Fail(ErrorCode::kInvalidArgument, "a price should not be negative, found {}",
                  FormatMoney(price));
    }
  }
  return {};
}

bool InsertPrices(Sql& sql, const std::string& model, const std::string& currency,
                  const Prices& prices) {
  return sql.Execute(
             "INSERT INTO prices (model, currency, text, cached, image, output) "
             "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
             model, currency, prices.text.nanos, prices.cached.nanos, prices.image.nanos,
             prices.output.nanos) == 1;
}

}  // namespace

Status Ledger::AddOrganisation(const std::string& name, const std::string& currency,
                               const std::string& zone) {
  FULMEN_TRY(CheckName("the name of an organisation", name));
  FULMEN_TRY(CheckName("a currency", currency));
  FULMEN_TRY(CheckZone(zone));
  return committer_->Run([&](Sql& sql) -> Status {
    const int64_t added = sql.Execute(
        "INSERT INTO organisations (name, currency, zone) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        name, currency, zone);
    if (added == 1) return {};
    return Fail(ErrorCode::kConflict, "there is an organisation \"{}\" already", name);
  });
}

Result<std::vector<OrganisationInfo>> Ledger::Organisations() {
  using Infos = std::vector<OrganisationInfo>;
  return committer_->Get<Infos>([](Sql& sql) -> Result<Infos> {
    Infos all;
    for (const SqlRow& row :
         sql.Query("SELECT name, currency, zone FROM organisations ORDER BY name")) {
      all.push_back({.name = row.Text(0), .currency = row.Text(1), .zone = row.Text(2)});
    }
    return all;
  });
}

Status Ledger::SetPrices(const std::string& model, const std::string& currency,
                         const Prices& prices) {
  FULMEN_TRY(CheckPrices(model, currency, prices));
  return committer_->Run([&](Sql& sql) -> Status {
    if (InsertPrices(sql, model, currency, prices)) return {};
    sql.Execute(
        "UPDATE prices SET text = ?, cached = ?, image = ?, output = ? "
        "WHERE model = ? AND currency = ?",
        prices.text.nanos, prices.cached.nanos, prices.image.nanos, prices.output.nanos, model,
        currency);
    return {};
  });
}

Result<bool> Ledger::AddPrices(const std::string& model, const std::string& currency,
                               const Prices& prices) {
  FULMEN_TRY(CheckPrices(model, currency, prices));
  return committer_->Get<bool>(
      [&](Sql& sql) -> Result<bool> { return InsertPrices(sql, model, currency, prices); });
}

Result<std::vector<ModelPrices>> Ledger::AllPrices() {
  using PriceList = std::vector<ModelPrices>;
  return committer_->Get<PriceList>([](Sql& sql) -> Result<PriceList> {
    PriceList all;
    for (const SqlRow& row : sql.Query(
             "SELECT model, currency, text, cached, image, output FROM prices ORDER BY 1, 2")) {
      all.push_back({.model = row.Text(0), .currency = row.Text(1), .prices = ReadPrices(row, 2)});
    }
    return all;
  });
}

Result<bool> Ledger::Deposit(const std::string& organisation, Money amount,
                             const std::string& reference) {
  FULMEN_TRY(CheckName("a reference", reference));
  if (amount.nanos <= 0) {
    return Fail(ErrorCode::kInvalidArgument, "a deposit should be more than 0, found {}",
                FormatMoney(amount));
  }
  return committer_->Get<bool>(
      [&](Sql& sql) -> Result<bool> {
        FULMEN_TRY(FindOrganisation(sql, organisation));
        LockFunds(sql, organisation);
        const int64_t added = sql.Execute(
            "INSERT INTO deposits (reference, organisation, amount, at) VALUES (?, ?, ?, ?) "
            "ON CONFLICT DO NOTHING",
            reference, organisation, amount.nanos, Now(sql));
        if (added == 0) {
          const SqlRow same = sql.Query(
              "SELECT organisation, amount FROM deposits WHERE reference = ?", reference)[0];
          const Money before{same.Number(1)};
          if (same.Text(0) == organisation && before == amount) return false;
          return Fail(ErrorCode::kConflict,
                      "the reference {} is that of a deposit of {} for \"{}\" already", reference,
                      FormatMoney(before), same.Text(0));
        }
        const SqlRow row =
            sql.Query("SELECT balance FROM organisations WHERE name = ?", organisation)[0];
        FULMEN_ASSIGN(const Money balance, Add(Money{row.Number(0)}, amount));
        sql.Execute("UPDATE organisations SET balance = ? WHERE name = ?", balance.nanos,
                    organisation);
        return true;
      },
      organisation);
}

Result<std::vector<DepositInfo>> Ledger::Deposits(const std::string& organisation) {
  using Infos = std::vector<DepositInfo>;
  return committer_->Get<Infos>([&](Sql& sql) -> Result<Infos> {
    FULMEN_TRY(FindOrganisation(sql, organisation));
    Infos all;
    for (const SqlRow& row : sql.Query(
             "SELECT reference, amount, at FROM deposits WHERE organisation = ? ORDER BY at, 1",
             organisation)) {
      all.push_back({.reference = row.Text(0), .amount = {row.Number(1)}, .at = row.Number(2)});
    }
    return all;
  });
}

Result<Balance> Ledger::BalanceOf(const std::string& organisation) {
  return committer_->Get<Balance>([&](Sql& sql) -> Result<Balance> {
    FULMEN_TRY(FindOrganisation(sql, organisation));
    const SqlRow row = sql.Query("SELECT currency, balance, held FROM organisations WHERE name = ?",
                                 organisation)[0];
    return Balance{row.Text(0), Money{row.Number(1)}, Money{row.Number(2)}};
  });
}

}  // namespace fulmen
