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
  return [&service, parse](Exchange& exchange, const PathValues&) -> asio::awaitable<void> {
    auto read = [&parse, &exchange]() -> ApiResult<std::unique_ptr<ApiCall>> {
      FULMEN_API_ASSIGN(Json json, ParseRequestJson(exchange.TakeBody()));
      return parse(std::move(json));
    };
    auto call = co_await OnWorkers(service.answering.workers(), read);
    if (!call) {
      HttpResponse response = ErrorResponse(exchange, call.error());
      co_await exchange.Respond(std::move(response));
      co_return;
    }
    Answering::Keep nothing;
    co_await AnswerCall(service, exchange, *std::move(call), std::move(nothing));
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
      {"POST", "/v1/chat/completions", Calls(service, ParseOpenAiChat), Access::kKey,
       "OpenAI: chat"},
      {"POST", "/v1/completions", Calls(service, ParseOpenAiCompletions), Access::kKey,
       "OpenAI: continue a text"},
      {"POST", "/v1/text/chatcompletion_v2", Calls(service, ParseMiniMaxChat), Access::kKey,
       "MiniMax: chat"},
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
