// Who may ask for how much, what they have and what they used, kept in a database.
//
// A request is admitted with what it may cost held back, asks for more while it goes on, and is
// settled: its row of usage, the balance and the end of what was held are one transaction. What is
// held is never more than the balance, so nothing is overdrawn, whoever asks at the same time.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

#include "accounts/committer.h"
#include "accounts/journal.h"
#include "accounts/kept_answer.h"
#include "accounts/key.h"
#include "accounts/key_table.h"
#include "accounts/money.h"
#include "accounts/open_requests.h"
#include "accounts/postgres_listener.h"
#include "accounts/price.h"
#include "base/status.h"

namespace fulmen {

struct NewKey {
  Key key;
  Secret secret;  // shown once, and not kept
};

struct Balance {
  std::string currency;
  Money balance;
  Money held;  // of it, by requests under way
};

struct OrganisationInfo {
  std::string name;
  std::string currency;
  std::string zone;  // of its days
};

struct ModelPrices {
  std::string model;
  std::string currency;
  Prices prices;
};

struct DepositInfo {
  std::string reference;
  Money amount;
  int64_t at = 0;
};

struct Ask {
  std::string request;  // its id, that of its row
  std::string key;      // the id of its key
  std::string model;
  int64_t prompt = 0;                     // tokens
  int64_t choices = 1;                    // answers to it
  int64_t most_output = INT64_MAX;        // tokens, of all its answers together
  std::optional<AnswerName> answer = {};  // where its answer is to be kept
};

struct LimitState {
  int64_t limit = 0;  // of a minute; 0: none
  int64_t left = 0;
  int64_t reset = 0;  // nanoseconds until the bucket is full
};

struct Limits {
  LimitState requests;
  LimitState tokens;
};

struct Refusal {
  enum class Kind : uint8_t {
    kKey,       // revoked or expired by now
    kPrice,     // the model has none in the organisation's currency
    kBalance,   // too little is left
    kSpend,     // of what the key may spend in a day, which ends after `wait`
    kRequests,  // too many in this minute, as the next: they may come again after `wait`
    kTokens,
    kConcurrent,
    kTooLarge,     // for the limit of tokens, whenever it comes
    kUnavailable,  // the database is away, and may be back after `wait`
    kFailed,       // of the database
  };
  Kind kind = Kind::kFailed;
  Error error = {};
  int64_t wait = 0;    // nanoseconds
  Limits limits = {};  // as they are: nothing was taken
};

struct Admitted {
  int64_t output = 0;  // tokens that may be sampled with what is held, in all answers together
  Limits limits;
  Prices prices = {};  // that it will be charged by
  std::string currency = {};
};

using Admission = tl::expected<Admitted, Refusal>;

enum class UsageGroup : uint8_t { kDay, kKey, kModel };

struct UsageLine {
  std::string name;  // of the organisation's day, as in 2026-11-27, the key's id, or the model's
  int64_t requests = 0;
  TokenCounts tokens = {};
  Money charge = {};
};

// One request that ended.
struct UsageRow {
  std::string request;
  std::string key;
  std::string model;
  int64_t started = 0;
  int64_t ended = 0;
  std::string outcome;
  TokenCounts tokens;
  Prices prices;  // that it was charged by
  Money charge;
};

struct LedgerOptions {
  std::string database;  // a path, or "postgresql://...", which several servers may share
  // A path: how requests end while PostgreSQL is away. One process has it. Without it none may end
  // then, as where nobody asks for answers.
  std::string journal = {};
  std::function<int64_t()> clock = {};  // nanoseconds since 1970; empty: the database's own
  // With PostgreSQL: after that long without a sign of a server its requests count as crashed.
  double lease_seconds = 30;
};

// Thread safe. Everything that changes it returns once that is on the disk; requests that end
// together share a commit.
class Ledger {
 public:
  // Opens or makes the ledger. A file no other process may have open; PostgreSQL has to be there.
  // Requests that a crash cut get a row `crashed` that charges nothing: those of a file at once,
  // and those of a server that shares PostgreSQL when its lease is over.
  static Result<std::unique_ptr<Ledger>> Open(const LedgerOptions& options);

  // `zone` is a name of the IANA's, such as "Asia/Shanghai".
  Status AddOrganisation(const std::string& name, const std::string& currency,
                         const std::string& zone = "UTC");
  Result<std::vector<OrganisationInfo>> Organisations();
  Status SetPrices(const std::string& model, const std::string& currency, const Prices& prices);
  // The same where there are none: false where there are.
  Result<bool> AddPrices(const std::string& model, const std::string& currency,
                         const Prices& prices);
  Result<std::vector<ModelPrices>> AllPrices();
  // False where a deposit of this reference is there already: then nothing is added.
  Result<bool> Deposit(const std::string& organisation, Money amount, const std::string& reference);
  Result<std::vector<DepositInfo>> Deposits(const std::string& organisation);  // by their time
  Result<Balance> BalanceOf(const std::string& organisation);

  Result<NewKey> AddKey(const std::string& organisation, const KeySettings& settings);
  // It stays in the ledger, as what it used does. Requests under way end with what is held for
  // them.
  Status RevokeKey(const std::string& id);
  Status SetLimits(const std::string& id, const KeyLimits& limits);
  Result<std::vector<Key>> Keys(const std::string& organisation);
  // Whose key `secret` is; from memory. nullopt for a wrong, revoked or expired one.
  std::optional<Key> Authenticate(std::string_view secret) const;
  // The one with this id, good or not; from memory.
  std::optional<Key> FindKey(const std::string& id) const { return keys_.OfId(id); }

