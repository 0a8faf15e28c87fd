#include "serve/http_connection.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <exception>
#include <utility>

#include "base/ascii.h"
#include "serve/api_call.h"

namespace fulmen {
namespace {

using boost::asio::awaitable;
using Clock = HttpSocket::Clock;

// What may arrive besides a header before the parser or the route takes it.
constexpr size_t kReadAhead = size_t{64} << 10;

// nginx's name for a client that has left before its answer began.
constexpr int kClientLeft = 499;

// After which a connection that was refused may be tried again.
constexpr double kRefusedSeconds = 1;

Clock::time_point After(double seconds) {
  return Clock::now() +
         std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
}

std::string Allow(const std::vector<std::string>& methods) {
  std::string allow;
  for (const std::string& method : methods) allow += allow.empty() ? method : ", " + method;
  return allow;
}

bool Expects100(const HttpRequest& request) {
  return !request.is_http_10 && SameIgnoringCase(request.Header("expect"), "100-continue");
}

// What a route does that answers with nothing.
constexpr std::string_view kNoAnswer = "returned without an answer";

}  // namespace

void HttpService::Log(std::string_view line) const {
  if (options.log) {
    options.log(line);
  } else {
    fmt::print(stderr, "{}\n", line);
  }
}

HttpConnection::HttpConnection(HttpService& service, std::unique_ptr<HttpTransport> transport,
                               bool is_one_too_many)
    : service_(service),
      socket_(std::make_shared<HttpSocket>(std::move(transport),
                                           service.options.header_limit + kReadAhead,
                                           service.options.write_seconds)),
      is_one_too_many_(is_one_too_many) {}

awaitable<void> HttpConnection::Serve() {
  bool goes_on = co_await socket_->Open(service_.options.header_seconds);
  while (goes_on) {
    goes_on = co_await ServeOne();
  }
  if (socket_->has_left()) {
    socket_->Close();
  } else {
    co_await socket_->Finish();
  }
}

void HttpConnection::Drain() {
  if (is_idle_) socket_->Close();
  if (exchange_ != nullptr) exchange_->CloseAfterwards();
}

awaitable<bool> HttpConnection::ServeOne() {
  const HttpServerOptions& options = service_.options;
  if (socket_->received().empty()) {
    if (service_.is_draining) co_return false;
    const double seconds = is_one_too_many_ ? kRefusedSeconds : options.idle_seconds;
    is_idle_ = true;
    const auto wait = co_await socket_->WaitForMore(After(seconds));
    is_idle_ = false;
    if (wait != HttpSocket::Wait::kMore) co_return false;
  }
  const Time begin = Clock::now();
  HttpParser parser({options.header_limit, options.most_headers, options.body_limit});
  HttpRequest& request = parser.request();
  request.id = RandomId("req_");
  request.peer = socket_->transport().peer();
  ApiResult<bool> arrival =
      co_await ReadUntil(parser, &HttpParser::has_header, After(options.header_seconds));
  if (arrival && !*arrival) co_return false;
  Plan plan;
  bool keep_alive = false;
  if (arrival) {
    plan = MakePlan(parser);
    // What is refused is answered without waiting for its body.
    keep_alive = parser.keep_alive() && !is_one_too_many_ && !(plan.answer && parser.has_body());
    if (!plan.answer) {
      arrival = co_await ReadBody(parser);
    }
    if (arrival && !*arrival) co_return false;
  }
  if (!arrival) {
    keep_alive = false;
    plan.answer = ErrorResponse(StyleOfPath(request.path), arrival.error(), request.id);
  }
  auto cors = service_.guard.CorsHeaders(request);
  HttpExchange exchange(*socket_, std::move(request), keep_alive && !service_.is_draining,
                        std::move(cors));
  HttpRecord record{.id = exchange.request().id,
                    .peer = exchange.request().peer,
                    .method = exchange.request().method,
                    .route = plan.match.route == nullptr ? "" : plan.match.route->path,
                    .received = exchange.request().body.size()};
  socket_->FreeIdleMemory();
  exchange_ = &exchange;
  co_await Answer(exchange, std::move(plan));
  exchange_ = nullptr;
  record.status = exchange.has_begun() ? exchange.status() : kClientLeft;
  record.whole = exchange.is_whole();
  record.seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  record.sent = exchange.sent();
  record.left_out = exchange.left_out();
  if (options.finished) options.finished(record);
  const bool may_follow = !socket_->has_left() || !socket_->received().empty();
  co_return exchange.is_whole() && exchange.keep_alive() && may_follow;
}

awaitable<ApiResult<bool>> HttpConnection::ReadUntil(HttpParser& parser,
                                                     bool (HttpParser::*is_there)() const,
                                                     Time deadline) {
  for (;;) {
    const ApiResult<size_t> taken = parser.Put(socket_->received());
    if (!taken) co_return tl::unexpected(taken.error());
    socket_->Consume(*taken);
    if ((parser.*is_there)()) co_return true;
    if (socket_->is_full()) {
      co_return ApiFail(ApiErrorKind::kInvalid, "", "expected shorter lines in the request");
    }
    const auto wait = co_await socket_->WaitForMore(deadline);
    if (wait == HttpSocket::Wait::kEnded) co_return false;
    if (wait == HttpSocket::Wait::kTimeout) {
      if (!parser.has_begun()) co_return false;
      ApiError error{ApiErrorKind::kRequestTimeout, "the request did not arrive in time"};
      error.retry_after = kRefusedSeconds;
      co_return tl::unexpected(std::move(error));
    }
  }
}

awaitable<ApiResult<bool>> HttpConnection::ReadBody(HttpParser& parser) {
  if (!parser.has_body()) co_return true;
  // A client that has begun to send it waits for nothing.
  if (Expects100(parser.request()) && socket_->received().empty()) {
    const std::string go_on = WriteInterimHead(100);
    co_await socket_->Write(go_on);
  }
  co_return co_await ReadUntil(parser, &HttpParser::is_done, After(service_.options.body_seconds));
}

HttpConnection::Plan HttpConnection::MakePlan(HttpParser& parser) const {
  const HttpRequest& request = parser.request();
  Plan plan;
  const auto refuse = [&](const ApiError& error) {
    plan.answer = ErrorResponse(StyleOfPath(request.path), error, request.id);
  };
  if (const auto allowed = CheckHeader(parser); !allowed) {
    refuse(allowed.error());
    return plan;
  }
  if (HttpGuard::IsPreflight(request)) {
    plan.answer = service_.guard.Preflight(request);
    return plan;
  }
  plan.match = service_.router.Find(request.method, parser.target().raw_path);
  const std::vector<std::string>& methods = plan.match.methods;
  if (plan.match.route != nullptr) {
    if (const auto allowed = CheckBody(parser, *plan.match.route); !allowed) {
      refuse(allowed.error());
    }
  } else if (request.method == "HEAD" && request.path == "/") {
    plan.answer = HttpResponse{.content_type = ""};  // agents ask whether anybody is there
  } else if (methods.empty() && request.path != "*") {
    refuse({ApiErrorKind::kNotFound, fmt::format("there is no route '{}'", request.path)});
  } else if (request.method == "OPTIONS") {
    plan.answer = HttpResponse{.status = 204, .content_type = ""};
    plan.answer->headers.emplace_back("allow", Allow(methods));
  } else {
    refuse({ApiErrorKind::kMethodNotAllowed,
            fmt::format("expected one of the methods {} for '{}', found {}", Allow(methods),
                        request.path, request.method)});
    plan.answer->headers.emplace_back("allow", Allow(methods));
  }
  return plan;
}

// What is wrong with whoever asks.
ApiResult<void> HttpConnection::CheckHeader(HttpParser& parser) const {
  const HttpRequest& request = parser.request();
  if (is_one_too_many_) {
    ApiError error{ApiErrorKind::kUnavailable,
                   fmt::format("the server has {} connections, and takes no more",
                               service_.options.most_connections)};
    error.retry_after = kRefusedSeconds;
    return tl::unexpected(std::move(error));
  }
  const std::string& authority = parser.target().authority;
  FULMEN_API_TRY(service_.guard.CheckHost(
      request, authority.empty() ? request.Header("host") : std::string_view(authority),
      socket_->transport().local_address()));
  return service_.guard.CheckOrigin(request);
}

// What is wrong with the request for this route, before its body has come.
ApiResult<void> HttpConnection::CheckBody(HttpParser& parser, const Route& route) const {
  const HttpRequest& request = parser.request();
  if (route.access != Access::kAnyone && service_.options.authorize) {
    FULMEN_API_ASSIGN(parser.request().caller, service_.options.authorize(request, route.access));
  }
  if (request.method != "GET" && request.method != "HEAD") {
    FULMEN_API_TRY(service_.guard.CheckContentType(request));
  }
  if (route.most_body > 0) parser.LimitBody(route.most_body);
  return parser.CheckLength();
}

awaitable<void> HttpConnection::Answer(HttpExchange& exchange, Plan plan) {
  if (!plan.answer) {
    co_await Handle(exchange, plan.match);
    co_return;
  }
  HttpResponse answer = *std::move(plan.answer);
  co_await exchange.Respond(std::move(answer));
}

awaitable<void> HttpConnection::Handle(HttpExchange& exchange, const HttpRouter::Match& match) {
  std::string problem;
  try {
    auto work = match.route->handler(exchange, match.values);
    co_await std::move(work);
    if (!exchange.has_ended() && !exchange.has_left()) problem = kNoAnswer;
  } catch (const std::exception& error) {
    problem = error.what();
  } catch (...) {
    problem = "threw what is no exception";
  }
  // What the handler wanted called may have gone with it.
  exchange.OnLeave(nullptr);
  if (problem.empty()) co_return;
  service_.Log(fmt::format("{}: the handler of {} {} failed: {}", exchange.request().id,
                           match.route->method, match.route->path, problem));
  if (exchange.has_ended()) co_return;
  if (exchange.has_begun()) {
    socket_->Abort();  // so that nobody takes what was sent for a whole answer
    co_return;
  }
  const ApiError error{ApiErrorKind::kInternal,
                       "the server failed; its log has the reason under the id of this request"};
  HttpResponse answer = ErrorResponse(exchange, error);
  co_await exchange.Respond(std::move(answer));
}

}  // namespace fulmen
