// Requests in the ledger, from their admission to their row of usage.
#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "accounts/admission.h"
#include "accounts/await.h"
#include "accounts/kept_answer.h"
#include "accounts/ledger.h"
#include "accounts/system_time.h"

namespace fulmen {
namespace {

// Holds back more. Returns the tokens.
int64_t HoldMore(Sql& sql, const LockedRequest& locked, int64_t now) {
  const Reservation& open = locked.open;
  if (locked.is_revoked) return 0;
  int64_t more = std::min(open.output + open.choices * Ledger::kFirstOutput,
                          open.choices * Ledger::kLargestStep);
  const int64_t price = open.prices.output.nanos;
  if (price > 0) {
    int64_t left = locked.funds.left.nanos;
    if (locked.spend_per_day.nanos > 0) {
      left = std::min(
          left, SpendingOf(sql, open.key, locked.spend_per_day, locked.funds.zone, now).left.nanos);
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
void Ledger::Start(const std::string& request, std::function<Result<T>(Sql&)> body,
                   Done<Result<T>> done) {
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
      },
      open_.Find(request).value_or(Reservation()).organisation);
}

void Ledger::Admit(const Ask& ask, Done<Admission> done) {
  const auto admitting = std::make_shared<Admitting>(ask, server_);
  committer_->Submit([this, admitting](Sql& sql) { return admitting->Run(sql, Now(sql)); },
                     [this, admitting, done = std::move(done)](const Status& status) {
                       if (status) open_.Put(admitting->reservation());
                       done(admitting->Answer(status));
                     },
                     keys_.OrganisationOf(ask.key));
}

void Ledger::Extend(const std::string& request, Done<Result<int64_t>> done) {
  Start<int64_t>(
      request,
      [this, request](Sql& sql) -> Result<int64_t> {
        FULMEN_ASSIGN(const LockedRequest locked, LockRequest(sql, request));
        return HoldMore(sql, locked, Now(sql));
      },
      [this, request, done = std::move(done)](Result<int64_t> more) {
        if (more) open_.Grow(request, *more);
        done(std::move(more));
      });
}

void Ledger::Settle(const std::string& request, const TokenCounts& tokens,
                    const std::string& outcome, Done<Result<Money>> done,
                    std::optional<KeptAnswer> answer) {
  JournalRecord made;
  made.request = request;
  made.tokens = tokens;
  made.outcome = outcome;
  made.answer = std::move(answer);
  const auto record = std::make_shared<const JournalRecord>(std::move(made));
  Start<Money>(
      request,
      [this, record](Sql& sql) -> Result<Money> {
        FULMEN_ASSIGN(const LockedRequest locked, LockRequest(sql, record->request));
        FULMEN_ASSIGN(const Money charge, ChargeOf(locked.open, record->tokens));
        if (record->answer) WriteAnswer(sql, record->request, *record->answer);
        FULMEN_TRY(Close(sql, locked, record->tokens, charge, record->outcome, Now(sql)));
        return charge;
      },
      [this, record, done = std::move(done)](Result<Money> charge) {
        const bool away = !charge && charge.error().code == ErrorCode::kUnavailable;
        if (away && journal_ != nullptr) charge = WriteDown(*record);
        if (charge || charge.error().code == ErrorCode::kNotFound) open_.Remove(record->request);
        done(std::move(charge));
      });
}

Result<Money> Ledger::WriteDown(JournalRecord record) {
  const std::optional<Reservation> open = open_.Find(record.request);
  if (!open) {
    return Fail(ErrorCode::kNotFound, "there is no request {} under way", record.request);
  }
  FULMEN_ASSIGN(const Money charge, ChargeOf(*open, record.tokens));
  record.ended = clock_ ? clock_() : SystemTime();
  FULMEN_TRY(journal_->Append(record));
  return charge;
}

void Ledger::FindAnswer(const AnswerName& name, Done<Result<std::optional<KeptAnswer>>> done) {
  Start<std::optional<KeptAnswer>>(
      "",
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

}  // namespace fulmen
