// Who asks, for the page: what it may show them, and how a browser signs in with a key (callers.h).
#include <algorithm>
#include <utility>

#include "accounts/admin.h"
#include "serve/fields.h"
#include "serve/http_guard.h"
#include "serve/on_workers.h"
#include "serve/request_json.h"
#include "serve/service.h"

namespace fulmen {
namespace {

// Bytes that anybody may send, without a key.
constexpr size_t kMostBody = 4096;

ApiResult<Json> OrganisationJson(Ledger& ledger, const std::string& name) {
  const auto all = ledger.Organisations();
  if (!all) return tl::unexpected(ToApiError(all.error()));
  const auto balance = ledger.BalanceOf(name);
  if (!balance) return tl::unexpected(ToApiError(balance.error()));
  const auto found = std::ranges::find(*all, name, &OrganisationInfo::name);
  return Json{{"name", name},
              {"currency", balance->currency},
              {"time_zone", found == all->end() ? "UTC" : found->zone},
              {"balance", FormatMoney(balance->balance)},
              {"held", FormatMoney(balance->held)}};
}

// What the page shows of whoever asks. It waits for the ledger.
ApiResult<Json> WhoJson(const Service& service, const Caller& caller) {
  Json who = {{"needs_key", service.callers != nullptr},
              {"key", nullptr},
              {"organisation", nullptr},
              {"is_admin", caller.is_admin},
              {"sees_metrics", service.ledger == nullptr || caller.is_admin},
              {"keeps_sessions", service.sessions != nullptr}};
  if (service.ledger == nullptr) return who;
  if (const auto key = service.ledger->FindKey(caller.key)) who["key"] = KeyJson(*key);
  FULMEN_API_ASSIGN(who["organisation"], OrganisationJson(*service.ledger, caller.organisation));
  return who;
}

RouteHandler Me(Service& service) {
  return [&service](Exchange& exchange, const PathValues&) {
    auto work = [&service, &exchange]() -> ApiResult<HttpResponse> {
      FULMEN_API_ASSIGN(const Json who, WhoJson(service, exchange.request().caller));
      HttpResponse response = HttpResponse::OfJson(who);
      response.headers.emplace_back("cache-control", "no-store");
      return response;
    };
    return RespondFromWorker(service, exchange, work);
  };
}

// For a page that was opened just now, which knows neither whether it has a cookie nor whether it
// needs one: that it has none is no error.
ApiResult<HttpResponse> SignedIn(Service& service, Exchange& exchange) {
  const HttpRequest& request = exchange.request();
  std::optional<Caller> caller = request.caller;
  if (service.callers != nullptr) {
    caller = service.callers->OfLogin(LoginOf(request, service.over_tls));
  }
  Json who = nullptr;
  if (caller) {
    FULMEN_API_ASSIGN(who, WhoJson(service, *caller));
  }
  HttpResponse response = HttpResponse::OfJson({{"me", std::move(who)}});
  response.headers.emplace_back("cache-control", "no-store");
  return response;
}

// Only for our own page, and for who is no page: another site could sign a browser in as somebody
// else, whose chats the user then writes, or sign it out.
ApiResult<void> CheckPage(const HttpRequest& request) {
  if (HttpGuard::IsOwnPage(request)) return {};
  return ApiFail(ApiErrorKind::kForbidden, "", "pages of other sites may not sign in here");
}

ApiResult<HttpResponse> LogIn(Service& service, Exchange& exchange) {
  FULMEN_API_TRY(CheckPage(exchange.request()));
  if (service.callers == nullptr) {
    return ApiFail(ApiErrorKind::kInvalid, "", "this server asks for no key");
  }
  FULMEN_API_ASSIGN(const Json body, ParseRequestJson(exchange.TakeBody()));
  FULMEN_API_ASSIGN(const Fields fields, Fields::Of(body));
  FULMEN_API_ASSIGN(const std::string key, fields.NeededString("key"));
  const std::optional<Caller> caller = service.callers->OfKey(key);
  if (!caller) return tl::unexpected(KeyError("it"));
  const auto login = service.callers->Login(key);
  // It may have been revoked meanwhile.
  if (!login && login.error().code == ErrorCode::kNotFound) return tl::unexpected(KeyError("it"));
  if (!login) return tl::unexpected(ToApiError(login.error()));
  FULMEN_API_ASSIGN(const Json who, WhoJson(service, *caller));
  HttpResponse response = HttpResponse::OfJson(who);
  response.headers.emplace_back("set-cookie", LoginCookie(*login, service.over_tls));
  response.headers.emplace_back("cache-control", "no-store");
  return response;
}

ApiResult<HttpResponse> LogOut(Service& service, Exchange& exchange) {
  FULMEN_API_TRY(CheckPage(exchange.request()));
  const std::string login(LoginOf(exchange.request(), service.over_tls));
  // Nobody has the ledger write for a cookie that is made up.
  if (service.callers != nullptr && service.callers->OfLogin(login)) {
    const Status ended = service.callers->Logout(login);
    if (!ended) return tl::unexpected(ToApiError(ended.error()));
  }
  HttpResponse response = HttpResponse::OfJson({{"signed_in", false}});
  response.headers.emplace_back("set-cookie", LoginCookie("", service.over_tls));
  return response;
}

RouteHandler Answered(Service& service,
                      ApiResult<HttpResponse> (*answer)(Service& service, Exchange& exchange)) {
  return [&service, answer](Exchange& exchange, const PathValues&) {
    auto work = [&service, answer, &exchange] { return answer(service, exchange); };
    return RespondFromWorker(service, exchange, work);
  };
}

}  // namespace

std::vector<Route> LoginRoutes(Service& service) {
  return {
      {"GET",
       "/v1/me",
       Me(service),
       Access::kKey,
       "Who asks, and what they have left",
       {.answer = "Me"}},
      {"GET",
       "/v1/login",
       Answered(service, SignedIn),
       Access::kAnyone,
       "Who is signed in, null where that takes a key",
       {.answer = "SignedIn"}},
      {"POST",
       "/v1/login",
       Answered(service, LogIn),
       Access::kAnyone,
       "Sign a browser in with a key",
       {.body = "Login", .answer = "Me"},
       kMostBody},
      {"POST",
       "/v1/logout",
       Answered(service, LogOut),
       Access::kAnyone,
       "Sign it out",
       {.answer = "SignedOut"},
       kMostBody},
  };
}

}  // namespace fulmen
