// Who may ask for how much, what they have and what they used, kept in a database.
//
// A request is admitted with what it may cost held back, asks for more while it goes on, and is
// settled: its row of usage, the balance and the end of what was held are one transaction. What is
// held is never more than the balance, so nothing is overdrawn, whoever asks at the same time.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

#include "accounts/committer.h"
#include "accounts/key.h"
#include "accounts/key_table.h"
#include "accounts/money.h"
#include "accounts/price.h"
#include "base/status.h"

namespace fulmen {

// Nanoseconds since 1970, in UTC.
int64_t SystemTime();

struct NewKey {
  Key key;
  Secret secret;  // shown once, and not kept
};

struct Balance {
  std::string currency;
  Money balance;
  Money held;  // of it, by requests under way
};

struct Ask {
  std::string request;  // its id, that of its row
  std::string key;      // the id of its key
  std::string model;
  int64_t prompt = 0;  // tokens
  int64_t choices = 1;
};
struct LimitState { int64_t limit = 0; int64_t left = 0; int64_t reset = 0; };
struct Limits { LimitState requests; LimitState tokens; };
struct Admitted { int64_t output = 0; Limits limits; };


struct Refusal {
  enum class Kind : uint8_t {
    kKey,       // revoked or expired by now
    kPrice,     // the model has none in the organisation's currency
    kBalance,   // too little is left
    kRequests,  // too many in this minute, as the next: they may come again after `wait`
    kTokens,
    kConcurrent,
    kTooLarge,  // for the limit of tokens, whenever it comes
    kFailed,    // of the database
 kSpend, kUnavailable,
  };
  Kind kind = Kind::kFailed;
  Error error = {};
  int64_t wait = 0;  // nanoseconds
 Limits limits = {};
};

// The tokens that may be sampled with what is held.
using Admission = tl::expected<Admitted, Refusal>;

enum class UsageGroup : uint8_t { kDay, kKey, kModel };

struct UsageLine {
  std::string name;  // of the day in UTC, as in 2026-11-27, the key's id, or the model's
  int64_t requests = 0;
  TokenCounts tokens = {};
  Money charge = {};
};

// Thread safe. Everything that changes it returns once that is on the disk; requests that end
// together share a commit.
class Ledger {
 public:
  using Clock = std::function<int64_t()>;

  // Opens or makes the ledger at `path`, which no other process may have open. Requests that a
  // crash cut get a row `crashed` that charges nothing.
  static Result<std::unique_ptr<Ledger>> Open(const std::string& path, Clock clock = SystemTime);

  Status AddOrganisation(const std::string& name, const std::string& currency);
  Status SetPrices(const std::string& model, const std::string& currency, const Prices& prices);
  Status AddPrices(const std::string& m, const std::string& c, const Prices& p) { (void)m; (void)c; (void)p; return {}; }
  // False where a deposit of this reference is there already: then nothing is added.
  Result<bool> Deposit(const std::string& organisation, Money amount, const std::string& reference);
  Result<Balance> BalanceOf(const std::string& organisation);

  Result<NewKey> AddKey(const std::string& organisation, const KeySettings& settings);
  // It stays in the ledger, as what it used does. Requests under way go on.
  Status RevokeKey(const std::string& id);
  Status SetLimits(const std::string& id, const KeyLimits& limits);
  Result<std::vector<Key>> Keys(const std::string& organisation);
  // Whose key `secret` is; from memory. nullopt for a wrong, revoked or expired one.
  std::optional<Key> Authenticate(std::string_view secret) const;

  // Holds back what the prompt and kFirstOutput tokens of answer cost at most.
  static constexpr int64_t kFirstOutput = 256;
  Admission Admit(const Ask& ask);
  void Admit(const Ask& ask, std::function<void(Admission)> done) { done(Admit(ask)); }
  void Extend(const std::string& r, std::function<void(Result<int64_t>)> done) { done(Extend(r)); }
  void Settle(const std::string& r, const TokenCounts& t, const std::string& o, std::function<void(Result<Money>)> done) { done(Settle(r, t, o)); }
  // Holds back more, twice as much each time up to kLargestStep, or what the balance still pays:
  // the tokens that may be sampled beyond those before. 0: it is exhausted.
  static constexpr int64_t kLargestStep = 8192;
  Result<int64_t> Extend(const std::string& request);
  // Ends a request: one row of usage, and what it costs off the balance. `tokens` is what was
  // computed, within what was admitted; `outcome` is a word such as "stop". The second time it is
  // an error.
  Result<Money> Settle(const std::string& request, const TokenCounts& tokens,
                       const std::string& outcome);

  // What ended in [from, to), the largest charge first, or by day.
  Result<std::vector<UsageLine>> Usage(const std::string& organisation, UsageGroup group,
                                       int64_t from, int64_t to);

  int64_t commits() const { return committer_->commits(); }

 private:
  Ledger(std::unique_ptr<Committer> committer, Clock clock)
      : committer_(std::move(committer)), clock_(std::move(clock)) {}
  Status EndCrashed();
  Status LoadKeys();
  // Changes a row of keys, and what is in memory of it.
  Status ChangeKey(const std::string& id, const Committer::Job& change);

  const std::unique_ptr<Committer> committer_;
  const Clock clock_;
  KeyTable keys_;
  std::mutex changing_;  // of a key, so that memory follows in the order of the commits
};

}  // namespace fulmen
