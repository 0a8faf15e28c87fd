#include "serve/answering.h"

#include <algorithm>
#include <map>
#include <utility>

#include "base/clock.h"
#include "serve/answer_rules.h"
#include "serve/event_queue.h"
#include "serve/openai_words.h"
#include "serve/recorded_answer.h"
#include "serve/sse.h"

namespace fulmen {

namespace asio = boost::asio;

struct Answering::Under {
  Exchange& exchange;
  std::unique_ptr<ApiCall> call;
  std::vector<Turn> turns;
  std::vector<RequestId> ids;  // of the engines, one for each turn
  KeepAnswer keep;
  std::shared_ptr<EventQueue> events;
  std::shared_ptr<MeteredCall> metered = {};       // null: nobody pays
  FinishReason reason = FinishReason::kCancelled;  // of the answer that ended last
  size_t open = 0;                                 // turns whose last event has not come
  bool left = false;                               // the client, and nobody else reads it
  bool stopped = false;                            // by whoever may
  std::map<size_t, AnswerFinished> waiting = {};   // of sessions' turns, for their last event
  std::string out = {};                            // to be sent next
  std::optional<ApiError> error = {};              // that ended it

  ~Under() {
    exchange.OnLeave({});
    if (open > 0) Cancel();
  }
  void Cancel() {
    for (size_t i = 0; i < ids.size(); ++i) turns[i].model().engine().Cancel(ids[i]);
  }
};

ApiResult<ServedModel*> Answering::FindModel(std::string_view name) const {
  if (name.empty()) return models_.front().get();
  for (const auto& model : models_) {
    if (model->HasName(name)) return model.get();
  }
  return ApiFail(ApiErrorKind::kModelNotFound, "model",
                 "The model `{}` does not exist; GET /v1/models lists those that do", name);
}

RecallAnswer Answering::RecallOf(const ServedModel& model, const std::string& space) const {
  return RecallFrom(store_, model, space);
}

ApiResult<std::vector<int32_t>> Answering::PromptIds(const Generation& generation,
                                                     const std::string& space) const {
  FULMEN_API_ASSIGN(const ServedModel* model, FindModel(generation.model));
  FULMEN_API_ASSIGN(Prompt prompt, MakePrompt(*model, generation, RecallOf(*model, space)));
  return std::move(prompt.ids);
}

ApiResult<std::vector<Turn>> Answering::MakeTurns(std::vector<Generation> generations,
                                                  const std::string& space) const {
  std::vector<Turn> turns;
  for (Generation& generation : generations) {
    FULMEN_API_ASSIGN(ServedModel * model, FindModel(generation.model));
    FULMEN_API_ASSIGN(Turn turn, Turn::Make(*model, std::move(generation), store_, space));
    turns.push_back(std::move(turn));
  }
  return turns;
}

asio::awaitable<ApiResult<void>> Answering::Constrain(std::vector<Turn>& turns) {
  if (std::ranges::none_of(turns, &Turn::needs_grammar)) co_return ApiResult<void>();
  auto constrain = [&turns]() -> ApiResult<void> {
    for (Turn& turn : turns) {
      if (turn.needs_grammar()) FULMEN_API_TRY(turn.Constrain());
    }
    return {};
  };
  co_return co_await OnWorkers(compilers_, constrain);
}

// What is held for at first. The prompt is read for one token, though none is sampled.
int64_t Answering::FirstAllowance(const Request& request) {
  return request.choices * std::clamp<int64_t>(request.max_tokens, 1, Ledger::kFirstOutput);
}

// Holds back what the call may cost; where nobody pays it does nothing.
asio::awaitable<ApiResult<void>> Answering::Meter(Under& under) {
  if (ledger_ == nullptr) co_return ApiResult<void>();
  const HttpRequest& request = under.exchange.request();
  if (request.caller.is_admin) {
    co_return ApiFail(ApiErrorKind::kForbidden, "",
                      "an administrator's key asks for no answers; make another with POST "
                      "/admin/keys or `fulmen keys create`");
  }
  Ask ask = {.request = request.id,
             .key = request.caller.key,
             .model = under.turns.front().model().name(),
             .prompt = 0,
             .choices = 0,
             .most_output = 0};
  for (const Turn& turn : under.turns) {
    ask.prompt += std::ssize(turn.request().prompt);
    ask.choices += turn.request().choices;
    ask.most_output += FirstAllowance(turn.request());
  }
  if (const RecordedAnswer* record = under.exchange.record()) ask.answer = record->name();
  auto admitted = co_await MeteredCall::Admit(*ledger_, std::move(ask), under.call->style());
  if (!admitted) co_return tl::unexpected(admitted.error());
  under.metered = *std::move(admitted);
  co_return ApiResult<void>();
}

asio::awaitable<ApiResult<void>> Answering::Begin(Under& under) {
  const std::string& space = under.exchange.request().caller.space;
  auto make = [this, &space, &under] {
    return MakeTurns(std::move(under.call->generations()), space);
  };
  auto made = co_await OnWorkers(workers_, make);
  if (!made) co_return tl::unexpected(made.error());
  under.turns = *std::move(made);
  const ApiResult<void> metered = co_await Meter(under);
  if (!metered) co_return metered;
  const ApiResult<void> constrained = co_await Constrain(under.turns);
  if (!constrained) co_return constrained;
  co_return Submit(under);
}

// Who hears of turn `index`, on its engine's thread.
EventSink Answering::Listener(const Under& under, size_t index) {
  const Turn& turn = under.turns[index];
  return [events = under.events, metered = under.metered, index, &engine = turn.model().engine(),
          most = turn.request().max_tokens * turn.request().choices,
          tokens = turn.tells_tokens()](RequestId id, const Event& event) {
    if (const auto* low = std::get_if<AllowanceLow>(&event)) {
      if (low->allowed < most) metered->Extend(engine, id);
    } else if (tokens || !std::holds_alternative<TokenSampled>(event)) {
      events->Push(index, event);
    }
  };
}

ApiResult<void> Answering::Submit(Under& under) const {
  for (size_t i = 0; i < under.turns.size(); ++i) {
    Turn& turn = under.turns[i];
    EventSink listener = Listener(under, i);
    Request request = turn.TakeRequest();
    if (options_.seconds > 0) request.deadline = SteadySeconds() + options_.seconds;
    if (under.metered) {
      request.key = under.exchange.request().caller.key;
      request.allowance = FirstAllowance(request);
    }
    const auto id = turn.model().engine().Submit(request, std::move(listener));
    if (!id) {
      under.Cancel();
      ApiError error = ToApiError(id.error());
      if (error.kind == ApiErrorKind::kBusy) error.retry_after = 1;
      return tl::unexpected(std::move(error));
    }
    under.ids.push_back(*id);
  }
  under.open = under.turns.size();
  return {};
}

asio::awaitable<void> Answering::Answer(Exchange& exchange, std::unique_ptr<ApiCall> call,
                                        KeepAnswer keep) {
  const asio::any_io_executor io = co_await asio::this_coro::executor;
  const auto claim = claims_.Make(exchange, call->generations());
  Under under = {.exchange = exchange,
                 .call = std::move(call),
                 .turns = {},
                 .ids = {},
                 .keep = std::move(keep),
                 .events = std::make_shared<EventQueue>(io)};
  ApiResult<void> begun;
  if (claim) {
    begun = co_await Begin(under);
  } else {
    begun = tl::unexpected(claim.error());
  }
  if (!begun) {
    HttpResponse response = ErrorResponse(exchange, begun.error());
    co_await exchange.Respond(std::move(response));
    co_return;
  }
  exchange.OnLeave([&under] {
    under.Cancel();
    // An answer that is recorded has other readers, who are told its end.
    under.stopped = under.exchange.record() != nullptr;
    under.left = !under.stopped;
    if (under.left) under.events->Wake();
  });
  co_await Relay(under);
}

// The generations of one request are held to the same.
std::vector<std::pair<std::string, std::string>> Answering::HeadersOf(const Under& under) {
  std::vector<std::pair<std::string, std::string>> headers;
  if (under.metered) headers = under.metered->headers();
  const std::string left_out = LeftOutValue(under.turns.front().left_out());
  if (!left_out.empty()) headers.emplace_back(kLeftOutHeader, left_out);
  return headers;
}

asio::awaitable<void> Answering::Relay(Under& under) {
  const bool streams = under.call->streams();
  if (streams) {
    HttpResponse head = {.content_type = kSseContentType, .headers = HeadersOf(under)};
    under.left = !co_await under.exchange.BeginStream(std::move(head)) || under.left;
  }
  std::vector<AnswerStart> starts;
  for (Turn& turn : under.turns) starts.push_back(turn.Start());
  under.call->Begin(std::move(starts), under.out);
  while (under.open > 0 && !under.left && !under.error) {
    std::vector<EventQueue::Entry> entries = co_await under.events->Take(options_.sign_of_life);
    if (under.left) break;
    if (entries.empty()) {
      co_await SignOfLife(under);
    }
    for (EventQueue::Entry& entry : entries) {
      if (under.error) break;
      co_await Take(under, std::move(entry));
    }
    if (streams && !under.out.empty()) {
      const std::string piece = std::exchange(under.out, {});
      if (!co_await under.exchange.Write(piece)) under.left = true;
    }
  }
  if (under.left) {
    co_await EndLeft(under);
    co_return;
  }
  if (streams) {
    co_await under.exchange.EndStream();
    co_return;
  }
  // Half of it is no answer.
  const bool is_half = under.stopped && under.reason == FinishReason::kCancelled;
  if (is_half) co_return;
  HttpResponse response = under.error ? ErrorResponse(under.exchange, *under.error)
                                      : HttpResponse::OfJson(under.call->Answer());
  for (auto& header : HeadersOf(under)) response.headers.push_back(std::move(header));
  co_await under.exchange.Respond(std::move(response));
}

// What is kept of an answer is on the disk before anybody hears that it has ended. What ended in an
// error is told as one, and was never answered.
asio::awaitable<void> Answering::Keep(Under& under, size_t generation,
                                      const AnswerFinished& finished, const Json& info) {
  Turn& turn = under.turns[generation];
  if (finished.reason != FinishReason::kError) {
    auto keep = [&turn, &finished, &info] { return turn.Keep(finished, info); };
    auto kept = co_await OnWorkers(workers_, keep);
    if (!kept) under.error = kept.error();
  }
  if (!under.error) under.call->On(generation, finished, under.out);
}

asio::awaitable<void> Answering::TakeFinished(Under& under, size_t generation,
                                              AnswerFinished& finished) {
  Turn& turn = under.turns[generation];
  metrics_.CountAnswer(turn.model(), finished.reason);
  under.reason = finished.reason;
  // Nobody's money is at an end where the ledger could not be asked.
  if (finished.reason == FinishReason::kAllowance && under.metered->could_not_ask()) {
    finished.reason = FinishReason::kLength;
  }
  // A session's turn is kept with its usage, which the last event has.
  if (turn.in_session()) {
    under.waiting[generation] = std::move(finished);
  } else {
    const Json no_info;
    co_await Keep(under, generation, finished, no_info);
  }
}

// What is told of an answer beside it.
Json Answering::InfoOf(const Under& under, const Turn& turn, FinishReason reason,
                       const RequestDone& done) {
  const bool was_cancelled = reason == FinishReason::kCancelled;
  return {{"id", under.call->id()},
          {"created", turn.created()},
          {"model", turn.model().name()},
          {"finish_reason", was_cancelled ? FinishReasonName(reason) : OpenAiFinishReason(reason)},
          {"usage", under.call->WithCost(OpenAiUsage(done.usage))},
          {"timings", TimingsJson(done)}};
}

asio::awaitable<void> Answering::TakeDone(Under& under, size_t generation,
                                          const RequestDone& done) {
  Turn& turn = under.turns[generation];
  --under.open;
  metrics_.CountRequest(turn.model(), done);
  if (under.metered) {
    under.metered->Add(done.usage);
    const auto [amount, currency] = under.metered->cost();
    under.call->SetCost(amount, currency);
  }
  if (!done.status) under.error = ToApiError(done.status.error());
  if (const auto waiting = under.waiting.find(generation); waiting != under.waiting.end()) {
    const Json info = InfoOf(under, turn, waiting->second.reason, done);
    co_await Keep(under, generation, waiting->second, info);
  }
  if (!under.error) under.call->On(generation, done, under.out);
}

asio::awaitable<void> Answering::Take(Under& under, EventQueue::Entry entry) {
  const size_t before = under.out.size();
  Turn& turn = under.turns[entry.generation];
  if (auto* finished = std::get_if<AnswerFinished>(&entry.event)) {
    co_await TakeFinished(under, entry.generation, *finished);
  } else if (const auto* done = std::get_if<RequestDone>(&entry.event)) {
    co_await TakeDone(under, entry.generation, *done);
  } else {
    if (const auto* delta = std::get_if<AnswerDelta>(&entry.event)) turn.Add(*delta);
    under.call->On(entry.generation, entry.event, under.out);
  }
  if (!under.error && under.open == 0 && under.keep) {
    auto kept = co_await OnWorkers(workers_, under.keep);
    if (!kept) under.error = kept.error();
  }
  if (under.error || under.open == 0) {
    co_await Settle(under);
  }
  if (!under.error || !under.call->streams()) co_return;
  under.out.resize(before);  // it would have said that all went well
  under.call->Fail(*under.error, under.out);
}

// All that was asked has ended. Who asks again is not to have what failed or was cancelled.
asio::awaitable<void> Answering::Settle(Under& under) {
  RecordedAnswer* const record = under.exchange.record();
  const bool was_cancelled = under.reason == FinishReason::kCancelled;
  const bool is_good = !under.error && !was_cancelled;
  if (under.metered) {
    std::string outcome(under.error ? kFailedOutcome : FinishReasonName(under.reason));
    std::optional<KeptAnswer> kept;
    if (record != nullptr && is_good) {
      kept = record->Whole(under.call->streams() ? under.out : DumpJson(under.call->Answer()));
    }
    const auto settled = co_await under.metered->Settle(std::move(outcome), std::move(kept));
    if (!settled && !under.error) under.error = settled.error();
  }
  if (record != nullptr && is_good && !under.error) record->MarkGood();
}

// Nobody waits for the answer any more, and what was computed of it is paid for.
asio::awaitable<void> Answering::EndLeft(Under& under) {
  if (!under.metered) co_return;
  under.Cancel();
  while (under.open > 0) {
    const auto entries = co_await under.events->Take(options_.sign_of_life);
    for (const EventQueue::Entry& entry : entries) {
      const auto* done = std::get_if<RequestDone>(&entry.event);
      if (done == nullptr) continue;
      --under.open;
      under.metered->Add(done->usage);
    }
  }
  co_await under.metered->Settle(std::string(FinishReasonName(FinishReason::kCancelled)));
}

asio::awaitable<void> Answering::SignOfLife(Under& under) {
  const HttpRequest& request = under.exchange.request();
  if (under.call->streams()) {
    under.out += kSseComment;
  } else if (!request.is_http_10 && request.Header("x-stainless-lang") == "js") {
    constexpr int kProcessing = 102;
    under.left = !co_await under.exchange.Interim(kProcessing) || under.left;
  }
}

}  // namespace fulmen
