#include "accounts/ledger.h"

#include <chrono>
#include <utility>

#include "accounts/ledger_database.h"
#include "accounts/query.h"

namespace fulmen {
namespace {

constexpr const char* kKeyColumns =
    "SELECT id, organisation, name, scope, created, expires, revoked, requests_per_minute, "
    "tokens_per_minute, concurrent, hash FROM keys ";
constexpr int kHashColumn = 10;

Key ReadKey(SQLite::Statement& row) {
  KeySettings settings;
  settings.name = row.getColumn(2).getString();
  const std::string scope = row.getColumn(3).getString();
  settings.scope =
      scope == KeyScopeName(KeyScope::kAdmin) ? KeyScope::kAdmin : KeyScope::kInference;
  settings.expires = row.getColumn(5).getInt64();
  settings.limits = {.requests_per_minute = row.getColumn(7).getInt64(),
                     .tokens_per_minute = row.getColumn(8).getInt64(),
                     .concurrent = row.getColumn(9).getInt64()};
  return {.id = row.getColumn(0).getString(),
          .organisation = row.getColumn(1).getString(),
          .settings = std::move(settings),
          .created = row.getColumn(4).getInt64(),
          .revoked = row.getColumn(6).getInt64()};
}

Status CheckName(std::string_view what, const std::string& name) {
  constexpr size_t kLongest = 200;
  const bool fits = !name.empty() && name.size() <= kLongest;
  if (fits && name.find_first_of(std::string_view("\0\n\r\t", 4)) == std::string::npos) return {};
  return Fail(ErrorCode::kInvalidArgument, "{} should be one line of 1 to {} bytes, found {}", what,
              kLongest, name.empty() ? "nothing" : "something else");
}

Status CheckOrganisation(SQLite::Database& database, const std::string& name) {
  auto found = Query(database, "SELECT 1 FROM organisations WHERE name = ?", name);
  if (found.executeStep()) return {};
  return Fail(ErrorCode::kNotFound, "there is no organisation \"{}\"", name);
}

}  // namespace

int64_t SystemTime() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

Result<std::unique_ptr<Ledger>> Ledger::Open(const std::string& path, Clock clock) {
  FULMEN_ASSIGN(std::unique_ptr<Committer> committer, Committer::Open(path, kLedgerDatabase));
  std::unique_ptr<Ledger> ledger(new Ledger(std::move(committer), std::move(clock)));
  FULMEN_TRY(ledger->EndCrashed());
  FULMEN_TRY(ledger->LoadKeys());
  return ledger;
}

Status Ledger::LoadKeys() {
  return committer_->Run([&](SQLite::Database& database) -> Status {
    auto rows = Query(database, kKeyColumns);
    while (rows.executeStep()) keys_.Put(rows.getColumn(kHashColumn).getString(), ReadKey(rows));
    return {};
  });
}

Status Ledger::AddOrganisation(const std::string& name, const std::string& currency) {
  FULMEN_TRY(CheckName("the name of an organisation", name));
  FULMEN_TRY(CheckName("a currency", currency));
  return committer_->Run([&](SQLite::Database& database) -> Status {
    const int added =
        Execute(database, "INSERT OR IGNORE INTO organisations (name, currency) VALUES (?, ?)",
                name, currency);
    if (added == 1) return {};
    return Fail(ErrorCode::kConflict, "there is an organisation \"{}\" already", name);
  });
}

Status Ledger::SetPrices(const std::string& model, const std::string& currency,
                         const Prices& prices) {
  FULMEN_TRY(CheckName("the name of a model", model));
  FULMEN_TRY(CheckName("a currency", currency));
  for (const Money price : {prices.text, prices.cached, prices.image, prices.output}) {
    if (price.nanos < 0) {
      return Fail(ErrorCode::kInvalidArgument, "a price should not be negative, found {}",
                  FormatMoney(price));
    }
  }
  return committer_->Run([&](SQLite::Database& database) -> Status {
    Execute(database, "INSERT OR REPLACE INTO prices VALUES (?, ?, ?, ?, ?, ?)", model, currency,
            prices.text.nanos, prices.cached.nanos, prices.image.nanos, prices.output.nanos);
    return {};
  });
}

Result<bool> Ledger::Deposit(const std::string& organisation, Money amount,
                             const std::string& reference) {
  FULMEN_TRY(CheckName("a reference", reference));
  if (amount.nanos <= 0) {
    return Fail(ErrorCode::kInvalidArgument, "a deposit should be more than 0, found {}",
                FormatMoney(amount));
  }
  return committer_->Get<bool>([&](SQLite::Database& database) -> Result<bool> {
    FULMEN_TRY(CheckOrganisation(database, organisation));
    auto same =
        Query(database, "SELECT organisation, amount FROM deposits WHERE reference = ?", reference);
    if (same.executeStep()) {
      const Money before{same.getColumn(1).getInt64()};
      const std::string owner = same.getColumn(0).getString();
      if (owner == organisation && before == amount) return false;
      return Fail(ErrorCode::kConflict,
                  "the reference {} is that of a deposit of {} for \"{}\" already", reference,
                  FormatMoney(before), owner);
    }
    auto now = Query(database, "SELECT balance FROM organisations WHERE name = ?", organisation);
    now.executeStep();
    FULMEN_ASSIGN(const Money balance, Add(Money{now.getColumn(0).getInt64()}, amount));
    Execute(database, "UPDATE organisations SET balance = ? WHERE name = ?", balance.nanos,
            organisation);
    Execute(database, "INSERT INTO deposits VALUES (?, ?, ?, ?)", reference, organisation,
            amount.nanos, clock_());
    return true;
  });
}

Result<Balance> Ledger::BalanceOf(const std::string& organisation) {
  return committer_->Get<Balance>([&](SQLite::Database& database) -> Result<Balance> {
    FULMEN_TRY(CheckOrganisation(database, organisation));
    auto row = Query(database, "SELECT currency, balance, held FROM organisations WHERE name = ?",
                     organisation);
    row.executeStep();
    return Balance{row.getColumn(0).getString(), Money{row.getColumn(1).getInt64()},
                   Money{row.getColumn(2).getInt64()}};
  });
}

Result<NewKey> Ledger::AddKey(const std::string& organisation, const KeySettings& settings) {
  FULMEN_TRY(CheckName("the name of a key", settings.name));
  FULMEN_TRY(CheckLimits(settings.limits));
  NewKey made = {.key = {.id = NewKeyId(),
                         .organisation = organisation,
                         .settings = settings,
                         .created = clock_()},
                 .secret = NewSecret()};
  const std::string hash = HashOfSecret(made.secret.Reveal());
  const Status added = committer_->Run([&](SQLite::Database& database) -> Status {
    FULMEN_TRY(CheckOrganisation(database, organisation));
    const KeyLimits& limits = settings.limits;
    Execute(database,
            "INSERT INTO keys (id, organisation, hash, name, scope, created, expires, "
            "requests_per_minute, tokens_per_minute, concurrent) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            made.key.id, organisation, Blob{hash}, settings.name,
            std::string(KeyScopeName(settings.scope)), made.key.created, settings.expires,
            limits.requests_per_minute, limits.tokens_per_minute, limits.concurrent);
    return {};
  });
  FULMEN_TRY(added);
  keys_.Put(hash, made.key);
  return made;
}

Status Ledger::ChangeKey(const std::string& id, const Committer::Job& change) {
  const std::lock_guard lock(changing_);
  Key key;
  std::string hash;
  const Status changed = committer_->Run([&](SQLite::Database& database) -> Status {
    FULMEN_TRY(change(database));
    const std::string one = std::string(kKeyColumns) + "WHERE id = ?";
    auto row = Query(database, one.c_str(), id);
    if (!row.executeStep()) return Fail(ErrorCode::kNotFound, "there is no key {}", id);
    key = ReadKey(row);
    hash = row.getColumn(kHashColumn).getString();
    return {};
  });
  FULMEN_TRY(changed);
  keys_.Put(hash, std::move(key));
  return {};
}

Status Ledger::RevokeKey(const std::string& id) {
  return ChangeKey(id, [&](SQLite::Database& database) -> Status {
    Execute(database, "UPDATE keys SET revoked = ? WHERE id = ? AND revoked = 0", clock_(), id);
    return {};
  });
}

Status Ledger::SetLimits(const std::string& id, const KeyLimits& limits) {
  FULMEN_TRY(CheckLimits(limits));
  return ChangeKey(id, [&](SQLite::Database& database) -> Status {
    Execute(database,
            "UPDATE keys SET requests_per_minute = ?, tokens_per_minute = ?, concurrent = ? "
            "WHERE id = ?",
            limits.requests_per_minute, limits.tokens_per_minute, limits.concurrent, id);
    return {};
  });
}

Result<std::vector<Key>> Ledger::Keys(const std::string& organisation) {
  using KeyList = std::vector<Key>;
  return committer_->Get<KeyList>([&](SQLite::Database& database) -> Result<KeyList> {
    FULMEN_TRY(CheckOrganisation(database, organisation));
    const std::string all =
        std::string(kKeyColumns) + "WHERE organisation = ? ORDER BY created, id";
    auto rows = Query(database, all.c_str(), organisation);
    KeyList keys;
    while (rows.executeStep()) keys.push_back(ReadKey(rows));
    return keys;
  });
}

std::optional<Key> Ledger::Authenticate(std::string_view secret) const {
  return keys_.Find(secret, clock_());
}

Result<std::vector<UsageLine>> Ledger::Usage(const std::string& organisation, UsageGroup group,
                                             int64_t from, int64_t to) {
  constexpr const char* kDays = "date(ended / 1000000000, 'unixepoch')";
  const char* by = group == UsageGroup::kDay ? kDays : group == UsageGroup::kKey ? "key" : "model";
  const std::string text = fmt::format(
      "SELECT {}, count(*), sum(prompt), sum(text), sum(cached), sum(image), sum(output), "
      "sum(reasoning), sum(charge) FROM usage WHERE organisation = ? AND ended >= ? AND ended < ? "
      "GROUP BY 1 ORDER BY {}",
      by, group == UsageGroup::kDay ? "1" : "9 DESC, 1");
  using Lines = std::vector<UsageLine>;
  return committer_->Get<Lines>([&](SQLite::Database& database) -> Result<Lines> {
    FULMEN_TRY(CheckOrganisation(database, organisation));
    Lines lines;
    auto rows = Query(database, text.c_str(), organisation, from, to);
    while (rows.executeStep()) {
      const auto number = [&rows](int column) { return rows.getColumn(column).getInt64(); };
      lines.push_back({.name = rows.getColumn(0).getString(),
                       .requests = number(1),
                       .tokens = {.prompt = number(2),
                                  .text = number(3),
                                  .cached = number(4),
                                  .image = number(5),
                                  .output = number(6),
                                  .reasoning = number(7)},
                       .charge = {number(8)}});
    }
    return lines;
  });
}

}  // namespace fulmen
