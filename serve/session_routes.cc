// Named conversations over HTTP: what `fulmen session` does on the machine itself. Each key has a
// namespace of its own.
#include <utility>

#include "base/clock.h"
#include "engine/session_file.h"
#include "engine/session_json.h"
#include "serve/fields.h"
#include "serve/request_json.h"
#include "serve/service.h"

namespace fulmen {
namespace {

// What a route works on, on a worker.
struct Asked {
  SessionStore& store;
  std::string space;
  std::string name;  // of the path, where it has one
  std::string body;
};
using Worker = ApiResult<HttpResponse> (*)(const Asked& asked);

RouteHandler Answered(Service& service, Worker worker) {
  return [&service, worker](Exchange& exchange, const PathValues& values) {
    const auto name = values.find("name");
    const std::string named = name == values.end() ? "" : name->second;
    auto work = [&service, worker, &exchange, named]() -> ApiResult<HttpResponse> {
      if (service.sessions == nullptr) {
        return ApiFail(ApiErrorKind::kNotFound, "", "this server keeps no sessions");
      }
      return worker(
          {*service.sessions, exchange.request().caller.space, named, exchange.TakeBody()});
    };
    return RespondFromWorker(service, exchange, work);
  };
}

ApiResult<SavedSession> Find(const Asked& asked) {
  auto found = asked.store.Find(asked.space, asked.name);
  if (!found) return tl::unexpected(ToApiError(found.error()));
  if (!*found) {
    return ApiFail(ApiErrorKind::kNotFound, "", "there is no session \"{}\"", asked.name);
  }
  return **std::move(found);
}

template <class T>
ApiResult<T> OrError(Result<T> result) {
  if (!result) return tl::unexpected(ToApiError(result.error()));
  if constexpr (!std::is_void_v<T>) {
    return *std::move(result);
  } else {
    return {};
  }
}

HttpResponse Done(const std::string& name, std::string_view what) {
  return HttpResponse::OfJson({{"name", name}, {std::string(what), true}});
}

ApiResult<HttpResponse> List(const Asked& asked) {
  FULMEN_API_ASSIGN(const auto sessions, OrError(asked.store.List(asked.space)));
  return HttpResponse::OfJson({{"object", "list"}, {"data", SessionListJson(sessions)}});
}

ApiResult<HttpResponse> Show(const Asked& asked) {
  FULMEN_API_ASSIGN(const SavedSession session, Find(asked));
  return HttpResponse::OfJson(SessionJson(session, /*ids=*/false));
}

ApiResult<HttpResponse> Remove(const Asked& asked) {
  FULMEN_API_TRY(OrError(asked.store.Remove(asked.space, asked.name)));
  return Done(asked.name, "deleted");
}

// {"name": the copy's}
ApiResult<HttpResponse> Fork(const Asked& asked) {
  FULMEN_API_ASSIGN(const Json body, ParseRequestJson(asked.body));
  FULMEN_API_ASSIGN(const Fields fields, Fields::Of(body));
  FULMEN_API_ASSIGN(const std::string name, fields.NeededString("name"));
  FULMEN_API_TRY(OrError(asked.store.Fork(asked.space, asked.name, name, SecondsNow())));
  return HttpResponse::OfJson({{"name", name}, {"forked_from", asked.name}});
}

// {"name": a new one} and {"expires_after": seconds, or null for never}, either or both.
ApiResult<HttpResponse> Change(const Asked& asked) {
  FULMEN_API_ASSIGN(const Json body, ParseRequestJson(asked.body));
  FULMEN_API_ASSIGN(const Fields fields, Fields::Of(body));
  FULMEN_API_ASSIGN(const auto name, fields.String("name"));
  FULMEN_API_ASSIGN(const auto seconds, fields.Integer("expires_after", 0, int64_t{1} << 40));
  if (body.contains("expires_after")) {
    const auto expires = seconds ? std::optional(SecondsNow() + *seconds) : std::nullopt;
    FULMEN_API_TRY(OrError(asked.store.SetExpiry(asked.space, asked.name, expires)));
  }
  if (name) FULMEN_API_TRY(OrError(asked.store.Rename(asked.space, asked.name, *name)));
  return HttpResponse::OfJson({{"name", name.value_or(asked.name)}});
}

ApiResult<HttpResponse> Export(const Asked& asked) {
  FULMEN_API_ASSIGN(const SavedSession session, Find(asked));
  return HttpResponse{.body = FormatSession(session)};
}

// The body is an exported session; it gets the name of the path.
ApiResult<HttpResponse> Import(const Asked& asked) {
  FULMEN_API_ASSIGN(SavedSession session, OrError(ParseSession(asked.body, "the body")));
  session.space = asked.space;
  session.name = asked.name;
  FULMEN_API_TRY(OrError(asked.store.Create(session)));
  return HttpResponse::OfJson(SessionJson(session, /*ids=*/false), 201);
}

}  // namespace

std::vector<Route> SessionRoutes(Service& service) {
  const std::string one = "/v1/sessions/{name}";
  return {
      {"GET", "/v1/sessions", Answered(service, List), Access::kKey, "The sessions of this key"},
      {"GET", one, Answered(service, Show), Access::kKey, "One of them, with its messages"},
      {"DELETE", one, Answered(service, Remove), Access::kKey, "Delete it"},
      {"PATCH", one, Answered(service, Change), Access::kKey, "Rename it, or let it expire"},
      {"POST", one + "/fork", Answered(service, Fork), Access::kKey, "Copy it under another name"},
      {"GET", one + "/export", Answered(service, Export), Access::kKey, "As a file"},
      {"PUT", one, Answered(service, Import), Access::kKey, "From such a file"},
  };
}

}  // namespace fulmen
