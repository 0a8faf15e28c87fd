// Requests in the ledger, from their admission to their row of usage.
#include <algorithm>
#include <future>
#include <memory>
#include <utility>

#include "accounts/admission.h"
#include "accounts/kept_answer.h"
#include "accounts/ledger.h"
#include "accounts/reservation.h"

namespace fulmen {
namespace {

constexpr const char* kCrashed = "crashed";

// Waits for what `start` tells its function. It is shared, since the thread that tells it may still
// be in it when the result is here.
template <class T, class Start>
T Await(const Start& start) {
  const auto promise = std::make_shared<std::promise<T>>();
  start([promise](T value) { promise->set_value(std::move(value)); });
  return promise->get_future().get();
}

// Holds back more for `open`, whose rows are locked. Returns the tokens.
int64_t HoldMore(Sql& sql, const Reservation& open, int64_t now) {
  const Funds funds = LockFunds(sql, open.organisation);
  int64_t more = std::min(open.output + open.choices * Ledger::kFirstOutput,
                          open.choices * Ledger::kLargestStep);
  const int64_t price = open.prices.output.nanos;
  if (price > 0) {
    int64_t left = funds.left.nanos;
    const Money per_day{
        sql.Query("SELECT spend_per_day FROM keys WHERE id = ?", open.key)[0].Number(0)};
    if (per_day.nanos > 0) {
      left = std::min(left, SpendingOf(sql, open.key, per_day, funds.zone, now).left.nanos);
    }
    more = std::min(more, std::max<int64_t>(left, 0) / price);
  }
  sql.Execute("UPDATE organisations SET held = held + ? WHERE name = ?", more * price,
              open.organisation);
  sql.Execute("UPDATE reservations SET output = output + ?, held = held + ? WHERE request = ?",
              more, more * price, open.request);
  return more;
}

}  // namespace

template <class T>
void Ledger::Start(std::function<Result<T>(Sql&)> body, Done<Result<T>> done) {
  const auto result = std::make_shared<Result<T>>();
  committer_->Submit(
      [body = std::move(body), result](Sql& sql) -> Status {
        *result = body(sql);
        if (*result) return {};
        return tl::unexpected<Error>(result->error());
      },
      [done = std::move(done), result](Status status) {
        if (!status) *result = tl::unexpected<Error>(std::move(status).error());
        done(*std::move(result));
      });
}

void Ledger::Admit(const Ask& ask, Done<Admission> done) {
  const auto admitting = std::make_shared<Admitting>(ask);
  committer_->Submit([this, admitting](Sql& sql) { return admitting->Run(sql, Now(sql)); },
                     [admitting, done = std::move(done)](const Status& status) {
                       done(admitting->Answer(status));
                     });
}

void Ledger::Extend(const std::string& request, Done<Result<int64_t>> done) {
  Start<int64_t>(
      [this, request](Sql& sql) -> Result<int64_t> {
        FULMEN_ASSIGN(const Reservation open, LockReservation(sql, request));
        return HoldMore(sql, open, Now(sql));
      },
      std::move(done));
}

void Ledger::Settle(const std::string& request, const TokenCounts& tokens,
                    const std::string& outcome, Done<Result<Money>> done,
                    std::optional<KeptAnswer> answer) {
  Start<Money>(
      [this, request, tokens, outcome, answer = std::move(answer)](Sql& sql) -> Result<Money> {
        FULMEN_ASSIGN(const Reservation open, LockReservation(sql, request));
        FULMEN_ASSIGN(const Money charge, Cost(tokens, open.prices));
        if (tokens.prompt > open.prompt || tokens.output > open.output) {
          return Fail(
              ErrorCode::kInvalidArgument,
              "{}: at most {} tokens of prompt and {} of answer are held for, found {} and {}",
              request, open.prompt, open.output, tokens.prompt, tokens.output);
        }
        if (answer) WriteAnswer(sql, request, *answer);
        FULMEN_TRY(Close(sql, open, tokens, charge, outcome, Now(sql)));
        return charge;
      },
      std::move(done));
}

void Ledger::FindAnswer(const AnswerName& name, Done<Result<std::optional<KeptAnswer>>> done) {
  Start<std::optional<KeptAnswer>>(
      [this, name](Sql& sql) -> Result<std::optional<KeptAnswer>> {
        return ReadAnswer(sql, name, Now(sql));
      },
      std::move(done));
}

Admission Ledger::Admit(const Ask& ask) {
  return Await<Admission>([&](Done<Admission> done) { Admit(ask, std::move(done)); });
}

Result<int64_t> Ledger::Extend(const std::string& request) {
  return Await<Result<int64_t>>(
      [&](Done<Result<int64_t>> done) { Extend(request, std::move(done)); });
}

Result<Money> Ledger::Settle(const std::string& request, const TokenCounts& tokens,
                             const std::string& outcome) {
  return Await<Result<Money>>(
      [&](Done<Result<Money>> done) { Settle(request, tokens, outcome, std::move(done)); });
}

Status Ledger::EndCrashed() {
  return committer_->Run([&](Sql& sql) -> Status {
    for (const SqlRow& row : sql.Query("SELECT request FROM reservations")) {
      FULMEN_ASSIGN(const Reservation open, LockReservation(sql, row.Text(0)));
      FULMEN_TRY(Close(sql, open, {}, {}, kCrashed, Now(sql)));
    }
    return {};
  });
}

}  // namespace fulmen
