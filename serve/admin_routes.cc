// What administrators ask of the ledger, over HTTP (accounts/admin.h).
#include <utility>

#include "accounts/admin.h"
#include "serve/http_text.h"
#include "serve/request_json.h"
#include "serve/service.h"

namespace fulmen {
namespace {

ApiResult<Json> ArgumentsOf(Exchange& exchange, const PathValues& values) {
  const HttpRequest& request = exchange.request();
  Json arguments = Json::object();
  if (request.method == "POST") {
    FULMEN_API_ASSIGN(arguments, ParseRequestJson(exchange.TakeBody()));
    if (!arguments.is_object()) {
      return ApiFail(ApiErrorKind::kInvalid, "", "the body should be a JSON object");
    }
  } else {
    for (auto& [name, value] : QueryValues(request.query)) arguments[name] = std::move(value);
  }
  for (const auto& [name, value] : values) arguments[name] = value;
  return arguments;
}

RouteHandler Administers(Service& service, const AdminOperation& operation) {
  return [&service, &operation](Exchange& exchange, const PathValues& values) {
    auto work = [&service, &operation, &exchange, &values]() -> ApiResult<HttpResponse> {
      FULMEN_API_ASSIGN(const Json arguments, ArgumentsOf(exchange, values));
      Result<Json> answer = operation.run(*service.ledger, arguments);
      if (!answer) return tl::unexpected(ToApiError(answer.error()));
      return HttpResponse::OfJson(*answer);
    };
    return RespondFromWorker(service, exchange, work);
  };
}

RouteSchemas SchemasOf(const AdminOperation& operation) {
  if (std::string_view(operation.method) == "GET") {
    return {.answer = operation.answer, .query = operation.arguments};
  }
  return {.body = operation.arguments, .answer = operation.answer};
}

}  // namespace

std::vector<Route> AdminRoutes(Service& service) {
  std::vector<Route> routes;
  if (service.ledger == nullptr) return routes;
  for (const AdminOperation& each : AdminOperations()) {
    routes.push_back({each.method, each.path, Administers(service, each), Access::kAdmin,
                      each.summary, SchemasOf(each)});
  }
  return routes;
}

}  // namespace fulmen
