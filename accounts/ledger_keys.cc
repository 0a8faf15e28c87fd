// Keys in the ledger, and in memory.
#include <utility>

#include "accounts/ledger.h"
#include "accounts/organisation.h"
#include "accounts/system_time.h"

namespace fulmen {
namespace {

constexpr const char* kKeyColumns =
    "SELECT id, organisation, name, scope, created, expires, revoked, requests_per_minute, "
    "tokens_per_minute, concurrent, spend_per_day, hash FROM keys ";
constexpr size_t kHashColumn = 11;

Key ReadKey(const SqlRow& row) {
  Key key;
  key.id = row.Text(0);
  key.organisation = row.Text(1);
  key.settings.name = row.Text(2);
  key.settings.scope =
      row.Text(3) == KeyScopeName(KeyScope::kAdmin) ? KeyScope::kAdmin : KeyScope::kInference;
  key.created = row.Number(4);
  key.settings.expires = row.Number(5);
  key.revoked = row.Number(6);
  key.settings.limits = {.requests_per_minute = row.Number(7),
                         .tokens_per_minute = row.Number(8),
                         .concurrent = row.Number(9),
                         .spend_per_day = {row.Number(10)}};
  return key;
}

}  // namespace

Status Ledger::LoadKeys() {
  return committer_->Run([&](Sql& sql) -> Status {
    for (const SqlRow& row : sql.Query(kKeyColumns)) {
      keys_.Put(row.Bytes(kHashColumn), ReadKey(row));
    }
    return {};
  });
}

Result<NewKey> Ledger::AddKey(const std::string& organisation, const KeySettings& settings) {
  FULMEN_TRY(CheckName("the name of a key", settings.name));
  FULMEN_TRY(CheckLimits(settings.limits));
  NewKey made = {.key = {.id = NewKeyId(), .organisation = organisation, .settings = settings},
                 .secret = NewSecret()};
  const std::string hash = HashOfSecret(made.secret.Reveal());
  const Status added = committer_->Run([&](Sql& sql) -> Status {
    FULMEN_TRY(FindOrganisation(sql, organisation));
    const KeyLimits& limits = settings.limits;
    made.key.created = Now(sql);
    sql.Execute(
        "INSERT INTO keys (id, organisation, hash, name, scope, created, expires, "
        "requests_per_minute, tokens_per_minute, concurrent, spend_per_day) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        made.key.id, organisation, Blob{hash}, settings.name,
        std::string(KeyScopeName(settings.scope)), made.key.created, settings.expires,
        limits.requests_per_minute, limits.tokens_per_minute, limits.concurrent,
        limits.spend_per_day.nanos);
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
  const Status changed = committer_->Run([&](Sql& sql) -> Status {
    FULMEN_TRY(change(sql));
    const SqlRows rows = sql.Query(std::string(kKeyColumns) + "WHERE id = ?", id);
    if (rows.empty()) return Fail(ErrorCode::kNotFound, "there is no key {}", id);
    key = ReadKey(rows[0]);
    hash = rows[0].Bytes(kHashColumn);
    return {};
  });
  FULMEN_TRY(changed);
  keys_.Put(hash, std::move(key));
  return {};
}

Status Ledger::RevokeKey(const std::string& id) {
  return ChangeKey(id, [&](Sql& sql) -> Status {
    sql.Execute("UPDATE keys SET revoked = ? WHERE id = ? AND revoked = 0", Now(sql), id);
    return {};
  });
}

Status Ledger::SetLimits(const std::string& id, const KeyLimits& limits) {
  FULMEN_TRY(CheckLimits(limits));
  return ChangeKey(id, [&](Sql& sql) -> Status {
    sql.Execute(
        "UPDATE keys SET requests_per_minute = ?, tokens_per_minute = ?, concurrent = ?, "
        "spend_per_day = ? WHERE id = ?",
        limits.requests_per_minute, limits.tokens_per_minute, limits.concurrent,
        limits.spend_per_day.nanos, id);
    return {};
  });
}

Result<std::vector<Key>> Ledger::Keys(const std::string& organisation) {
  using KeyList = std::vector<Key>;
  return committer_->Get<KeyList>([&](Sql& sql) -> Result<KeyList> {
    FULMEN_TRY(FindOrganisation(sql, organisation));
    KeyList keys;
    for (const SqlRow& row :
         sql.Query(std::string(kKeyColumns) + "WHERE organisation = ? ORDER BY created, id",
                   organisation)) {
      keys.push_back(ReadKey(row));
    }
    return keys;
  });
}

std::optional<Key> Ledger::Authenticate(std::string_view secret) const {
  return keys_.Find(secret, clock_ ? clock_() : SystemTime());
}

}  // namespace fulmen
