// Requests under way, as the ledger's rows have them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "accounts/day.h"
#include "accounts/money.h"
#include "accounts/price.h"
#include "accounts/sql.h"

namespace fulmen {

// Rows are locked in this order, so that no two transactions wait for each other: an organisation,
// its keys, their days.

struct Funds {
  std::string currency;
  std::string zone;
  Money left;  // of the balance, that nothing holds
};

struct Reservation {
  std::string request;
  std::string owner;  // the server that has it
  std::string key;
  std::string organisation;
  std::string model;
  int64_t started = 0;
  int64_t prompt = 0;  // tokens, as the next two
  int64_t output = 0;
  int64_t taken = 0;  // from the key's bucket
  int64_t choices = 1;
  Money held = {};
  Prices prices = {};
};

// With what the rows have that were locked for it.
struct LockedRequest {
  Reservation open;
  Funds funds;
  Money spend_per_day;  // of its key
  int64_t tokens_per_minute = 0;
  int64_t tokens_full = 0;
  bool is_revoked = false;
};

// Locks the organisation's row.
Funds LockFunds(Sql& sql, const std::string& organisation);

// What a key may still spend in the day of `zone` that `now` is in, beyond what its requests under
// way hold. The key's row is locked.
struct DaySpending {
  Day day;
  Money left;
};
DaySpending SpendingOf(Sql& sql, const std::string& key, Money per_day, const std::string& zone,
                       int64_t now);

// The request's row, with those locked that change when it does.
Result<LockedRequest> LockRequest(Sql& sql, const std::string& request);

// An error where it was not admitted with so many.
Result<Money> ChargeOf(const Reservation& open, const TokenCounts& tokens);

// Four columns of a row, from `first` on.
Prices ReadPrices(const SqlRow& row, size_t first);

// Ends a request: its reservation goes, its row of usage comes, and `charge`
// leaves the balance.
Status Close(Sql& sql, const LockedRequest& locked, const TokenCounts& tokens, Money charge,
             const std::string& outcome, int64_t now);

}  // namespace fulmen
