#include "accounts/admin.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <filesystem>
#include <limits>

#include "accounts/admin_arguments.h"
#include "accounts/day.h"
#include "base/check.h"
#include "base/printable.h"
#include "base/rfc3339.h"

namespace fulmen {
namespace {

constexpr const char* kMainOrganisation = "main";
constexpr const char* kMainCurrency = "CNY";

Json TimeJson(int64_t nanoseconds) {
  constexpr int64_t kSecond = 1'000'000'000;
  if (nanoseconds == 0) return nullptr;
  return Rfc3339(nanoseconds / kSecond);
}

Json ListJson(Json data) { return {{"object", "list"}, {"data", std::move(data)}}; }

Result<OrganisationInfo> FindOrganisation(Ledger& ledger, AdminArguments& arguments) {
  FULMEN_ASSIGN(const std::string name, arguments.TextOr("organisation", kMainOrganisation));
  FULMEN_ASSIGN(const auto all, ledger.Organisations());
  const auto found = std::ranges::find(all, name, &OrganisationInfo::name);
  if (found != all.end()) return *found;
  return Fail(ErrorCode::kNotFound, "there is no organisation \"{}\"", name);
}

Result<Key> FindKey(Ledger& ledger, const std::string& id) {
  FULMEN_ASSIGN(const auto organisations, ledger.Organisations());
  for (const OrganisationInfo& each : organisations) {
    FULMEN_ASSIGN(const std::vector<Key> keys, ledger.Keys(each.name));
    const auto found = std::ranges::find(keys, id, &Key::id);
    if (found != keys.end()) return *found;
  }
  return Fail(ErrorCode::kNotFound, "there is no key {}", id);
}

// A day of the organisation, as 2026-11-27: its start, or its end.
Result<int64_t> TimeOf(AdminArguments& arguments, const std::string& name,
                       const OrganisationInfo& organisation, bool end, int64_t otherwise) {
  FULMEN_ASSIGN(const auto text, arguments.OptionalText(name));
  if (!text) return otherwise;
  const Result<Day> day = DayNamed(organisation.zone, *text);
  if (!day) return Fail(ErrorCode::kInvalidArgument, "{}: {}", name, day.error().message);
  return end ? day->end : day->start;
}

struct Period {
  int64_t from = 0;
  int64_t to = 0;
};
Result<Period> PeriodOf(AdminArguments& arguments, const OrganisationInfo& organisation) {
  constexpr int64_t kAlways = std::numeric_limits<int64_t>::max();
  Period period;
  FULMEN_ASSIGN(period.from, TimeOf(arguments, "from", organisation, false, 0));
  FULMEN_ASSIGN(period.to, TimeOf(arguments, "to", organisation, true, kAlways));
  return period;
}

// What is not given stays as it is.
Status ReadLimits(AdminArguments& arguments, KeyLimits& limits) {
  FULMEN_ASSIGN(const auto requests, arguments.Number("requests_per_minute"));
  FULMEN_ASSIGN(const auto tokens, arguments.Number("tokens_per_minute"));
  FULMEN_ASSIGN(const auto concurrent, arguments.Number("concurrent"));
  FULMEN_ASSIGN(const auto spend, arguments.Amount("spend_per_day"));
  limits.requests_per_minute = requests.value_or(limits.requests_per_minute);
  limits.tokens_per_minute = tokens.value_or(limits.tokens_per_minute);
  limits.concurrent = concurrent.value_or(limits.concurrent);
  limits.spend_per_day = spend.value_or(limits.spend_per_day);
  return {};
}

Result<Json> ListOrganisations(Ledger& ledger, const Json& json) {
  FULMEN_TRY(AdminArguments(json).CheckAllTaken());
  FULMEN_ASSIGN(const auto organisations, ledger.Organisations());
  Json data = Json::array();
  for (const OrganisationInfo& each : organisations) {
    FULMEN_ASSIGN(const Balance balance, ledger.BalanceOf(each.name));
    data.push_back({{"name", each.name},
                    {"currency", each.currency},
                    {"time_zone", each.zone},
                    {"balance", FormatMoney(balance.balance)},
                    {"held", FormatMoney(balance.held)}});
  }
  return ListJson(std::move(data));
}

Result<Json> AddOrganisation(Ledger& ledger, const Json& json) {
  AdminArguments arguments(json);
  FULMEN_ASSIGN(const std::string name, arguments.Text("name"));
  FULMEN_ASSIGN(const std::string currency, arguments.TextOr("currency", kMainCurrency));
  FULMEN_ASSIGN(const std::string zone, arguments.TextOr("time_zone", "UTC"));
  FULMEN_TRY(arguments.CheckAllTaken());
  FULMEN_TRY(ledger.AddOrganisation(name, currency, zone));
  return Json{{"name", name}, {"currency", currency}, {"time_zone", zone}};
}

Result<Json> ListKeys(Ledger& ledger, const Json& json) {
  AdminArguments arguments(json);
  FULMEN_ASSIGN(const OrganisationInfo organisation, FindOrganisation(ledger, arguments));
  FULMEN_TRY(arguments.CheckAllTaken());
  FULMEN_ASSIGN(const std::vector<Key> keys, ledger.Keys(organisation.name));
  Json data = Json::array();
  for (const Key& key : keys) data.push_back(KeyJson(key));
  return ListJson(std::move(data));
}

Result<Json> CreateKey(Ledger& ledger, const Json& json) {
  AdminArguments arguments(json);
  FULMEN_ASSIGN(const OrganisationInfo organisation, FindOrganisation(ledger, arguments));
  KeySettings settings;
  FULMEN_ASSIGN(settings.name, arguments.Text("name"));
  FULMEN_ASSIGN(const std::string scope, arguments.TextOr("scope", "inference"));
  if (scope != "inference" && scope != "admin") {
    return Fail(ErrorCode::kInvalidArgument, "scope: expected inference or admin, found \"{}\"",
                scope);
  }
  settings.scope = scope == "admin" ? KeyScope::kAdmin : KeyScope::kInference;
  // It is good until its last day has ended.
  FULMEN_ASSIGN(settings.expires, TimeOf(arguments, "expires", organisation, /*end=*/true, 0));
  FULMEN_TRY(ReadLimits(arguments, settings.limits));
  FULMEN_TRY(arguments.CheckAllTaken());
  FULMEN_ASSIGN(const NewKey made, ledger.AddKey(organisation.name, settings));
  Json answer = KeyJson(made.key);
  answer["secret"] = made.secret.Reveal();
  return answer;
}

Result<Json> RevokeKey(Ledger& ledger, const Json& json) {
  AdminArguments arguments(json);
  FULMEN_ASSIGN(const std::string id, arguments.Text("id"));
  FULMEN_TRY(arguments.CheckAllTaken());
  FULMEN_TRY(ledger.RevokeKey(id));
  return Json{{"id", id}, {"revoked", true}};
}

Result<Json> LimitKey(Ledger& ledger, const Json& json) {
  AdminArguments arguments(json);
  FULMEN_ASSIGN(const std::string id, arguments.Text("id"));
  FULMEN_ASSIGN(Key key, FindKey(ledger, id));
  FULMEN_TRY(ReadLimits(arguments, key.settings.limits));
  FULMEN_TRY(arguments.CheckAllTaken());
  FULMEN_TRY(ledger.SetLimits(id, key.settings.limits));
  return KeyJson(key);
}

Result<Json> ListDeposits(Ledger& ledger, const Json& json) {
  AdminArguments arguments(json);
  FULMEN_ASSIGN(const OrganisationInfo organisation, FindOrganisation(ledger, arguments));
  FULMEN_TRY(arguments.CheckAllTaken());
  FULMEN_ASSIGN(const auto deposits, ledger.Deposits(organisation.name));
  Json data = Json::array();
  for (const auto& deposit : deposits) {
    data.push_back({{"reference", deposit.reference},
                    {"amount", FormatMoney(deposit.amount)},
                    {"at", TimeJson(deposit.at)}});
  }
  return ListJson(std::move(data));
}

Result<Json> AddDeposit(Ledger& ledger, const Json& json) {
  AdminArguments arguments(json);
  FULMEN_ASSIGN(const OrganisationInfo organisation, FindOrganisation(ledger, arguments));
  FULMEN_ASSIGN(const std::optional<Money> amount, arguments.Amount("amount"));
  FULMEN_ASSIGN(const std::string reference, arguments.Text("reference"));
  FULMEN_TRY(arguments.CheckAllTaken());
  if (!amount) return Fail(ErrorCode::kInvalidArgument, "amount is expected, found none");
  FULMEN_ASSIGN(const bool added, ledger.Deposit(organisation.name, *amount, reference));
  FULMEN_ASSIGN(const Balance balance, ledger.BalanceOf(organisation.name));
  return Json{{"added", added},
              {"reference", reference},
              {"balance", FormatMoney(balance.balance)},
              {"currency", balance.currency}};
}

Result<Json> ShowBalance(Ledger& ledger, const Json& json) {
  AdminArguments arguments(json);
  FULMEN_ASSIGN(const OrganisationInfo organisation, FindOrganisation(ledger, arguments));
  FULMEN_TRY(arguments.CheckAllTaken());
  FULMEN_ASSIGN(const Balance balance, ledger.BalanceOf(organisation.name));
  return Json{{"organisation", organisation.name},
              {"balance", FormatMoney(balance.balance)},
              {"held", FormatMoney(balance.held)},
              {"currency", balance.currency}};
}

Result<Json> PricesJson(const ModelPrices& model) {
  Json line = {{"model", model.model}, {"currency", model.currency}};
  const std::pair<const char*, Money> prices[] = {{"input", model.prices.text},
                                                  {"cached", model.prices.cached},
                                                  {"image", model.prices.image},
                                                  {"output", model.prices.output}};
  for (const auto& [name, price] : prices) {
    FULMEN_ASSIGN(const Money million, PerMillion(price));
    line[name] = FormatMoney(million);
  }
  return line;
}

Result<Json> ListPrices(Ledger& ledger, const Json& json) {
  FULMEN_TRY(AdminArguments(json).CheckAllTaken());
  FULMEN_ASSIGN(const auto all, ledger.AllPrices());
  Json data = Json::array();
  for (const ModelPrices& each : all) {
    FULMEN_ASSIGN(Json line, PricesJson(each));
    data.push_back(std::move(line));
  }
  return ListJson(std::move(data));
}

Result<Json> SetPrices(Ledger& ledger, const Json& json) {
  AdminArguments arguments(json);
  FULMEN_ASSIGN(const std::string model, arguments.Text("model"));
  FULMEN_ASSIGN(const std::string currency, arguments.TextOr("currency", kMainCurrency));
  Prices prices;
  // A cached token, and one of an image, cost what they did, or else what others of the input do.
  FULMEN_ASSIGN(const auto all, ledger.AllPrices());
  const auto before = std::ranges::find_if(all, [&](const ModelPrices& each) {
    return each.model == model && each.currency == currency;
  });
  const bool had = before != all.end();
  const auto price = [&](const char* name, std::optional<Money> otherwise) -> Result<Money> {
    FULMEN_ASSIGN(const std::optional<Money> million, arguments.Amount(name));
    if (million) return PerToken(*million, name);
    if (otherwise) return *otherwise;
    return Fail(ErrorCode::kInvalidArgument, "{} is expected, found none", name);
  };
  FULMEN_ASSIGN(prices.text, price("input", std::nullopt));
  FULMEN_ASSIGN(prices.output, price("output", std::nullopt));
  FULMEN_ASSIGN(prices.cached, price("cached", had ? before->prices.cached : prices.text));
  FULMEN_ASSIGN(prices.image, price("image", had ? before->prices.image : prices.text));
  FULMEN_TRY(arguments.CheckAllTaken());
  FULMEN_TRY(ledger.SetPrices(model, currency, prices));
  return PricesJson({.model = model, .currency = currency, .prices = prices});
}

Json TokensJson(const TokenCounts& tokens) {
  return {{"prompt_tokens", tokens.prompt}, {"text_tokens", tokens.text},
          {"cached_tokens", tokens.cached}, {"image_tokens", tokens.image},
          {"output_tokens", tokens.output}, {"reasoning_tokens", tokens.reasoning}};
}

Result<Json> ShowUsage(Ledger& ledger, const Json& json) {
  AdminArguments arguments(json);
  FULMEN_ASSIGN(const OrganisationInfo organisation, FindOrganisation(ledger, arguments));
  FULMEN_ASSIGN(const std::string by, arguments.TextOr("by", "day"));
  FULMEN_ASSIGN(const Period period, PeriodOf(arguments, organisation));
  FULMEN_TRY(arguments.CheckAllTaken());
  if (by != "day" && by != "key" && by != "model") {
    return Fail(ErrorCode::kInvalidArgument, "by: expected day, key or model, found \"{}\"", by);
  }
  const UsageGroup group = by == "day"   ? UsageGroup::kDay
                           : by == "key" ? UsageGroup::kKey
                                         : UsageGroup::kModel;
  FULMEN_ASSIGN(const auto lines, ledger.Usage(organisation.name, group, period.from, period.to));
  Json data = Json::array();
  for (const UsageLine& line : lines) {
    Json one = {{by, line.name}, {"requests", line.requests}};
    one.update(TokensJson(line.tokens));
    one["charge"] = FormatMoney(line.charge);
    data.push_back(std::move(one));
  }
  return Json{{"object", "list"},
              {"by", by},
              {"currency", organisation.currency},
              {"data", std::move(data)}};
}

Result<Json> ListRows(Ledger& ledger, const Json& json) {
  AdminArguments arguments(json);
  FULMEN_ASSIGN(const OrganisationInfo organisation, FindOrganisation(ledger, arguments));
  FULMEN_ASSIGN(const Period period, PeriodOf(arguments, organisation));
  constexpr int64_t kMostRows = 1000;
  FULMEN_ASSIGN(const auto limit, arguments.Number("limit"));
  FULMEN_ASSIGN(const std::string after, arguments.TextOr("after", ""));
  FULMEN_TRY(arguments.CheckAllTaken());
  const int64_t most = std::clamp<int64_t>(limit.value_or(kMostRows), 1, kMostRows);
  FULMEN_ASSIGN(const auto rows,
                ledger.Rows(organisation.name, period.from, period.to, most, after));
  Json data = Json::array();
  for (const UsageRow& row : rows) {
    Json one = {{"request", row.request},       {"key", row.key},
                {"model", row.model},           {"started", TimeJson(row.started)},
                {"ended", TimeJson(row.ended)}, {"outcome", row.outcome}};
    one.update(TokensJson(row.tokens));
    const std::pair<const char*, Money> prices[] = {{"text_price", row.prices.text},
                                                    {"cached_price", row.prices.cached},
                                                    {"image_price", row.prices.image},
                                                    {"output_price", row.prices.output}};
    for (const auto& [name, price] : prices) one[name] = FormatMoney(price);
    one["charge"] = FormatMoney(row.charge);
    data.push_back(std::move(one));
  }
  return Json{{"object", "list"},
              {"currency", organisation.currency},
              {"has_more", std::ssize(rows) == most},
              {"data", std::move(data)}};
}

// Beside the ledger and nowhere else: who has an administrator's key need have no other file.
Result<Json> Backup(Ledger& ledger, const Json& json) {
  AdminArguments arguments(json);
  FULMEN_ASSIGN(const std::string name, arguments.Text("name"));
  FULMEN_TRY(arguments.CheckAllTaken());
  // SQLite has files beside it whose names go on from the ledger's own.
  const std::filesystem::path path = ledger.database();
  const bool plain = std::ranges::all_of(name, [](unsigned char letter) {
    return std::isalnum(letter) != 0 || letter == '-' || letter == '_' || letter == '.';
  });
  constexpr size_t kLongest = 200;
  if (!plain || name.empty() || name.size() > kLongest || name.front() == '.' ||
      name.starts_with(path.filename().string() + "-")) {
    return Fail(ErrorCode::kInvalidArgument,
                "name: expected the name of a file beside the ledger, of letters, digits, -, _ and "
                "., found \"{}\"",
                Printable(name));
  }
  FULMEN_TRY(ledger.Backup(path.parent_path() / name));
  return Json{{"name", name}};
}

constexpr std::array kOperations = {
    AdminOperation{"organisations", "GET", "/admin/organisations", "Who has keys and balances", "",
                   "OrganisationList", ListOrganisations},
    AdminOperation{"organisations.add", "POST", "/admin/organisations", "Add one",
                   "NewOrganisation", "AddedOrganisation", AddOrganisation},
    AdminOperation{"keys", "GET", "/admin/keys", "The keys of an organisation", "OfOrganisation",
                   "KeyList", ListKeys},
    AdminOperation{"keys.create", "POST", "/admin/keys", "Make a key, which is shown this once",
                   "NewKey", "MadeKey", CreateKey},
    AdminOperation{"keys.revoke", "POST", "/admin/keys/{id}/revoke", "Let it in no more", "",
                   "RevokedKey", RevokeKey},
    AdminOperation{"keys.limit", "POST", "/admin/keys/{id}/limits", "Change its limits",
                   "KeyLimits", "Key", LimitKey},
    AdminOperation{"balance", "GET", "/admin/balance", "What an organisation has left",
                   "OfOrganisation", "Balance", ShowBalance},
    AdminOperation{"deposits", "GET", "/admin/deposits", "What was paid in", "OfOrganisation",
                   "DepositList", ListDeposits},
    AdminOperation{"deposits.add", "POST", "/admin/deposits", "Pay in, once for a reference",
                   "NewDeposit", "AddedDeposit", AddDeposit},
    AdminOperation{"prices", "GET", "/admin/prices", "Of a million tokens of each model", "",
                   "PricesList", ListPrices},
    AdminOperation{"prices.set", "POST", "/admin/prices", "Set those of a model", "NewPrices",
                   "Prices", SetPrices},
    AdminOperation{"backup", "POST", "/admin/backup", "Copy the ledger while it is in use",
                   "NewBackup", "Backup", Backup},
    AdminOperation{"usage", "GET", "/admin/usage", "What was used, by day, key or model",
                   "UsageQuery", "UsageList", ShowUsage},
    AdminOperation{"usage.rows", "GET", "/admin/usage/rows", "Every request, with its prices",
                   "UsageRowQuery", "UsageRowList", ListRows},
};

}  // namespace

Json KeyJson(const Key& key) {
  const KeyLimits& limits = key.settings.limits;
  return {{"id", key.id},
          {"organisation", key.organisation},
          {"name", key.settings.name},
          {"scope", KeyScopeName(key.settings.scope)},
          {"created", TimeJson(key.created)},
          {"expires", TimeJson(key.settings.expires)},
          {"revoked", TimeJson(key.revoked)},
          {"requests_per_minute", limits.requests_per_minute},
          {"tokens_per_minute", limits.tokens_per_minute},
          {"concurrent", limits.concurrent},
          {"spend_per_day", FormatMoney(limits.spend_per_day)}};
}

std::span<const AdminOperation> AdminOperations() { return kOperations; }

const AdminOperation& FindAdminOperation(std::string_view name) {
  const auto* found =
      std::ranges::find(kOperations, name, [](const AdminOperation& each) { return each.name; });
  FULMEN_CHECK(found != kOperations.end(), "there is no operation {}", name);
  return *found;
}

}  // namespace fulmen
