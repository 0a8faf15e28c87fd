#include "accounts/admission.h"

#include <algorithm>

#include "accounts/gcra.h"

namespace fulmen {
namespace {

LimitState StateOf(int64_t full, int64_t now, int64_t per_minute) {
  if (per_minute == 0) return {};
  return {.limit = per_minute,
          .left = LeftInBucket(full, now, per_minute),
          .reset = std::max<int64_t>(full - now, 0)};
}

}  // namespace

Status Admitting::Run(Sql& sql, int64_t now) {
  now_ = now;
  kind_ = Kind::kFailed;  // it may run again
  wait_ = 0;
  before_ = {};
  FULMEN_TRY(CheckAsk());
  FULMEN_TRY(FindKey(sql));
  before_ = LimitsNow();
  FULMEN_TRY(FindPrices(sql));
  FULMEN_TRY(CheckConcurrent(sql));
  FULMEN_TRY(Take(Kind::kRequests, 1, limits_.requests_per_minute, requests_full_));
  FULMEN_TRY(Take(Kind::kTokens, Tokens(), limits_.tokens_per_minute, tokens_full_));
  FULMEN_TRY(Hold(sql));
  if (ask_.answer) FULMEN_TRY(BeginAnswer(sql, ask_.request, *ask_.answer, now_));
  return Write(sql);
}

Admission Admitting::Answer(const Status& status) const {
  if (status) {
    return Admitted{.output = Output(),
                    .limits = LimitsNow(),
                    .prices = open_.prices,
                    .currency = funds_.currency};
  }
  if (status.error().code == ErrorCode::kUnavailable) {
    constexpr int64_t kSecond = 1'000'000'000;
    return tl::unexpected<Refusal>(
        Refusal{.kind = Kind::kUnavailable, .error = status.error(), .wait = kSecond});
  }
  Refusal refusal{.kind = kind_, .error = status.error(), .wait = wait_, .limits = before_};
  return tl::unexpected<Refusal>(std::move(refusal));
}

tl::unexpected<Error> Admitting::Refuse(Kind kind, std::string message, int64_t wait) {
  kind_ = kind;
  wait_ = wait;
  return tl::unexpected<Error>(Error{ErrorCode::kNoRoom, std::move(message)});
}

Limits Admitting::LimitsNow() const {
  return {.requests = StateOf(requests_full_, now_, limits_.requests_per_minute),
          .tokens = StateOf(tokens_full_, now_, limits_.tokens_per_minute)};
}

Status Admitting::CheckAsk() const {
  if (ask_.prompt < 0 || ask_.prompt > kLargestPerMinute) {
    return Fail(ErrorCode::kInvalidArgument, "a prompt should have from 0 to {} tokens, found {}",
                kLargestPerMinute, ask_.prompt);
  }
  if (ask_.most_output < 0) {
    return Fail(ErrorCode::kInvalidArgument, "answers should have 0 tokens or more, found {}",
                ask_.most_output);
  }
  constexpr int64_t kMostChoices = 10'000;
  if (ask_.choices >= 1 && ask_.choices <= kMostChoices) return {};
  return Fail(ErrorCode::kInvalidArgument, "a request should have from 1 to {} answers, found {}",
              kMostChoices, ask_.choices);
}

Status Admitting::FindKey(Sql& sql) {
  const SqlRows owner = sql.Query("SELECT organisation FROM keys WHERE id = ?", ask_.key);
  if (owner.empty()) return Refuse(Kind::kKey, "there is no such key");
  open_.organisation = owner[0].Text(0);
  funds_ = LockFunds(sql, open_.organisation);
  const SqlRows rows = sql.Query(
      "SELECT requests_per_minute, tokens_per_minute, concurrent, spend_per_day, requests_full, "
      "tokens_full FROM keys WHERE id = ? AND revoked = 0 AND (expires = 0 OR expires > ?) "
      "FOR UPDATE",
      ask_.key, now_);
  if (rows.empty()) return Refuse(Kind::kKey, "the key is revoked or has expired");
  const SqlRow& row = rows[0];
  limits_.requests_per_minute = row.Number(0);
  limits_.tokens_per_minute = row.Number(1);
  limits_.concurrent = row.Number(2);
  limits_.spend_per_day = {row.Number(3)};
  requests_full_ = row.Number(4);
  tokens_full_ = row.Number(5);
  return {};
}

Status Admitting::FindPrices(Sql& sql) {
  const SqlRows rows =
      sql.Query("SELECT text, cached, image, output FROM prices WHERE model = ? AND currency = ?",
                ask_.model, funds_.currency);
  if (rows.empty()) {
    return Refuse(Kind::kPrice,
                  fmt::format("the model {} has no price in {}", ask_.model, funds_.currency));
  }
  open_.prices = ReadPrices(rows[0], 0);
  return {};
}

Status Admitting::CheckConcurrent(Sql& sql) {
  if (limits_.concurrent == 0) return {};
  const SqlRow open = sql.Query("SELECT count(*) FROM reservations WHERE key = ?", ask_.key)[0];
  if (open.Number(0) < limits_.concurrent) return {};
  constexpr int64_t kSecond = 1'000'000'000;  // when one of them ends is not known
  return Refuse(
      Kind::kConcurrent,
      fmt::format("this key may have {} under way at a time, and has as many", limits_.concurrent),
      kSecond);
}

Status Admitting::Take(Kind kind, int64_t cost, int64_t per_minute, int64_t& full) {
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
                                per_minute, what, cost, Output()));
    case GcraAnswer::Kind::kLater:
      break;
  }
  constexpr double kMillisecond = 1e6;
  return Refuse(
      kind,
      fmt::format("at most {} {} a minute are expected of this key, and {} are due in {:.0f} ms",
                  per_minute, what, cost, static_cast<double>(answer.wait) / kMillisecond),
      answer.wait);
}