  // Signs a browser in with a key: it gets a secret of its own, which is good for so long, and no
  // longer than the key.
  static constexpr int64_t kLoginSeconds = int64_t{30} * 24 * 3600;
  Result<Secret> AddLogin(const std::string& key);
  // From now on it is good no more. Nothing happens where it was not.
  Status EndLogin(std::string_view secret);
  // The key that a browser is signed in with; from memory.
  std::optional<Key> AuthenticateLogin(std::string_view secret) const;

  // What follows comes in two forms: one waits, and one calls `done` in the ledger's thread, where
  // it may neither take long nor wait for the ledger. Of one request one is under way at a time.
  // While PostgreSQL is away the first two fail with kUnavailable after about a second, and Settle
  // is written into the journal.
  template <class T>
  using Done = std::function<void(T)>;

  // Holds back what the prompt and kFirstOutput tokens of each answer cost at most, or fewer where
  // the answers have at most so many.
  static constexpr int64_t kFirstOutput = 256;
  Admission Admit(const Ask& ask);
  void Admit(const Ask& ask, Done<Admission> done);
  // Holds back more, twice as much each time up to kLargestStep for each answer, or what the
  // balance and the key's day still pay: the tokens that may be sampled beyond those before. 0:
  // they are exhausted.
  static constexpr int64_t kLargestStep = 8192;
  Result<int64_t> Extend(const std::string& request);
  void Extend(const std::string& request, Done<Result<int64_t>> done);
  // Ends a request: one row of usage, and what it costs off the balance. `tokens` is what was
  // computed, within what was admitted; `outcome` is a word such as "stop". The second time it is
  // an error.
  Result<Money> Settle(const std::string& request, const TokenCounts& tokens,
                       const std::string& outcome);
  // With the answer, where Ask::answer said that it is to be kept; without it that name is free
  // again.
  void Settle(const std::string& request, const TokenCounts& tokens, const std::string& outcome,
              Done<Result<Money>> done, std::optional<KeptAnswer> answer = {});

  // What is kept for a day under this name, or that its request is under way; nullopt where it was
  // never asked, failed, or is older.
  void FindAnswer(const AnswerName& name, Done<Result<std::optional<KeptAnswer>>> done);

  // What ended in [from, to), the largest charge first, or by day.
  Result<std::vector<UsageLine>> Usage(const std::string& organisation, UsageGroup group,
                                       int64_t from, int64_t to);
  // The rows of it, in the order in which they ended, up to `limit` of those behind the one of the
  // request `after`, or from the first where it is empty.
  Result<std::vector<UsageRow>> Rows(const std::string& organisation, int64_t from, int64_t to,
                                     int64_t limit, const std::string& after = "");

  // Copies all of it to `path`, where no file may be yet, while requests go on. The file is there
  // under its name once it is whole.
  Status Backup(const std::string& path) { return committer_->Backup(path); }

  // Returns once all that was asked before has been told.
  void Flush() {
    (void)committer_->Run([](Sql&) { return Status(); });
  }

  const std::string& database() const { return database_; }  // LedgerOptions::database
  int64_t lookups() const { return keys_.lookups(); }        // of keys
  int64_t commits() const { return committer_->commits(); }

 private:
  Ledger(const LedgerOptions& options, std::unique_ptr<SqlConnection> connection,
         std::unique_ptr<Journal> journal);
  static Result<std::unique_ptr<Ledger>> OpenFile(const LedgerOptions& options);
  static Result<std::unique_ptr<Ledger>> OpenShared(const LedgerOptions& options);
  int64_t Now(Sql& sql) const { return clock_ ? clock_() : sql.Now(); }

  int64_t TimeOfKeys() const;  // by which they expire: that of this machine
  Status LoadKeys();
  void TakeKeys(KeyNews&& news);
  // Changes a row of keys, and what is in memory of it.
  Result<Key> ChangeKey(const std::string& id, const Committer::Job& change);
  // Changes rows of keys and of logins, whose `changed` must be the last of key_changes then.
  Status ChangeKeys(const std::string& organisation,
                    const std::function<Status(Sql&, KeyNews&)>& change);

  // Runs `body`, about a request under way, as Committer::Submit does a job, and tells `done` its
  // result.
  template <class T>
  void Start(const std::string& request, std::function<Result<T>(Sql&)> body, Done<Result<T>> done);
  // The charge of a request that ends while the database is away.
  Result<Money> WriteDown(JournalRecord record);

  void EndCrashed(Sql& sql, const std::string& request);
  // What follows is for servers that share a database: what is done when it is back, and now and
  // then, and what tells others that this one is alive.
  void Resume(Sql& sql);
  void Resumed();
  void Wake();
  void Renew(Sql& sql);
  size_t SettleJournal(Sql& sql);  // returns how many records
  void ClearJournal();
  void EndThoseOfDeadServers(Sql& sql);

  using SteadyClock = std::chrono::steady_clock;
  const std::string database_;
  const std::function<int64_t()> clock_;
  const std::string server_;  // its id: the journal's, else a random one
  const std::chrono::nanoseconds lease_;
  KeyTable keys_;
  std::atomic<bool> waking_ = false;
  OpenRequests open_;
  // The committer's thread's alone, up to it.
  const std::unique_ptr<Journal> journal_;  // may be null
  int64_t keys_changed_ = -1;               // the last change that keys_ has
  SteadyClock::time_point connected_ = {};
  SteadyClock::time_point renewed_ = {};
  const std::unique_ptr<Committer> committer_;
  std::unique_ptr<PostgresListener> listener_;  // null with a file; last, since it uses all
};

}  // namespace fulmen
