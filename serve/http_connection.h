// One connection: its requests, one after another, from their bytes to their routes.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <memory>
#include <optional>
#include <string>

#include "serve/http_exchange.h"
#include "serve/http_guard.h"
#include "serve/http_parser.h"
#include "serve/http_router.h"
#include "serve/http_server.h"
#include "serve/http_socket.h"

namespace fulmen {

// What all connections of a server share.
struct HttpService {
  HttpServerOptions options;
  HttpRouter router;
  HttpGuard guard;
  bool is_draining = false;

  void Log(std::string_view line) const;
};

class HttpConnection {
 public:
  // The service must outlive it. `is_one_too_many`: it is told so, and closed.
  HttpConnection(HttpService& service, std::unique_ptr<HttpTransport> transport,
                 bool is_one_too_many);

  // Returns when the connection has ended. Must outlive it.
  boost::asio::awaitable<void> Serve();
  // No request is taken any more; one that is under way is answered.
  void Drain();
  void Abort() { socket_->Abort(); }

 private:
  // What is to be done with a request whose header has come: a route, or an answer.
  struct Plan {
    HttpRouter::Match match;
    std::optional<HttpResponse> answer;
  };
  using Time = HttpSocket::Clock::time_point;

  // Whether another request may follow.
  boost::asio::awaitable<bool> ServeOne();
  // Feeds the parser until it has got there. False: the client has left before.
  boost::asio::awaitable<ApiResult<bool>> ReadUntil(HttpParser& parser,
                                                    bool (HttpParser::*is_there)() const,
                                                    Time deadline);
  boost::asio::awaitable<ApiResult<bool>> ReadBody(HttpParser& parser);
  Plan MakePlan(HttpParser& parser) const;
  ApiResult<void> CheckHeader(HttpParser& parser) const;
  ApiResult<void> CheckBody(HttpParser& parser, const Route& route) const;
  boost::asio::awaitable<void> Answer(HttpExchange& exchange, Plan plan);
  boost::asio::awaitable<void> Handle(HttpExchange& exchange, const HttpRouter::Match& match);

  HttpService& service_;
  const std::shared_ptr<HttpSocket> socket_;
  const bool is_one_too_many_;
  bool is_idle_ = false;
  HttpExchange* exchange_ = nullptr;  // under way
};

}  // namespace fulmen
