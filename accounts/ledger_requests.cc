// Requests in the ledger, from their admission to their row of usage.
#include <algorithm>
#include <utility>

#include "accounts/gcra.h"
#include "accounts/ledger.h"
#include "accounts/query.h"

namespace fulmen {
namespace {

using Kind = Refusal::Kind;

constexpr const char* kCrashed = "crashed";

struct Asker {
  std::string organisation;
  std::string currency;
  Money left;  // of the balance, that nothing holds
  KeyLimits limits;
  int64_t requests_full = 0;
  int64_t tokens_full = 0;
};

struct Reservation {
  std::string key;
  std::string organisation;
  std::string model;
  int64_t started = 0;
  int64_t prompt = 0;
  int64_t output = 0;
  int64_t taken = 0;
  Money held;
  Prices prices;
};

Prices ReadPrices(SQLite::Statement& row, int first) {
  const auto price = [&](int column) { return Money{row.getColumn(first + column).getInt64()}; };
  return {.text = price(0), .cached = price(1), .image = price(2), .output = price(3)};
}

// The job of an admission: what refuses it is kept in `refusal`, and its error rolls all back.
class Admitting {
 public:
  Admitting(const Ask& ask, int64_t now, Refusal& refusal)
      : ask_(ask), now_(now), refusal_(refusal) {}

  Status Run(SQLite::Database& database) {
    FULMEN_ASSIGN(Asker asker, FindAsker(database));
    FULMEN_ASSIGN(const Prices prices, FindPrices(database, asker));
    FULMEN_TRY(TakeLimits(database, asker));
    FULMEN_ASSIGN(const Money held, Hold(asker, prices));
    Execute(database, "UPDATE organisations SET held = held + ? WHERE name = ?", held.nanos,
            asker.organisation);
    Execute(database, "UPDATE keys SET requests_full = ?, tokens_full = ? WHERE id = ?",
            asker.requests_full, asker.tokens_full, ask_.key);
    const int added =
        Execute(database,
                "INSERT OR IGNORE INTO reservations SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ? "
                "WHERE NOT EXISTS (SELECT 1 FROM usage WHERE request = ?)",
                ask_.request, ask_.key, asker.organisation, ask_.model, now_, ask_.prompt,
                Ledger::kFirstOutput, asker.limits.tokens_per_minute == 0 ? int64_t{0} : Tokens(),
                held.nanos, prices.text.nanos, prices.cached.nanos, prices.image.nanos,
                prices.output.nanos, ask_.request);
    if (added == 1) return {};
    return Fail(ErrorCode::kConflict, "there was a request {} already", ask_.request);
  }

 private:
  int64_t Tokens() const { return ask_.prompt + Ledger::kFirstOutput; }

  tl::unexpected<Error> Refuse(Kind kind, std::string message, int64_t wait = 0) const {
    refusal_.kind = kind;
    refusal_.wait = wait;
    return tl::unexpected<Error>(Error{ErrorCode::kNoRoom, std::move(message)});
  }

  Result<Asker> FindAsker(SQLite::Database& database) const {
    auto row = Query(database,
                     "SELECT organisation, currency, balance - held, requests_per_minute, "
                     "tokens_per_minute, concurrent, requests_full, tokens_full FROM keys "
                     "JOIN organisations ON organisations.name = organisation "
                     "WHERE id = ? AND revoked = 0 AND (expires = 0 OR expires > ?)",
                     ask_.key, now_);
    if (!row.executeStep()) return Refuse(Kind::kKey, "the key is revoked or has expired");
    return Asker{.organisation = row.getColumn(0).getString(),
                 .currency = row.getColumn(1).getString(),
                 .left = Money{row.getColumn(2).getInt64()},
                 .limits = {.requests_per_minute = row.getColumn(3).getInt64(),
                            .tokens_per_minute = row.getColumn(4).getInt64(),
                            .concurrent = row.getColumn(5).getInt64()},
                 .requests_full = row.getColumn(6).getInt64(),
                 .tokens_full = row.getColumn(7).getInt64()};
  }

