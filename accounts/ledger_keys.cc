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
  for (const SqlRow& row :
       sql.Query("SELECT hash, key, expires, ended FROM logins WHERE changed > ?", known)) {
    news.logins.push_back({row.Bytes(0), row.Text(1), row.Number(2), row.Number(3)});
  }
  return news;
}

int64_t Ledger::TimeOfKeys() const { return clock_ ? clock_() : SystemTime(); }

void Ledger::TakeKeys(KeyNews&& news) {
  keys_changed_ = news.last;
  keys_.Put(std::move(news), TimeOfKeys());
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
  const auto change_row = [&](Sql& sql, KeyNews& news) -> Status {
    FULMEN_TRY(change(sql));
    sql.Execute("UPDATE keys SET changed = (SELECT last FROM key_changes) WHERE id = ?", id);
    const SqlRows rows = sql.Query(std::string(kKeyColumns) + "WHERE id = ?", id);
    if (rows.empty()) return Fail(ErrorCode::kNotFound, "there is no key {}", id);
    news.keys = {{rows[0].Bytes(kHashColumn), ReadKey(rows[0])}};
    return {};
  };
  FULMEN_TRY(ChangeKeys(keys_.OrganisationOf(id), change_row));
  return *keys_.OfId(id);
}

Status Ledger::ChangeKeys(const std::string& organisation,
                          const std::function<Status(Sql&, KeyNews&)>& change) {
  const auto news = std::make_shared<KeyNews>();
  return Await<Status>([&](Done<Status> done) {
    committer_->Submit(
        [&change, news](Sql& sql) -> Status {
          *news = {};  // where it is run again
          sql.Execute("UPDATE key_changes SET last = last + 1");
          FULMEN_TRY(change(sql, *news));
          sql.AnnounceKeys();
          return {};
        },
        // In the thread that takes others' changes, so that memory follows in the order of commits.
        [this, news, done = std::move(done)](Status status) {
          if (status) keys_.Put(std::move(*news), TimeOfKeys());
          done(std::move(status));
        },
        organisation);
  });
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
  return keys_.Find(secret, TimeOfKeys());
}

Result<Secret> Ledger::AddLogin(const std::string& key) {
  constexpr int64_t kSecond = 1'000'000'000;
  const std::optional<Key> of = keys_.OfId(key);
  if (!of) return Fail(ErrorCode::kNotFound, "there is no key {}", key);
  Secret secret = NewSecret();
  Login login = {.hash = HashOfSecret(secret.Reveal()), .key = key};
  FULMEN_TRY(ChangeKeys(of->organisation, [&](Sql& sql, KeyNews& news) -> Status {
    const int64_t now = Now(sql);
    login.expires = now + kLoginSeconds * kSecond;
    sql.Execute("DELETE FROM logins WHERE expires <= ?", now);
    sql.Execute(
        "INSERT INTO logins (hash, key, expires, ended, changed) "
        "VALUES (?, ?, ?, 0, (SELECT last FROM key_changes))",
        Blob{login.hash}, login.key, login.expires);
    news.logins = {login};
    return {};
  }));
  return secret;
}

Status Ledger::EndLogin(std::string_view secret) {
  const std::string hash = HashOfSecret(secret);
  return ChangeKeys("", [&](Sql& sql, KeyNews& news) -> Status {
    const int64_t now = Now(sql);
    sql.Execute(
        "UPDATE logins SET ended = ?, changed = (SELECT last FROM key_changes) "
        "WHERE hash = ? AND ended = 0",
        now, Blob{hash});
    for (const SqlRow& row :
         sql.Query("SELECT key, expires, ended FROM logins WHERE hash = ?", Blob{hash})) {
      news.logins = {{hash, row.Text(0), row.Number(1), row.Number(2)}};
    }
    return {};
  });
}

std::optional<Key> Ledger::AuthenticateLogin(std::string_view secret) const {
  return keys_.FindLogin(secret, TimeOfKeys());
}

}  // namespace fulmen
