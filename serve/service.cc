#include "serve/service.h"

#include "engine/digest.h"
#include "serve/http_server.h"
#include "serve/on_workers.h"

namespace fulmen {

std::string SpaceOf(const Service& service, const HttpRequest& request) {
  if (!service.has_keys) return "";
  return "key-" + Base64Url(DigestFields("fulmen key 1").Text(ApiKeyOf(request)).Digest());
}

boost::asio::awaitable<void> AnswerCall(Service& service, Exchange& exchange,
                                        std::unique_ptr<ApiCall> call, Answering::Keep keep) {
  const std::string_view session = exchange.request().Header("session");
  if (!session.empty()) {
    for (Generation& generation : call->generations()) generation.session = session;
  }
  std::string space = SpaceOf(service, exchange.request());
  co_await service.answering.Answer(exchange, std::move(call), std::move(space), std::move(keep));
}

boost::asio::awaitable<void> RespondFromWorker(Service& service, Exchange& exchange,
                                               AnswerWork work) {
  auto answer = co_await OnWorkers(service.answering.workers(), work);
  HttpResponse response = answer ? *std::move(answer) : ErrorResponse(exchange, answer.error());
  co_await exchange.Respond(std::move(response));
}

}  // namespace fulmen