  Result<Prices> FindPrices(SQLite::Database& database, const Asker& asker) const {
    auto row = Query(database,
                     "SELECT text, cached, image, output FROM prices "
                     "WHERE model = ? AND currency = ?",
                     ask_.model, asker.currency);
    if (row.executeStep()) return ReadPrices(row, 0);
    return Refuse(Kind::kPrice,
                  fmt::format("the model {} has no price in {}", ask_.model, asker.currency));
  }

  Status TakeLimits(SQLite::Database& database, Asker& asker) const {
    const KeyLimits& limits = asker.limits;
    if (limits.concurrent > 0) {
      auto row = Query(database, "SELECT count(*) FROM reservations WHERE key = ?", ask_.key);
      row.executeStep();
      if (row.getColumn(0).getInt64() >= limits.concurrent) {
        return Refuse(Kind::kConcurrent,
                      fmt::format("at most {} requests at a time are expected of this key",
                                  limits.concurrent));
      }
    }
    FULMEN_TRY(Take(Kind::kRequests, 1, limits.requests_per_minute, asker.requests_full));
    return Take(Kind::kTokens, Tokens(), limits.tokens_per_minute, asker.tokens_full);
  }

  Status Take(Kind kind, int64_t cost, int64_t per_minute, int64_t& full) const {
    if (per_minute == 0) return {};
    const GcraAnswer answer = TakeFromBucket(full, now_, cost, per_minute);
    const char* what = kind == Kind::kRequests ? "requests" : "tokens";
    switch (answer.kind) {
      case GcraAnswer::Kind::kPassed:
        full = answer.arrival;
        return {};
      case GcraAnswer::Kind::kNever:
        return Refuse(Kind::kTooLarge,
                      fmt::format("at most {} {} a minute are expected of this key, found {} in "
                                  "one request, {} of answer among them",
                                  per_minute, what, cost, Ledger::kFirstOutput));
      case GcraAnswer::Kind::kLater:
        break;
    }
    constexpr double kMillisecond = 1e6;
    return Refuse(
        kind,
        fmt::format("at most {} {} a minute are expected of this key, and {} are due in "
                    "{:.0f} ms",
                    per_minute, what, cost, static_cast<double>(answer.wait) / kMillisecond),
        answer.wait);
  }

  // Which class each token of the prompt is in is not known before it is read.
  Result<Money> Hold(const Asker& asker, const Prices& prices) const {
    const Money dearest{std::max({prices.text.nanos, prices.cached.nanos, prices.image.nanos})};
    FULMEN_ASSIGN(const Money prompt, Multiply(dearest, ask_.prompt));
    FULMEN_ASSIGN(const Money output, Multiply(prices.output, Ledger::kFirstOutput));
    FULMEN_ASSIGN(const Money all, Add(prompt, output));
    if (all.nanos <= asker.left.nanos) return all;
    return Refuse(Kind::kBalance,
                  fmt::format("{} {} may be needed, and {} are left", FormatMoney(all),
                              asker.currency, FormatMoney(asker.left)));
  }

