#include "serve/http_server.h"

#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <exception>
#include <unordered_set>
#include <utility>

#include "serve/asio_await.h"
#include "serve/http_connection.h"

namespace fulmen {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

// So many connections over the limit are told that there are too many; others are closed.
constexpr size_t kMostRefusals = 64;
// Before trying again where no connection can be taken, as when all file descriptors are in use.
constexpr auto kAcceptPause = std::chrono::milliseconds(100);
// For handlers to return after their clients were cut off.
constexpr double kLastSeconds = 1;

std::chrono::milliseconds Milliseconds(double seconds) {
  return std::chrono::milliseconds(static_cast<int64_t>(seconds * 1000));
}

}  // namespace

class HttpServer::Impl {
 public:
  Impl(HttpServerOptions options, HttpRouter router)
      : service_{std::move(options), std::move(router), HttpGuard(service_.options, 0)},
        acceptor_(io_),
        drain_timer_(io_) {}

  Status Listen();
  void Run();
  void Drain(double seconds);

  asio::io_context& io() { return io_; }
  uint16_t port() const { return port_; }
  size_t connections() const { return count_; }

 private:
  asio::awaitable<void> Accept();
  void Take(tcp::socket socket);
  void Remove(const std::shared_ptr<HttpConnection>& connection, const std::exception_ptr& error);
  void StartDraining(double seconds);
  void CutOff();

  // Destroyed after the coroutines, which the I/O context holds.
  HttpService service_;
  std::shared_ptr<asio::ssl::context> tls_;
  asio::io_context io_{1};
  tcp::acceptor acceptor_;
  asio::steady_timer drain_timer_;
  std::unordered_set<std::shared_ptr<HttpConnection>> connections_;
  std::atomic<size_t> count_ = 0;  // of them
  uint16_t port_ = 0;
};

Status HttpServer::Impl::Listen() {
  const HttpServerOptions& options = service_.options;
  if (options.tls_certificate.empty() != options.tls_key.empty()) {
    return Fail(ErrorCode::kInvalidArgument, "TLS needs both a certificate and its key");
  }
  if (!options.tls_certificate.empty()) {
    FULMEN_ASSIGN(tls_, LoadTlsContext(options.tls_certificate, options.tls_key));
  }
  AsioError error;
  tcp::resolver resolver(io_);
  const auto found = resolver.resolve(options.address, std::to_string(options.port),
                                      tcp::resolver::passive, error);
  if (error || found.empty()) {
    return Fail(ErrorCode::kInvalidArgument, "cannot listen on '{}': {}", options.address,
                error.message());
  }
  const tcp::endpoint endpoint = found.begin()->endpoint();
  acceptor_.open(endpoint.protocol(), error);
  if (!error) acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor_.bind(endpoint, error);
  if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
  if (error) {
    return Fail(ErrorCode::kIo, "cannot listen on '{}' port {}: {}", options.address, options.port,
                error.message());
  }
  port_ = acceptor_.local_endpoint().port();
  service_.guard = HttpGuard(options, port_);
  asio::co_spawn(
      io_, [this] { return Accept(); },
      [](const std::exception_ptr& failure) {
        if (failure) std::rethrow_exception(failure);
      });
  return {};
}

void HttpServer::Impl::Run() {
  for (;;) {
    try {
      io_.run();
      return;
    } catch (const std::exception& error) {
      service_.Log(fmt::format("work on the I/O thread failed: {}", error.what()));
    }
  }
}

asio::awaitable<void> HttpServer::Impl::Accept() {
  asio::steady_timer pause(io_);
  bool has_failed = false;
  while (!service_.is_draining) {
    auto [error, socket] = co_await acceptor_.async_accept(kAwait);
    if (service_.is_draining) break;
    if (!error) {
      has_failed = false;
      Take(std::move(socket));
      continue;
    }
    if (!std::exchange(has_failed, true)) {
      service_.Log(fmt::format("cannot take a connection: {}", error.message()));
    }
    pause.expires_after(kAcceptPause);
    co_await pause.async_wait(kAwait);
  }
}

void HttpServer::Impl::Take(tcp::socket socket) {
  const HttpServerOptions& options = service_.options;
  const size_t open = connections_.size();
  if (open >= options.most_connections + kMostRefusals) return;
  auto transport = tls_ ? TlsTransport(std::move(socket), *tls_, options.write_seconds)
                        : PlainTransport(std::move(socket), options.write_seconds);
  auto connection = std::make_shared<HttpConnection>(service_, std::move(transport),
                                                     open >= options.most_connections);
  connections_.insert(connection);
  count_ = connections_.size();
  asio::co_spawn(
      io_, [connection] { return connection->Serve(); },
      [this, connection](const std::exception_ptr& error) { Remove(connection, error); });
}

void HttpServer::Impl::Remove(const std::shared_ptr<HttpConnection>& connection,
                              const std::exception_ptr& error) {
  connection->Abort();
  connections_.erase(connection);
  count_ = connections_.size();
  if (service_.is_draining && connections_.empty()) io_.stop();
  if (error) std::rethrow_exception(error);
}

void HttpServer::Impl::Drain(double seconds) {
  asio::post(io_, [this, seconds] { StartDraining(seconds); });
}

void HttpServer::Impl::StartDraining(double seconds) {
  if (!std::exchange(service_.is_draining, true)) {
    AsioError ignored;
    acceptor_.close(ignored);
    if (connections_.empty()) io_.stop();
    for (const auto& connection : connections_) connection->Drain();
  }
  drain_timer_.expires_after(Milliseconds(seconds));
  drain_timer_.async_wait([this](AsioError error) {
    if (!error) CutOff();
  });
}

void HttpServer::Impl::CutOff() {
  for (const auto& connection : connections_) connection->Abort();
  drain_timer_.expires_after(Milliseconds(kLastSeconds));
  drain_timer_.async_wait([this](AsioError) { io_.stop(); });
}

HttpServer::HttpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpServer::~HttpServer() = default;

Result<std::unique_ptr<HttpServer>> HttpServer::Listen(HttpServerOptions options,
                                                       std::vector<Route> routes) {
  auto impl = std::make_unique<Impl>(std::move(options), HttpRouter(std::move(routes)));
  FULMEN_TRY(impl->Listen());
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(impl)));
}

uint16_t HttpServer::port() const { return impl_->port(); }
void HttpServer::Run() { impl_->Run(); }
void HttpServer::Drain(double seconds) { impl_->Drain(seconds); }
void HttpServer::Post(std::function<void()> work) { asio::post(impl_->io(), std::move(work)); }
asio::any_io_executor HttpServer::executor() { return impl_->io().get_executor(); }
size_t HttpServer::connections() const { return impl_->connections(); }

}  // namespace fulmen
