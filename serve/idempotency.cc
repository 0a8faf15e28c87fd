#include "serve/idempotency.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <exception>

#include "engine/digest.h"
#include "serve/on_ledger.h"

namespace fulmen {
namespace {

namespace asio = boost::asio;

constexpr size_t kLongestName = 255;
// How often the ledger is asked for what another server is computing.
constexpr std::chrono::milliseconds kPoll{250};

std::string HashOf(const HttpRequest& request) {
  return DigestFields("fulmen request 1")
      .Text(request.method)
      .Text(request.path)
      .Text(request.Header("session"))
      .Text(request.body)
      .Digest();
}

ApiError OtherRequest(const std::string& name) {
  return {ApiErrorKind::kConflict,
          fmt::format("another request came with the Idempotency-Key \"{}\" before", name)};
}

bool IsOther(const AnswerName& asked, const AnswerName& found) {
  return !asked.request_hash.empty() && asked.request_hash != found.request_hash;
}

}  // namespace

RouteHandler Idempotency::Once(RouteHandler handler) {
  return [this, handler = std::move(handler)](Exchange& exchange, const PathValues& values) {
    const bool has_name = !exchange.request().Header("idempotency-key").empty();
    return has_name ? Answer(handler, exchange, values) : handler(exchange, values);
  };
}

bool Idempotency::Stop(const std::string& owner, const std::string& name) {
  const auto found = running_.find({owner, name});
  if (found == running_.end()) return false;
  found->second->Stop();
  return true;
}

asio::awaitable<Result<std::optional<KeptAnswer>>> Idempotency::FindKept(const AnswerName& name) {
  using Kept = Result<std::optional<KeptAnswer>>;
  if (ledger_ == nullptr) {
    const KeptAnswer* recent = recent_.Find(name.key, name.name, Clock::now());
    Kept kept;
    if (recent != nullptr) kept = *recent;
    co_return kept;
  }
  LedgerCall<Kept> ask = [&](std::function<void(Kept)> done) {
    ledger_->FindAnswer(name, std::move(done));
  };
  co_return co_await OnLedger<Kept>(std::move(ask));
}

asio::awaitable<ApiResult<Idempotency::Found>> Idempotency::Find(Exchange& client,
                                                                 const AnswerName& name) {
  const asio::any_io_executor io = co_await asio::this_coro::executor;
  asio::steady_timer timer(io);
  bool left = false;
  client.OnLeave([&left] { left = true; });
  Found found;
  while (true) {
    if (const auto here = running_.find({name.key, name.name}); here != running_.end()) {
      found.running = here->second;
      if (!IsOther(name, found.running->name())) co_return found;
      co_return tl::unexpected(OtherRequest(name.name));
    }
    auto kept = co_await FindKept(name);
    if (!kept) co_return tl::unexpected(ToApiError(kept.error()));
    if (running_.contains({name.key, name.name})) continue;  // it came meanwhile
    if (!*kept) co_return found;
    if (IsOther(name, (*kept)->name)) co_return tl::unexpected(OtherRequest(name.name));
    if ((*kept)->is_whole) {
      found.kept = *std::move(kept);
      co_return found;
    }
    if (left) co_return ApiFail(ApiErrorKind::kConflict, "", "the client has left");
    timer.expires_after(kPoll);
    boost::system::error_code ended;
    co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ended));
  }
}

// What was found, which is something.
asio::awaitable<void> Idempotency::Send(Exchange& client, const Found& found) {
  if (found.running != nullptr) {
    const std::shared_ptr<RecordedAnswer> record = found.running;
    co_await record->SendTo(client, sign_of_life_);
    co_return;
  }
  HttpResponse response = ResponseOf(*found.kept);
  co_await client.Respond(std::move(response));
}

asio::awaitable<void> Idempotency::ReadAlong(Exchange& client, std::string name) {
  const AnswerName asked = {
      .key = client.request().caller.owner(), .name = std::move(name), .request_hash = ""};
  ApiResult<Found> found = co_await Find(client, asked);
  client.OnLeave({});
  if (found && !found->running && !found->kept) {
    found = ApiFail(ApiErrorKind::kNotFound, "",
                    "no request with this Idempotency-Key is under way, and no answer is kept");
  }
  if (found) {
    co_await Send(client, *found);
  } else {
    HttpResponse response = ErrorResponse(client, found.error());
    co_await client.Respond(std::move(response));
  }
}

asio::awaitable<void> Idempotency::Answer(const RouteHandler& handler, Exchange& client,
                                          const PathValues& values) {
  const HttpRequest& request = client.request();
  AnswerName name = {.key = request.caller.owner(),
                     .name = std::string(request.Header("idempotency-key")),
                     .request_hash = HashOf(request)};
  ApiResult<Found> found;
  if (name.name.size() > kLongestName) {
    found = ApiFail(ApiErrorKind::kInvalid, "", "an Idempotency-Key has at most {} bytes, found {}",
                    kLongestName, name.name.size());
  } else {
    found = co_await Find(client, name);
    client.OnLeave({});
  }
  if (!found) {
    HttpResponse response = ErrorResponse(client, found.error());
    co_await client.Respond(std::move(response));
    co_return;
  }
  if (!found->running && !found->kept) {
    const asio::any_io_executor io = co_await asio::this_coro::executor;
    const auto record = std::make_shared<RecordedAnswer>(io, name);
    found->running = record;
    running_.emplace(Id(name.key, name.name), record);
    std::string body = client.TakeBody();
    HttpRequest mine = request;
    mine.body = std::move(body);
    auto make = Make(handler, std::move(mine), values, record);
    asio::co_spawn(io, std::move(make), asio::detached);
  }
  co_await Send(client, *found);
}

asio::awaitable<void> Idempotency::Make(RouteHandler handler, HttpRequest request,
                                        PathValues values, std::shared_ptr<RecordedAnswer> record) {
  RecordingExchange exchange(std::move(request), record);
  try {
    auto work = handler(exchange, values);
    co_await std::move(work);
  } catch (const std::exception&) {
    // Whoever reads along is told below.
  }
  exchange.OnLeave({});
  if (ledger_ == nullptr && record->is_good()) {
    KeptAnswer whole = record->Whole("");
    whole.is_whole = true;
    recent_.Keep(std::move(whole), Clock::now());
  }
  running_.erase({record->name().key, record->name().name});
  if (record->has_begun()) {
    record->End();
  } else {
    const ApiError error =
        record->was_stopped()
            ? ApiError{ApiErrorKind::kConflict,
                       "the request was cancelled; what was computed until then is charged"}
            : ApiError{ApiErrorKind::kInternal, "the server failed, and nothing was charged"};
    record->Begin(ErrorResponse(exchange, error), /*streams=*/false);
  }
}

}  // namespace fulmen