  const Ask& ask_;
  const int64_t now_;
  Refusal& refusal_;
};

Result<Reservation> Find(SQLite::Database& database, const std::string& request) {
  auto row = Query(database,
                   "SELECT key, organisation, model, started, prompt, output, taken, held, "
                   "text_price, cached_price, image_price, output_price FROM reservations "
                   "WHERE request = ?",
                   request);
  if (!row.executeStep()) {
    return Fail(ErrorCode::kNotFound, "there is no request {} under way", request);
  }
  return Reservation{.key = row.getColumn(0).getString(),
                     .organisation = row.getColumn(1).getString(),
                     .model = row.getColumn(2).getString(),
                     .started = row.getColumn(3).getInt64(),
                     .prompt = row.getColumn(4).getInt64(),
                     .output = row.getColumn(5).getInt64(),
                     .taken = row.getColumn(6).getInt64(),
                     .held = Money{row.getColumn(7).getInt64()},
                     .prices = ReadPrices(row, 8)};
}

// The bucket of tokens had what was expected taken; now it is known what was used.
void CorrectTokens(SQLite::Database& database, const Reservation& open, int64_t used, int64_t now) {
  auto row =
      Query(database, "SELECT tokens_per_minute, tokens_full FROM keys WHERE id = ?", open.key);
  row.executeStep();
  const int64_t per_minute = row.getColumn(0).getInt64();
  if (per_minute == 0) return;
  const int64_t full =
      CorrectBucket(row.getColumn(1).getInt64(), now, open.taken, used, per_minute);
  Execute(database, "UPDATE keys SET tokens_full = ? WHERE id = ?", full, open.key);
}

// The end of a request, in the transaction of `database`.
Status Close(SQLite::Database& database, const std::string& request, const Reservation& open,
             const TokenCounts& tokens, Money charge, const std::string& outcome, int64_t now) {
  if (Execute(database, "DELETE FROM reservations WHERE request = ?", request) != 1) {
    return Fail(ErrorCode::kConflict, "the request {} has ended already", request);
  }
  Execute(database,
          "UPDATE organisations SET balance = balance - ?, held = held - ? WHERE name = ?",
          charge.nanos, open.held.nanos, open.organisation);
  CorrectTokens(database, open, tokens.prompt + tokens.output, now);
  const Prices& prices = open.prices;
  Execute(
      database, "INSERT INTO usage VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
      request, open.key, open.organisation, open.model, open.started, now, outcome, tokens.prompt,
      tokens.text, tokens.cached, tokens.image, tokens.output, tokens.reasoning, prices.text.nanos,
      prices.cached.nanos, prices.image.nanos, prices.output.nanos, charge.nanos);
  return {};
}

}  // namespace

Admission Ledger::Admit(const Ask& ask) {
  Refusal refusal;
  const Status admitted = committer_->Run([&](SQLite::Database& database) -> Status {
    if (ask.prompt < 0 || ask.prompt > kLargestPerMinute) {
      return Fail(ErrorCode::kInvalidArgument, "a prompt should have from 0 to {} tokens, found {}",
                  kLargestPerMinute, ask.prompt);
    }
    return Admitting(ask, clock_(), refusal).Run(database);
  });
  if (admitted) return Admitted{kFirstOutput, {}};
  refusal.error = admitted.error();
  return tl::unexpected<Refusal>(std::move(refusal));
}

Result<int64_t> Ledger::Extend(const std::string& request) {
  return committer_->Get<int64_t>([&](SQLite::Database& database) -> Result<int64_t> {
    FULMEN_ASSIGN(const Reservation open, Find(database, request));
    auto row = Query(database, "SELECT balance - held FROM organisations WHERE name = ?",
                     open.organisation);
    row.executeStep();
    const int64_t left = row.getColumn(0).getInt64();
    const int64_t price = open.prices.output.nanos;
    int64_t more = std::min(open.output + kFirstOutput, kLargestStep);
    if (price > 0) more = std::min(more, left / price);
    Execute(database, "UPDATE organisations SET held = held + ? WHERE name = ?", more * price,
            open.organisation);
    Execute(database,
            "UPDATE reservations SET output = output + ?, held = held + ? "
            "WHERE request = ?",
            more, more * price, request);
    return more;
  });
}

Result<Money> Ledger::Settle(const std::string& request, const TokenCounts& tokens,
                             const std::string& outcome) {
  return committer_->Get<Money>([&](SQLite::Database& database) -> Result<Money> {
    FULMEN_ASSIGN(const Reservation open, Find(database, request));
    FULMEN_ASSIGN(const Money charge, Cost(tokens, open.prices));
    if (tokens.prompt > open.prompt || tokens.output > open.output) {
      return Fail(ErrorCode::kInvalidArgument,
                  "{}: at most {} tokens of prompt and {} of answer are held for, found {} and {}",
                  request, open.prompt, open.output, tokens.prompt, tokens.output);
    }
    FULMEN_TRY(Close(database, request, open, tokens, charge, outcome, clock_()));
    return charge;
  });
}

Status Ledger::EndCrashed() {
  return committer_->Run([&](SQLite::Database& database) -> Status {
    std::vector<std::string> requests;
    auto rows = Query(database, "SELECT request FROM reservations");
    while (rows.executeStep()) requests.push_back(rows.getColumn(0).getString());
    for (const std::string& request : requests) {
      FULMEN_ASSIGN(const Reservation open, Find(database, request));
      FULMEN_TRY(Close(database, request, open, {}, {}, kCrashed, clock_()));
    }
    return {};
  });
}

}  // namespace fulmen
