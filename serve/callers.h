// Who may ask: by a key that a request shows, or by the sign-in of a browser, which got it for a
// key.
//
// A page of ours shows a key once (POST /v1/login) and has a cookie from then on, which no script
// can read and which dies with the key. A cookie goes with whatever a browser sends to this host,
// so it counts only where no key is shown and the request is from our own page: SameSite=Strict
// holds back what other sites make a browser send, and since another port of this host is the same
// site, Origin and Sec-Fetch-Site must say that it is ours (IsOwnPage). A foreign page that adds a
// key of its own making, to get past the guard, has none that is known. Over plain HTTP browsers
// leave Sec-Fetch-Site out, and a GET has no Origin: it counts, since our page sends such ones, and
// what another port's page can have of it is nothing that it can read and nothing that it changes.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "accounts/ledger.h"
#include "serve/http.h"

namespace fulmen {

// Thread safe.
class Callers {
 public:
  virtual ~Callers() = default;

  // It takes as long for a key that is known as for any other.
  virtual std::optional<Caller> OfKey(std::string_view key) const = 0;
  virtual std::optional<Caller> OfLogin(std::string_view login) const = 0;

  // The secret of a new sign-in with a key that is known. What follows may wait for a disk.
  virtual Result<std::string> Login(std::string_view key) = 0;
  virtual Status Logout(std::string_view login) = 0;
  // Seconds until a sign-in ends by itself.
  static constexpr int64_t kLoginSeconds = Ledger::kLoginSeconds;
};

// Each of these keys has a space of its own. Only their hashes are kept. Sign-ins end with the
// server.
std::unique_ptr<Callers> CallersOf(const std::vector<std::string>& keys);
// The keys of a ledger, which must outlive it. What they keep belongs to the key's organisation.
std::unique_ptr<Callers> CallersOf(Ledger& ledger);

// Requests must show a key or a sign-in that counts, an administrator's for Access::kAdmin where
// there are any. `callers` must outlive it.
Authorize AuthorizeBy(const Callers& callers, bool over_tls);

// The key that a request shows in `Authorization: Bearer` or `x-api-key`; "" when it shows none.
std::string_view ApiKeyOf(const HttpRequest& request);
// The secret of the sign-in that it shows; "" where there is none, or where it does not count.
std::string_view LoginOf(const HttpRequest& request, bool over_tls);
// The value of Set-Cookie for it; "" ends it.
std::string LoginCookie(std::string_view login, bool over_tls);

// What is said to who shows no key, or none that is known.
ApiError KeyError(std::string_view shown);

}  // namespace fulmen
