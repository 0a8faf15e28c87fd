// OpenAI's Responses API, whose answers are stored.
#include <utility>

#include "serve/on_workers.h"
#include "serve/openai_responses.h"
#include "serve/request_json.h"
#include "serve/service.h"
#include "serve/stored_responses.h"

namespace fulmen {
namespace {

namespace asio = boost::asio;

// What the body refers to. Without a store it can refer to nothing.
ApiResult<ReferredItems> Referred(Service& service, const Json& body, const std::string& space) {
  FULMEN_API_ASSIGN(const ResponseReferences references, ReferencesOf(body));
  if (service.responses != nullptr) {
    return FindReferred(*service.responses, space, references);
  }
  if (references.previous.empty() && references.items.empty()) return ReferredItems();
  return ApiFail(ApiErrorKind::kNotFound, "previous_response_id",
                 "this server stores no responses, so there is none to go on from");
}

asio::awaitable<void> Create(Service& service, Exchange& exchange) {
  const std::string space = exchange.request().caller.space;
  auto parse = [&service, &space, &exchange]() -> ApiResult<std::unique_ptr<ResponsesCall>> {
    FULMEN_API_ASSIGN(Json json, ParseRequestJson(exchange.TakeBody()));
    FULMEN_API_ASSIGN(const std::string session, TakeSession(json));
    FULMEN_API_ASSIGN(const ReferredItems referred, Referred(service, json, space));
    const Json& store = Member(json, "store");
    // The answer does not say that it is stored where it cannot be.
    if (service.responses == nullptr && json.is_object() && (store.is_null() || store == true)) {
      json["store"] = false;
    }
    FULMEN_API_ASSIGN(std::unique_ptr<ResponsesCall> made, ParseOpenAiResponses(json, referred));
    for (Generation& generation : made->generations()) generation.session = session;
    return made;
  };
  auto parsed = co_await OnWorkers(service.answering.workers(), parse);
  if (!parsed) {
    HttpResponse response = ErrorResponse(exchange, parsed.error());
    co_await exchange.Respond(std::move(response));
    co_return;
  }
  std::unique_ptr<ResponsesCall> call = *std::move(parsed);
  Answering::KeepAnswer keep;
  if (call->stores() && service.responses != nullptr) {
    keep = [&service, space, &stored = *call] {
      return StoreResponse(*service.responses, space, stored);
    };
  }
  co_await AnswerCall(service, exchange, std::move(call), std::move(keep));
}

// Works out an answer on a worker.
using ResponseWorker = std::function<ApiResult<Json>(const std::string& space,
                                                     const std::string& id, Exchange& exchange)>;
RouteHandler FromResponseWorker(Service& service, ResponseWorker worker) {
  return [&service, worker = std::move(worker)](Exchange& exchange, const PathValues& values) {
    const auto id = values.find("id");
    const std::string named = id == values.end() ? "" : id->second;
    auto work = [&worker, &exchange, named]() -> ApiResult<HttpResponse> {
      const std::string space = exchange.request().caller.space;
      FULMEN_API_ASSIGN(const Json answer, worker(space, named, exchange));
      return HttpResponse::OfJson(answer);
    };
    return RespondFromWorker(service, exchange, work);
  };
}

// One that needs the store.
RouteHandler FromStore(Service& service, ApiResult<Json> (*worker)(ResponseStore&, std::string_view,
                                                                   std::string_view)) {
  return FromResponseWorker(service,
                            [&service, worker](const std::string& space, const std::string& id,
                                               Exchange&) -> ApiResult<Json> {
                              if (service.responses == nullptr) {
                                return ApiFail(ApiErrorKind::kNotFound, "",
                                               "this server stores no responses");
                              }
                              return worker(*service.responses, space, id);
                            });
}

}  // namespace

std::vector<Route> ResponseRoutes(Service& service) {
  const RouteHandler create = service.idempotency.Once(
      [&service](Exchange& exchange, const PathValues&) { return Create(service, exchange); });
  const auto count = [&service](const std::string& space, const std::string&,
                                Exchange& exchange) -> ApiResult<Json> {
    FULMEN_API_ASSIGN(const Json json, ParseRequestJson(exchange.TakeBody()));
    FULMEN_API_ASSIGN(const ReferredItems referred, Referred(service, json, space));
    FULMEN_API_ASSIGN(const Generation generation, ParseResponsesCount(json, referred));
    FULMEN_API_ASSIGN(const auto ids, service.answering.PromptIds(generation, space));
    return ResponsesCount(std::ssize(ids));
  };
  const auto items = [&service](const std::string& space, const std::string& id,
                                Exchange& exchange) -> ApiResult<Json> {
    if (service.responses == nullptr) {
      return ApiFail(ApiErrorKind::kNotFound, "", "this server stores no responses");
    }
    const HttpRequest& request = exchange.request();
    return ListInputItems(*service.responses, space, id,
                          {request.Query("limit"), request.Query("order"), request.Query("after")});
  };
  const std::string one = "/v1/responses/{id}";
  return {
      {"POST", "/v1/responses", create, Access::kKey, "OpenAI: a response"},
      {"POST", "/v1/responses/input_tokens", FromResponseWorker(service, count), Access::kKey,
       "Count a prompt's tokens"},
      {"GET", one, FromStore(service, GetResponse), Access::kKey, "A response that was stored"},
      {"DELETE", one, FromStore(service, DeleteResponse), Access::kKey, "Delete it"},
      {"POST", one + "/cancel", FromStore(service, CancelResponse), Access::kKey, "End it"},
      {"GET", one + "/input_items", FromResponseWorker(service, items), Access::kKey,
       "What it was asked"},
  };
}

}  // namespace fulmen
