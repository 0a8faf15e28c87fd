#include "serve/service.h"

#include "serve/on_workers.h"

namespace fulmen {

ApiResult<std::string> TakeSession(Json& body) {
  if (!body.is_object()) return "";
  const auto found = body.find("session");
  if (found == body.end() || found->is_null()) return "";
  if (!found->is_string()) {
    return ApiFail(ApiErrorKind::kInvalid, "session", "a name is expected, found {}",
                   Shown(*found));
  }
  std::string session = *found;
  body.erase(found);
  return session;
}

boost::asio::awaitable<void> AnswerCall(Service& service, Exchange& exchange,
                                        std::unique_ptr<ApiCall> call, Answering::KeepAnswer keep) {
  const std::string_view session = exchange.request().Header("session");
  if (!session.empty()) {
    for (Generation& generation : call->generations()) generation.session = session;
  }
  co_await service.answering.Answer(exchange, std::move(call), std::move(keep));
}

boost::asio::awaitable<void> RespondFromWorker(Service& service, Exchange& exchange,
                                               AnswerWork work) {
  auto answer = co_await OnWorkers(service.answering.workers(), work);
  HttpResponse response = answer ? *std::move(answer) : ErrorResponse(exchange, answer.error());
  co_await exchange.Respond(std::move(response));
}

}  // namespace fulmen
