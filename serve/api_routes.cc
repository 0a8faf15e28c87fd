// Which body is read as a call of which API; response_routes.cc has the Responses API.
#include <utility>

#include "serve/anthropic_messages.h"
#include "serve/minimax_chat.h"
#include "serve/on_workers.h"
#include "serve/openai_chat.h"
#include "serve/openai_completions.h"
#include "serve/request_json.h"
#include "serve/service.h"

namespace fulmen {
namespace {

namespace asio = boost::asio;

using ParseCall = std::function<ApiResult<std::unique_ptr<ApiCall>>(Json body)>;

RouteHandler Calls(Service& service, ParseCall parse) {
  return service.idempotency.Once(
      [&service, parse](Exchange& exchange, const PathValues&) -> asio::awaitable<void> {
        auto read = [&parse, &exchange]() -> ApiResult<std::unique_ptr<ApiCall>> {
          FULMEN_API_ASSIGN(Json json, ParseRequestJson(exchange.TakeBody()));
          FULMEN_API_ASSIGN(const std::string session, TakeSession(json));
          FULMEN_API_ASSIGN(std::unique_ptr<ApiCall> made, parse(std::move(json)));
          for (Generation& generation : made->generations()) generation.session = session;
          return made;
        };
        auto call = co_await OnWorkers(service.answering.workers(), read);
        if (!call) {
          HttpResponse response = ErrorResponse(exchange, call.error());
          co_await exchange.Respond(std::move(response));
          co_return;
        }
        Answering::KeepAnswer nothing;
        co_await AnswerCall(service, exchange, *std::move(call), std::move(nothing));
      });
}

// Ends the answer to a request that was sent with this Idempotency-Key, which goes on when its
// client leaves.
RouteHandler Cancels(Service& service) {
  return [&service](Exchange& exchange, const PathValues& values) -> asio::awaitable<void> {
    const std::string& name = values.find("key")->second;
    const bool stopped = service.idempotency.Stop(exchange.request().caller.owner(), name);
    const ApiError missing = {ApiErrorKind::kNotFound,
                              "no request with this Idempotency-Key is under way here"};
    HttpResponse response =
        stopped ? HttpResponse::OfJson({{"cancelled", true}}) : ErrorResponse(exchange, missing);
    co_await exchange.Respond(std::move(response));
  };
}

// The answer to that request, from its beginning, for who has left and comes back.
RouteHandler ReadsAlong(Service& service) {
  return [&service](Exchange& exchange, const PathValues& values) {
    return service.idempotency.ReadAlong(exchange, values.find("key")->second);
  };
}

// Anthropic's way to ask what a prompt costs.
RouteHandler CountsTokens(Service& service) {
  return [&service](Exchange& exchange, const PathValues&) {
    auto count = [&service, &exchange]() -> ApiResult<HttpResponse> {
      const std::string space = exchange.request().caller.space;
      FULMEN_API_ASSIGN(const Json json, ParseRequestJson(exchange.TakeBody()));
      FULMEN_API_ASSIGN(const Generation generation, ParseAnthropicCount(json));
      FULMEN_API_ASSIGN(const auto ids, service.answering.PromptIds(generation, space));
      return HttpResponse::OfJson({{"input_tokens", ids.size()}});
    };
    return RespondFromWorker(service, exchange, count);
  };
}

}  // namespace

std::vector<Route> ApiRoutes(Service& service) {
  std::vector<Route> routes = {
      {"POST",
       "/v1/chat/completions",
       Calls(service, ParseOpenAiChat),
       Access::kKey,
       "OpenAI: chat",
       {.body = "ChatRequest", .answer = "ChatCompletion", .event = "ChatChunk"}},
      {"POST", "/v1/completions", Calls(service, ParseOpenAiCompletions), Access::kKey,
       "OpenAI: continue a text"},
      {"POST", "/v1/text/chatcompletion_v2", Calls(service, ParseMiniMaxChat), Access::kKey,
       "MiniMax: chat"},
      {"GET",
       "/v1/idempotency/{key}",
       ReadsAlong(service),
       Access::kKey,
       "Read along with the answer to the request with this Idempotency-Key",
       {.answer = "ChatCompletion", .event = "ChatChunk"}},
      {"POST",
       "/v1/idempotency/{key}/cancel",
       Cancels(service),
       Access::kKey,
       "End the answer to the request with this Idempotency-Key",
       {.answer = "Cancelled"}},
  };
  for (const std::string base : {"/v1", "/anthropic/v1"}) {
    routes.push_back({"POST", base + "/messages", Calls(service, ParseAnthropicMessages),
                      Access::kKey, "Anthropic: chat"});
    routes.push_back({"POST", base + "/messages/count_tokens", CountsTokens(service), Access::kKey,
                      "Anthropic: count a prompt's tokens"});
  }
  return routes;
}

}  // namespace fulmen
