// What a server has and how it is: models, health, properties, and the plain page.
#include <algorithm>
#include <utility>

#include "base/clock.h"
#include "base/rfc3339.h"
#include "serve/service.h"

namespace fulmen {
namespace {

namespace asio = boost::asio;

RouteHandler Answering200(std::function<Json()> json) {
  return [json = std::move(json)](Exchange& exchange, const PathValues&) -> asio::awaitable<void> {
    HttpResponse response = HttpResponse::OfJson(json());
    co_await exchange.Respond(std::move(response));
  };
}

// In the shapes of OpenAI's and Anthropic's APIs at once: clients of both ask at one path.
Json ModelJson(const ServedModel& model, const std::string& id) {
  return {{"id", id},
          {"object", "model"},
          {"created", model.created()},
          {"owned_by", "fulmen"},
          {"type", "model"},
          {"display_name", id},
          {"created_at", Rfc3339(model.created())},
          {"max_input_tokens", model.context()},
          {"max_tokens", model.max_tokens().value_or(model.context())},
          {"max_model_len", model.context()}};
}

Json ModelList(const Service& service) {
  Json list = Json::array();
  for (const auto& model : service.models) {
    list.push_back(ModelJson(*model, model->name()));
    for (const std::string& alias : model->aliases()) list.push_back(ModelJson(*model, alias));
  }
  const Json first = list.front()["id"];
  const Json last = list.back()["id"];
  return {{"object", "list"},
          {"data", std::move(list)},
          {"has_more", false},
          {"first_id", first},
          {"last_id", last}};
}

RouteHandler OneModel(const Service& service) {
  return [&service](Exchange& exchange, const PathValues& values) -> asio::awaitable<void> {
    const std::string& id = values.find("id")->second;
    const auto model = service.answering.FindModel(id);
    HttpResponse response = model ? HttpResponse::OfJson(ModelJson(**model, id))
                                  : ErrorResponse(exchange, model.error());
    co_await exchange.Respond(std::move(response));
  };
}

Json Properties(const Service& service) {
  Json models = Json::array();
  for (const auto& model : service.models) {
    const EngineStats stats = model->engine().stats();
    const SamplingParams& sampling = model->defaults().sampling;
    models.push_back(
        {{"id", model->name()},
         {"aliases", model->aliases()},
         {"context", model->context()},
         {"chat_format", model->format() ? Json(ChatFormatName(*model->format())) : Json()},
         {"running", stats.running},
         {"waiting", stats.waiting},
         {"default_generation_settings",
          {{"temperature", sampling.temperature},
           {"top_p", sampling.top_p},
           {"top_k", sampling.top_k},
           {"min_p", sampling.min_p},
           {"repetition_penalty", sampling.repetition_penalty},
           {"max_tokens", model->max_tokens() ? Json(*model->max_tokens()) : Json()}}}});
  }
  const ServedModel& first = *service.models.front();
  const bool sees = std::ranges::any_of(
      service.models, [](const auto& model) { return model->images() != nullptr; });
  return {{"build_info", fmt::format("fulmen {}", service.version)},
          {"model_path", first.name()},
          {"chat_template", first.format() ? Json(ChatTemplate(*first.format())) : Json()},
          {"modalities", {{"vision", sees}}},
          {"uptime_seconds", SecondsNow() - service.started},
          {"models", std::move(models)}};
}

// No more once the server is told to end: whoever shares requests out then asks another.
RouteHandler Ready(const Service& service) {
  return [&service](Exchange& exchange, const PathValues&) -> asio::awaitable<void> {
    const ApiError ending = {ApiErrorKind::kUnavailable,
                             "the server is about to stop, and takes no more requests"};
    HttpResponse response = service.is_draining ? ErrorResponse(exchange, ending)
                                                : HttpResponse::OfJson({{"status", "ok"}});
    co_await exchange.Respond(std::move(response));
  };
}

RouteHandler MetricsText(const Service& service) {
  return [&service](Exchange& exchange, const PathValues&) -> asio::awaitable<void> {
    HttpResponse response = {.content_type = "text/plain; version=0.0.4; charset=utf-8",
                             .body = service.metrics.Text()};
    co_await exchange.Respond(std::move(response));
  };
}

}  // namespace

std::vector<Route> ModelRoutes(Service& service) {
  const auto health = Answering200([] { return Json{{"status", "ok"}}; });
  return {
      {"GET", "/health", health, Access::kAnyone, "Whether the server answers at all"},
      {"GET", "/v1/health", health, Access::kAnyone, "The same"},
      {"GET", "/ready", Ready(service), Access::kAnyone, "Whether it takes requests"},
      {"GET", "/version", Answering200([&service] {
         return Json{{"version", service.version}};
       }),
       Access::kAnyone, "Fulmen's version"},
      {"GET", "/metrics", MetricsText(service), Access::kAdmin, "Numbers for Prometheus"},
      {"GET",
       "/props",
       Answering200([&service] { return Properties(service); }),
       Access::kKey,
       "Models, their contexts and what they sample with",
       {.answer = "Props"}},
      {"GET",
       "/v1/models",
       Answering200([&service] { return ModelList(service); }),
       Access::kKey,
       "The models",
       {.answer = "ModelList"}},
      {"GET",
       "/v1/models/{id}",
       OneModel(service),
       Access::kKey,
       "One of them",
       {.answer = "Model"}},
  };
}

}  // namespace fulmen
