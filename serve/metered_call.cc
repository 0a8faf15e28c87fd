#include "serve/metered_call.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <functional>

#include "accounts/system_time.h"
#include "base/console.h"
#include "base/rfc3339.h"
#include "serve/http_server.h"
#include "serve/on_ledger.h"

namespace fulmen {
namespace {

namespace asio = boost::asio;

constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kMillisecond = 1'000'000;

double Seconds(int64_t nanoseconds) {
  return static_cast<double>(nanoseconds) / static_cast<double>(kSecond);
}

// Of a disk that is full or failing: its owner is told more, on standard error.
ApiError CannotWrite() {
  constexpr double kSoon = 5;
  ApiError error{ApiErrorKind::kUnavailable, "the ledger cannot be written at the moment"};
  error.retry_after = kSoon;
  return error;
}

ApiError ToApiError(const Refusal& refusal, ApiStyle style) {
  ApiError error = ToApiError(refusal.error);
  switch (refusal.kind) {
    case Refusal::Kind::kKey:
      error.kind = ApiErrorKind::kAuthentication;
      break;
    case Refusal::Kind::kPrice:
      error.kind = ApiErrorKind::kForbidden;
      break;
    case Refusal::Kind::kBalance:
      error.kind = ApiErrorKind::kBalance;
      break;
    case Refusal::Kind::kSpend:
      error.kind = ApiErrorKind::kBalance;
      error.retry_after = Seconds(refusal.wait);
      break;
    case Refusal::Kind::kRequests:
    case Refusal::Kind::kConcurrent:
      error.kind = ApiErrorKind::kRequestLimit;
      error.retry_after = Seconds(refusal.wait);
      break;
    case Refusal::Kind::kTokens:
      error.kind = ApiErrorKind::kTokenLimit;
      error.retry_after = Seconds(refusal.wait);
      break;
    case Refusal::Kind::kTooLarge:
      error.kind = ApiErrorKind::kTokenLimit;
      break;
    case Refusal::Kind::kUnavailable:
      error.kind = ApiErrorKind::kUnavailable;
      error.retry_after = Seconds(refusal.wait);
      break;
    case Refusal::Kind::kFailed:
      if (refusal.error.code != ErrorCode::kIo) break;
      Say("fulmen: {}\n", refusal.error.message);
      error = CannotWrite();
      break;
  }
  error.headers = LimitHeaders(style, refusal.limits, SystemTime());
  return error;
}

// As "23.14s", or "120ms" of less than a second; never too short.
std::string Duration(int64_t nanoseconds) {
  const int64_t milliseconds = (nanoseconds + kMillisecond - 1) / kMillisecond;
  if (milliseconds < 1000) return fmt::format("{}ms", milliseconds);
  constexpr int64_t kHundredth = 10;
  const int64_t hundredths = (milliseconds + kHundredth - 1) / kHundredth;
  std::string text = fmt::format("{}.{:02}", hundredths / 100, hundredths % 100);
  text.erase(text.find_last_not_of('0') + 1);
  if (text.ends_with('.')) text.pop_back();
  return text + "s";
}

// What is held for a request that could not be settled is free again once the ledger can be
// written; or it has crashed, where the server ends first.
asio::awaitable<void> EndLater(Ledger& ledger, std::string request) {
  const asio::any_io_executor io = co_await asio::this_coro::executor;
  asio::steady_timer timer(io);
  while (true) {
    timer.expires_after(std::chrono::seconds(1));
    co_await timer.async_wait(asio::use_awaitable);
    LedgerCall<Result<Money>> settle = [&](std::function<void(Result<Money>)> done) {
      ledger.Settle(request, {}, kFailedOutcome, std::move(done));
    };
    const Result<Money> ended = co_await OnLedger<Result<Money>>(std::move(settle));
    if (ended || ended.error().code == ErrorCode::kNotFound) co_return;
  }
}

}  // namespace

asio::awaitable<ApiResult<std::unique_ptr<MeteredCall>>> MeteredCall::Admit(Ledger& ledger, Ask ask,
                                                                            ApiStyle style) {
  std::unique_ptr<MeteredCall> call(new MeteredCall(ledger, ask.request));
  call->is_settled_ = true;  // until it is admitted
  LedgerCall<Admission> admit = [&](std::function<void(Admission)> done) {
    ledger.Admit(ask, std::move(done));
  };
  const Admission admission = co_await OnLedger<Admission>(std::move(admit));
  if (!admission) co_return tl::unexpected(ToApiError(admission.error(), style));
  call->is_settled_ = false;
  call->prices_ = admission->prices;
  call->currency_ = admission->currency;
  call->headers_ = LimitHeaders(style, admission->limits, SystemTime());
  co_return call;
}

MeteredCall::~MeteredCall() {
  if (!is_settled_) ledger_.Settle(request_, {}, kFailedOutcome, [](const Result<Money>&) {});
}

void MeteredCall::Extend(Engine& engine, RequestId id) const {
  ledger_.Extend(request_, [failed = could_not_ask_, &engine, id](const Result<int64_t>& more) {
    if (!more) *failed = true;
    engine.Allow(id, more.value_or(0));
  });
}

void MeteredCall::Add(const Usage& usage) {
  used_.prompt += usage.read_tokens;
  used_.cached += usage.cached_tokens;
  used_.image += usage.image_tokens - usage.cached_image_tokens;
  used_.text = used_.prompt - used_.cached - used_.image;
  used_.output += usage.output_tokens;
  used_.reasoning += usage.reasoning_tokens;
}

MeteredCall::Cost MeteredCall::cost() const {
  // Less than what is held, so it fits.
  return {FormatMoney(fulmen::Cost(used_, prices_).value_or(Money())), currency_};
}

asio::awaitable<ApiResult<void>> MeteredCall::Settle(std::string outcome,
                                                     std::optional<KeptAnswer> answer) {
  if (std::exchange(is_settled_, true)) co_return ApiResult<void>();
  if (outcome == kFailedOutcome) used_ = {};
  LedgerCall<Result<Money>> settle = [&](std::function<void(Result<Money>)> done) {
    ledger_.Settle(request_, used_, outcome, std::move(done), std::move(answer));
  };
  const Result<Money> charge = co_await OnLedger<Result<Money>>(std::move(settle));
  if (charge) co_return ApiResult<void>();
  Say("fulmen: {}: {}\n", request_, charge.error().message);
  const asio::any_io_executor io = co_await asio::this_coro::executor;
  asio::co_spawn(io, EndLater(ledger_, request_), asio::detached);
  co_return tl::unexpected(CannotWrite());
}

std::vector<std::pair<std::string, std::string>> LimitHeaders(ApiStyle style, const Limits& limits,
                                                              int64_t now) {
  std::vector<std::pair<std::string, std::string>> headers;
  const auto add = [&](const char* what, const LimitState& state) {
    if (state.limit == 0) return;
    if (style == ApiStyle::kAnthropic) {
      const std::string name = fmt::format("anthropic-ratelimit-{}-", what);
      headers.emplace_back(name + "limit", fmt::format("{}", state.limit));
      headers.emplace_back(name + "remaining", fmt::format("{}", state.left));
      headers.emplace_back(name + "reset", Rfc3339((now + state.reset + kSecond - 1) / kSecond));
      return;
    }
    headers.emplace_back(fmt::format("x-ratelimit-limit-{}", what), fmt::format("{}", state.limit));
    headers.emplace_back(fmt::format("x-ratelimit-remaining-{}", what),
                         fmt::format("{}", state.left));
    headers.emplace_back(fmt::format("x-ratelimit-reset-{}", what), Duration(state.reset));
  };
  add("requests", limits.requests);
  add("tokens", limits.tokens);
  return headers;
}

}  // namespace fulmen
