// The sessions that are being answered. Two requests that went on from one turn at the same time
// would both have their answer, and one of them nothing kept.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/json.h"
#include "serve/api_error.h"
#include "serve/generation.h"
#include "serve/http.h"

namespace fulmen {

// A turn that is being made.
struct TurnUnderWay {
  std::string idempotency_key;           // of its request; "": none
  std::string owner;                     // who may read along by it (Caller::owner)
  int64_t started = 0;                   // seconds since 1970
  std::shared_ptr<const Json> messages;  // those that it adds, without its answer
};

// Of the I/O thread.
class SessionClaims {
 public:
  // Sessions that are held as long as it lives; the claims must outlive it.
  class Claim {
   public:
    Claim(Claim&& other) noexcept : claims_(other.claims_), held_(std::exchange(other.held_, {})) {}
    Claim& operator=(Claim&&) = delete;
    ~Claim();

   private:
    friend class SessionClaims;
    explicit Claim(SessionClaims& claims) : claims_(claims) {}

    SessionClaims& claims_;
    std::vector<std::pair<std::string, std::string>> held_;
  };

  // The sessions that `generations` go on with; kConflict where one is held by another.
  ApiResult<Claim> Make(Exchange& exchange, const std::vector<Generation>& generations);
  // What is under way in the caller's namespace, by the sessions' names; others' keys are left out.
  std::map<std::string, TurnUnderWay> Of(const Caller& caller) const;

 private:
  std::map<std::pair<std::string, std::string>, TurnUnderWay> held_;  // by namespace and name
};

}  // namespace fulmen
