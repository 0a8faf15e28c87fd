// The HTTP server: HTTP/1.1 and 1.0, in the clear or over TLS, on one thread for all connections.
//
// A request reaches its route once it has arrived whole and was found to be allowed: the Host is
// ours, no foreign page asks, the key is known, the body is no form. Whatever the server refuses
// itself, it answers in the shape of the API that was asked.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "serve/http.h"

namespace fulmen {

// An exchange that has ended, for logs and metrics.
struct HttpRecord {
  std::string id;             // of the request
  std::string peer;           // address and port
  std::string method;         // empty, as is `route`, where the request could not be understood
  std::string route;          // path of the route, as "/v1/responses/{id}"; empty: none
  int status = 0;             // 499: the client left before it had one
  bool whole = false;         // the answer was sent to its end
  double seconds = 0;         // from the request's first byte to the answer's last
  size_t received = 0;        // bytes of the body
  size_t sent = 0;            // bytes of the answer, with its head
  std::string left_out = {};  // what its head says was left out of a schema (kLeftOutHeader)
};

struct HttpServerOptions {
  std::string address = "127.0.0.1";  // or a name
  uint16_t port = 0;                  // 0: any that is free
  std::string tls_certificate = {};   // files in PEM format: the chain, and its key; both or none
  std::string tls_key = {};

  // Hosts that requests may name besides loopback and the address they came to: "name", with any
  // port, or "name:port". "*" is any.
  std::vector<std::string> allowed_hosts = {};
  // Pages that may ask without a key: "https://host", or "*" for any.
  std::vector<std::string> cors_origins = {};
  // Says who asks, on routes that need a key, or why they may not; null: everybody may. Called
  // before the body arrives.
  Authorize authorize = nullptr;

  size_t most_connections = 4096;
  size_t body_limit = size_t{64} << 20;    // bytes
  size_t header_limit = size_t{64} << 10;  // bytes, with the request line
  size_t most_headers = 128;
  double header_seconds = 30;  // to arrive, from its first byte; also a TLS handshake
  double body_seconds = 300;   // to arrive whole
  double idle_seconds = 180;   // between requests. More than proxies and clients keep connections
  double write_seconds = 60;   // without the client taking anything

  // Both are called on the I/O thread. Null: records are dropped, and lines go to standard error.
  std::function<void(const HttpRecord&)> finished = nullptr;
  std::function<void(std::string_view)> log = nullptr;
};

class HttpServer {
 public:
  // Clients can connect from now on, and are answered once Run is called. Fails where the address
  // is taken or unknown, or the TLS files are no good.
  static Result<std::unique_ptr<HttpServer>> Listen(HttpServerOptions options,
                                                    std::vector<Route> routes);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  uint16_t port() const;

  // Serves on this thread, the I/O thread, until it is drained. Call it once.
  void Run();

  // From any thread: takes no more connections, closes idle ones, lets the others finish what is
  // under way and cuts them off after `seconds`; then Run returns. Handlers that have not returned
  // a second later are destroyed where they wait, with the server. Calling it again sets another
  // time.
  void Drain(double seconds);

  // From any thread: has `work` called on the I/O thread.
  void Post(std::function<void()> work);
  // Its thread is the I/O thread. Must not be used after the server is gone.
  boost::asio::any_io_executor executor();

  size_t connections() const;  // open ones, from any thread

 private:
  class Impl;
  explicit HttpServer(std::unique_ptr<Impl> impl);

  std::unique_ptr<Impl> impl_;
};

}  // namespace fulmen
