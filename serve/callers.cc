#include "serve/callers.h"

#include <openssl/crypto.h>

#include <map>
#include <mutex>
#include <utility>

#include "accounts/key.h"
#include "base/ascii.h"
#include "base/clock.h"
#include "engine/digest.h"
#include "serve/http_guard.h"

namespace fulmen {
namespace {

class CallersOfKeys : public Callers {
 public:
  explicit CallersOfKeys(const std::vector<std::string>& keys) {
    for (const std::string& key : keys) hashes_.push_back(HashOfSecret(key));
  }

  std::optional<Caller> OfKey(std::string_view key) const override {
    const std::string given = HashOfSecret(key);
    bool known = false;
    for (const std::string& hash : hashes_) {
      known |= CRYPTO_memcmp(hash.data(), given.data(), given.size()) == 0;
    }
    if (!known) return std::nullopt;
    const std::string space = Base64Url(DigestFields("fulmen key 1").Text(key).Digest());
    return Caller{.space = "key-" + space};
  }

  std::optional<Caller> OfLogin(std::string_view login) const override {
    const std::string hash = HashOfSecret(login);
    const std::lock_guard lock(mutex_);
    const auto found = logins_.find(hash);
    if (found == logins_.end() || found->second.ends <= SecondsNow()) return std::nullopt;
    return found->second.caller;
  }

  Result<std::string> Login(std::string_view key) override {
    std::optional<Caller> caller = OfKey(key);
    if (!caller) return Fail(ErrorCode::kNotFound, "the API key is not known");
    std::string login = NewSecret().Reveal();
    const int64_t now = SecondsNow();
    const std::lock_guard lock(mutex_);
    std::erase_if(logins_, [now](const auto& each) { return each.second.ends <= now; });
    logins_[HashOfSecret(login)] = {*std::move(caller), now + kLoginSeconds};
    return login;
  }

  Status Logout(std::string_view login) override {
    const std::string hash = HashOfSecret(login);
    const std::lock_guard lock(mutex_);
    logins_.erase(hash);
    return {};
  }

 private:
  struct SignIn {
    Caller caller;
    int64_t ends = 0;  // seconds since 1970
  };

  std::vector<std::string> hashes_;
  mutable std::mutex mutex_;
  std::map<std::string, SignIn> logins_;  // by the hashes of their secrets
};

class CallersOfLedger : public Callers {
 public:
  explicit CallersOfLedger(Ledger& ledger) : ledger_(ledger) {}

  std::optional<Caller> OfKey(std::string_view key) const override {
    return CallerOf(ledger_.Authenticate(key));
  }
  std::optional<Caller> OfLogin(std::string_view login) const override {
    return CallerOf(ledger_.AuthenticateLogin(login));
  }
  Result<std::string> Login(std::string_view key) override {
    const std::optional<Key> found = ledger_.Authenticate(key);
    if (!found) return Fail(ErrorCode::kNotFound, "the API key is not known");
    FULMEN_ASSIGN(const Secret login, ledger_.AddLogin(found->id));
    return login.Reveal();
  }
  Status Logout(std::string_view login) override { return ledger_.EndLogin(login); }

 private:
  static std::optional<Caller> CallerOf(const std::optional<Key>& key) {
    if (!key) return std::nullopt;
    return Caller{.space = "org-" + key->organisation,
                  .key = key->id,
                  .organisation = key->organisation,
                  .is_admin = key->settings.scope == KeyScope::kAdmin};
  }

  Ledger& ledger_;
};

// The key of "Bearer KEY"; empty where it is something else.
std::string_view BearerToken(std::string_view value) {
  constexpr std::string_view kScheme = "bearer ";
  if (!SameIgnoringCase(value.substr(0, kScheme.size()), kScheme)) return "";
  value.remove_prefix(kScheme.size());
  while (value.starts_with(' ')) value.remove_prefix(1);
  return value;
}

// A browser takes a cookie of such a name from nobody but this very host over TLS.
std::string_view CookieName(bool over_tls) {
  return over_tls ? "__Host-fulmen_login" : "fulmen_login";
}

}  // namespace

std::unique_ptr<Callers> CallersOf(const std::vector<std::string>& keys) {
  return std::make_unique<CallersOfKeys>(keys);
}

std::unique_ptr<Callers> CallersOf(Ledger& ledger) {
  return std::make_unique<CallersOfLedger>(ledger);
}

Authorize AuthorizeBy(const Callers& callers, bool over_tls) {
  return [&callers, over_tls](const HttpRequest& request, Access access) -> ApiResult<Caller> {
    const std::string_view key = ApiKeyOf(request);
    const std::string_view login = LoginOf(request, over_tls);
    std::optional<Caller> caller = login.empty() ? callers.OfKey(key) : callers.OfLogin(login);
    if (!caller) return tl::unexpected(KeyError(key));
    if (access == Access::kAdmin && !caller->organisation.empty() && !caller->is_admin) {
      return ApiFail(ApiErrorKind::kForbidden, "", "an administrator's key is expected here");
    }
    return *std::move(caller);
  };
}

std::string_view ApiKeyOf(const HttpRequest& request) {
  const std::string_view bearer = BearerToken(request.Header("authorization"));
  return bearer.empty() ? request.Header("x-api-key") : bearer;
}

std::string_view LoginOf(const HttpRequest& request, bool over_tls) {
  if (!ApiKeyOf(request).empty() || !HttpGuard::IsOwnPage(request)) return "";
  const std::string_view name = CookieName(over_tls);
  for (const auto& [header, value] : request.headers) {
    if (!SameIgnoringCase(header, "cookie")) continue;
    std::string_view rest = value;
    while (!rest.empty()) {
      std::string_view pair = rest.substr(0, rest.find(';'));
      rest.remove_prefix(std::min(pair.size() + 1, rest.size()));
      while (pair.starts_with(' ')) pair.remove_prefix(1);
      if (pair.starts_with(name) && pair.substr(name.size()).starts_with('=')) {
        return pair.substr(name.size() + 1);
      }
    }
  }
  return "";
}

std::string LoginCookie(std::string_view login, bool over_tls) {
  return fmt::format("{}={}; Path=/; Max-Age={}; HttpOnly; SameSite=Strict{}", CookieName(over_tls),
                     login, login.empty() ? 0 : Callers::kLoginSeconds, over_tls ? "; Secure" : "");
}

ApiError KeyError(std::string_view shown) {
  if (!shown.empty()) return {ApiErrorKind::kAuthentication, "the API key is not known"};
  return {ApiErrorKind::kAuthentication,
          "expected an API key, as 'Authorization: Bearer KEY' or 'x-api-key: KEY'"};
}

}  // namespace fulmen
