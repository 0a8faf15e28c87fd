// Whether a request may start.
#pragma once

#include <algorithm>
#include <string>

#include "accounts/ledger.h"
#include "accounts/reservation.h"
#include "accounts/sql.h"

namespace fulmen {

// The job of an admission: what refuses it rolls all back.
class Admitting {
 public:
  // `server` is to be the owner.
  Admitting(const Ask& ask, const std::string& server) : ask_(ask) { open_.owner = server; }

  Status Run(Sql& sql, int64_t now);
  // After it, with how its transaction ended.
  Admission Answer(const Status& status) const;
  const Reservation& reservation() const { return open_; }

 private:
  using Kind = Refusal::Kind;

  // What its answers may have at first, and all its tokens with that.
  int64_t Output() const { return std::min(ask_.choices * Ledger::kFirstOutput, ask_.most_output); }
  int64_t Tokens() const { return ask_.prompt + Output(); }

  tl::unexpected<Error> Refuse(Kind kind, std::string message, int64_t wait = 0);
  Status CheckAsk() const;
  Status FindKey(Sql& sql);
  Status FindPrices(Sql& sql);
  Status CheckConcurrent(Sql& sql);
  Status Take(Kind kind, int64_t cost, int64_t per_minute, int64_t& full);
  Status Hold(Sql& sql);
  Status Write(Sql& sql);
  Limits LimitsNow() const;

  const Ask ask_;
  int64_t now_ = 0;
  Funds funds_ = {};
  KeyLimits limits_ = {};
  int64_t requests_full_ = 0;  // when the key's bucket is full again
  int64_t tokens_full_ = 0;
  Limits before_ = {};  // anything was taken
  Reservation open_ = {};
  Kind kind_ = Kind::kFailed;
  int64_t wait_ = 0;
};

}  // namespace fulmen
