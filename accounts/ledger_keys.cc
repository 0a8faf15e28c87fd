// Keys in the ledger, and in memory.
#include <utility>

#include "accounts/await.h"
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

KeyNews ReadKeyNews(Sql& sql, int64_t known) {
  KeyNews news;
  news.last = sql.Query("SELECT last FROM key_changes")[0].Number(0);
  if (news.last == known) return news;
  for (const SqlRow& row : sql.Query(std::string(kKeyColumns) + "WHERE changed > ?", known)) {
    news.keys.emplace_back(row.Bytes(kHashColumn), ReadKey(row));
  }
  return news;
}

void Ledger::TakeKeys(KeyNews&& news) {
  keys_changed_ = news.last;
  for (auto& [hash, key] : news.keys) keys_.Put(hash, std::move(key));
}

Status Ledger::LoadKeys() {
  const auto news = std::make_shared<KeyNews>();
  return Await<Status>([&](Done<Status> done) {
    committer_->Submit(
        [news](Sql& sql) -> Status {
          *news = ReadKeyNews(sql, -1);
          return {};
        },
        [this, news, done = std::move(done)](Status status) {
          if (status) TakeKeys(std::move(*news));
          done(std::move(status));
        });
  });
}

Result<NewKey> Ledger::AddKey(const std::string& organisation, const KeySettings& settings) {
  FULMEN_TRY(CheckName("the name of a key", settings.name));
  FULMEN_TRY(CheckLimits(settings.limits));
  const std::string id = NewKeyId();
  Secret secret = NewSecret();
  const Blob hash{HashOfSecret(secret.Reveal())};
  const KeyLimits& limits = settings.limits;
  FULMEN_ASSIGN(Key key, ChangeKey(id, [&](Sql& sql) -> Status {
                  FULMEN_TRY(FindOrganisation(sql, organisation));
                  sql.Execute(
                      "INSERT INTO keys (id, organisation, hash, name, scope, created, expires, "
                      "requests_per_minute, tokens_per_minute, concurrent, spend_per_day) "
                      "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                      id, organisation, hash, settings.name,
                      std::string(KeyScopeName(settings.scope)), Now(sql), settings.expires,
                      limits.requests_per_minute, limits.tokens_per_minute, limits.concurrent,
                      limits.spend_per_day.nanos);
                  return {};
                }));
  return NewKey{.key = std::move(key), .secret = std::move(secret)};
}

Result<Key> Ledger::ChangeKey(const std::string& id, const Committer::Job& change) {
  const auto news = std::make_shared<KeyNews>();
  const auto result = std::make_shared<Key>();
  const Status changed = Await<Status>([&](Done<Status> done) {
    committer_->Submit(
        [&change, id, news](Sql& sql) -> Status {
          FULMEN_TRY(change(sql));
          sql.Execute("UPDATE key_changes SET last = last + 1");
          sql.Execute("UPDATE keys SET changed = (SELECT last FROM key_changes) WHERE id = ?", id);
          const SqlRows rows = sql.Query(std::string(kKeyColumns) + "WHERE id = ?", id);
          if (rows.empty()) return Fail(ErrorCode::kNotFound, "there is no key {}", id);
          news->keys = {{rows[0].Bytes(kHashColumn), ReadKey(rows[0])}};
          sql.AnnounceKeys();
          return {};
        },
        // In the thread that takes others' changes, so that memory follows in the order of commits.
        [this, news, result, done = std::move(done)](Status status) {
          if (status) {
            auto& [hash, key] = news->keys[0];
            *result = key;
            keys_.Put(hash, std::move(key));
          }
          done(std::move(status));
        },
        keys_.OrganisationOf(id));
  });
  FULMEN_TRY(changed);
  return std::move(*result);
}

Status Ledger::RevokeKey(const std::string& id) {
  FULMEN_TRY(ChangeKey(id, [&](Sql& sql) -> Status {
    sql.Execute("UPDATE keys SET revoked = ? WHERE id = ? AND revoked = 0", Now(sql), id);
    return {};
  }));
  return {};
}

Status Ledger::SetLimits(const std::string& id, const KeyLimits& limits) {
  FULMEN_TRY(CheckLimits(limits));
  FULMEN_TRY(ChangeKey(id, [&](Sql& sql) -> Status {
    sql.Execute(
        "UPDATE keys SET requests_per_minute = ?, tokens_per_minute = ?, concurrent = ?, "
        "spend_per_day = ? WHERE id = ?",
        limits.requests_per_minute, limits.tokens_per_minute, limits.concurrent,
        limits.spend_per_day.nanos, id);
    return {};
  }));
  return {};
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
