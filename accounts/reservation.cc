#include "accounts/reservation.h"

#include "accounts/gcra.h"
#include "accounts/kept_answer.h"

namespace fulmen {
namespace {

// The bucket of tokens had what was expected taken; now it is known what was used.
void CorrectTokens(Sql& sql, const LockedRequest& locked, int64_t used, int64_t now) {
  if (locked.tokens_per_minute == 0) return;
  const int64_t full =
      CorrectBucket(locked.tokens_full, now, locked.open.taken, used, locked.tokens_per_minute);
  sql.Execute("UPDATE keys SET tokens_full = ? WHERE id = ?", full, locked.open.key);
}

}  // namespace

Funds LockFunds(Sql& sql, const std::string& organisation) {
  const SqlRow row = sql.Query(
      "SELECT currency, zone, balance - held FROM organisations WHERE name = ? FOR UPDATE",
      organisation)[0];
  return {.currency = row.Text(0), .zone = row.Text(1), .left = {row.Number(2)}};
}

DaySpending SpendingOf(Sql& sql, const std::string& key, Money per_day, const std::string& zone,
                       int64_t now) {
  DaySpending found;
  found.day = DayAt(zone, now);
  const SqlRow held = sql.Query(
      "SELECT CAST(coalesce(sum(held), 0) AS BIGINT) FROM reservations WHERE key = ?", key)[0];
  const SqlRows spent =
      sql.Query("SELECT spent FROM days WHERE key = ? AND start = ?", key, found.day.start);
  found.left.nanos = per_day.nanos - held.Number(0) - (spent.empty() ? 0 : spent[0].Number(0));
  return found;
}

Result<LockedRequest> LockRequest(Sql& sql, const std::string& request) {
  const auto gone = [&request] {
    return Fail(ErrorCode::kNotFound, "there is no request {} under way", request);
  };
  const SqlRows owner =
      sql.Query("SELECT organisation, key FROM reservations WHERE request = ?", request);
  if (owner.empty()) return gone();
  LockedRequest locked;
  locked.funds = LockFunds(sql, owner[0].Text(0));
  const SqlRow key = sql.Query(
      "SELECT spend_per_day, tokens_per_minute, tokens_full, revoked FROM keys WHERE id = ? "
      "FOR UPDATE",
      owner[0].Text(1))[0];
  locked.spend_per_day = {key.Number(0)};
  locked.tokens_per_minute = key.Number(1);
  locked.tokens_full = key.Number(2);
  locked.is_revoked = key.Number(3) != 0;
  // Read now that nobody else can change it.
  const SqlRows rows = sql.Query(
      "SELECT started, prompt, output, taken, choices, held, text_price, cached_price, "
      "image_price, output_price, model FROM reservations WHERE request = ?",
      request);
  if (rows.empty()) return gone();
  const SqlRow& row = rows[0];
  Reservation& open = locked.open;
  open.request = request;
  open.organisation = owner[0].Text(0);
  open.key = owner[0].Text(1);
  open.started = row.Number(0);
  open.prompt = row.Number(1);
  open.output = row.Number(2);
  open.taken = row.Number(3);
  open.choices = row.Number(4);
  open.held = {row.Number(5)};
  open.prices = ReadPrices(row, 6);
  open.model = row.Text(10);
  return locked;
}

Result<Money> ChargeOf(const Reservation& open, const TokenCounts& tokens) {
  FULMEN_ASSIGN(const Money charge, Cost(tokens, open.prices));
  if (tokens.prompt <= open.prompt && tokens.output <= open.output) return charge;
  return Fail(ErrorCode::kInvalidArgument,
              "{}: at most {} tokens of prompt and {} of answer are held for, found {} and {}",
              open.request, open.prompt, open.output, tokens.prompt, tokens.output);
}

Prices ReadPrices(const SqlRow& row, size_t first) {
  return {.text = {row.Number(first)},
          .cached = {row.Number(first + 1)},
          .image = {row.Number(first + 2)},
          .output = {row.Number(first + 3)}};
}

Status Close(Sql& sql, const LockedRequest& locked, const TokenCounts& tokens, Money charge,
             const std::string& outcome, int64_t now) {
  const Reservation& open = locked.open;
  if (sql.Execute("DELETE FROM reservations WHERE request = ?", open.request) != 1) {
    return Fail(ErrorCode::kConflict, "the request {} has ended already", open.request);
  }
  sql.Execute("UPDATE organisations SET balance = balance - ?, held = held - ? WHERE name = ?",
              charge.nanos, open.held.nanos, open.organisation);
  CorrectTokens(sql, locked, tokens.prompt + tokens.output, now);
  EndAnswer(sql, open.request);
  if (charge.nanos > 0) {
    const Day day = DayAt(locked.funds.zone, now);
    sql.Execute(
        "INSERT INTO days (key, start, until, spent) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (key, start) DO UPDATE SET spent = days.spent + excluded.spent",
        open.key, day.start, day.end, charge.nanos);
  }
  const Prices& prices = open.prices;
  sql.Execute(
      "INSERT INTO usage (request, key, organisation, model, started, ended, outcome, prompt, "
      "text, cached, image, output, reasoning, text_price, cached_price, image_price, "
      "output_price, charge) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
      open.request, open.key, open.organisation, open.model, open.started, now, outcome,
      tokens.prompt, tokens.text, tokens.cached, tokens.image, tokens.output, tokens.reasoning,
      prices.text.nanos, prices.cached.nanos, prices.image.nanos, prices.output.nanos,
      charge.nanos);
  return {};
}

}  // namespace fulmen