Status Admitting::Hold(Sql& sql) {
  // Which class each token of the prompt is in is not known before it is read.
  const Prices& prices = open_.prices;
  const Money dearest{std::max({prices.text.nanos, prices.cached.nanos, prices.image.nanos})};
  FULMEN_ASSIGN(const Money prompt, Multiply(dearest, ask_.prompt));
  FULMEN_ASSIGN(const Money output, Multiply(prices.output, Output()));
  FULMEN_ASSIGN(open_.held, Add(prompt, output));
  const auto may_cost = [&] {
    return fmt::format("{} {} may be needed", FormatMoney(open_.held), funds_.currency);
  };
  if (limits_.spend_per_day.nanos > 0) {
    const DaySpending spending =
        SpendingOf(sql, ask_.key, limits_.spend_per_day, funds_.zone, now_);
    if (open_.held.nanos > spending.left.nanos) {
      return Refuse(Kind::kSpend,
                    fmt::format("{}, and {} are left of the {} that this key may spend on {} ({})",
                                may_cost(), FormatMoney(spending.left),
                                FormatMoney(limits_.spend_per_day), spending.day.name, funds_.zone),
                    spending.day.end - now_);
    }
  }
  if (open_.held.nanos <= funds_.left.nanos) return {};
  return Refuse(Kind::kBalance,
                fmt::format("{}, and {} are left", may_cost(), FormatMoney(funds_.left)));
}

Status Admitting::Write(Sql& sql) {
  open_.request = ask_.request;
  open_.key = ask_.key;
  open_.model = ask_.model;
  open_.started = now_;
  open_.prompt = ask_.prompt;
  open_.output = Output();
  open_.choices = ask_.choices;
  open_.taken = limits_.tokens_per_minute == 0 ? 0 : Tokens();
  sql.Execute("UPDATE organisations SET held = held + ? WHERE name = ?", open_.held.nanos,
              open_.organisation);
  if (limits_.requests_per_minute > 0 || limits_.tokens_per_minute > 0) {
    sql.Execute("UPDATE keys SET requests_full = ?, tokens_full = ? WHERE id = ?", requests_full_,
                tokens_full_, ask_.key);
  }
  const bool ended = !sql.Query("SELECT 1 FROM usage WHERE request = ?", ask_.request).empty();
  const Prices& prices = open_.prices;
  if (!ended &&
      sql.Execute(
          "INSERT INTO reservations (request, key, organisation, model, started, prompt, output, "
          "taken, choices, held, text_price, cached_price, image_price, output_price, owner) "
          "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
          open_.request, open_.key, open_.organisation, open_.model, open_.started, open_.prompt,
          open_.output, open_.taken, open_.choices, open_.held.nanos, prices.text.nanos,
          prices.cached.nanos, prices.image.nanos, prices.output.nanos, open_.owner) == 1) {
    return {};
  }
  return Fail(ErrorCode::kConflict, "there was a request {} already", ask_.request);
}

}  // namespace fulmen
