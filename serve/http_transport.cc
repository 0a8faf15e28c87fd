#include "serve/http_transport.h"

#include <fmt/core.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>

#include <array>
#include <boost/asio/ssl.hpp>
#include <utility>

#include "serve/asio_await.h"

namespace fulmen {
namespace {

namespace asio = boost::asio;
using asio::awaitable;
using asio::ip::tcp;

// Bytes that a read takes at most.
constexpr size_t kPlainRead = size_t{64} << 10;
constexpr size_t kTlsRead = size_t{16} << 10;  // a record

template <int kLevel, int kName>
using IntOption = asio::detail::socket_option::integer<kLevel, kName>;

// An IPv4 client of a socket that takes both kinds has an IPv4 address.
asio::ip::address Unmapped(const asio::ip::address& address) {
  if (!address.is_v6() || !address.to_v6().is_v4_mapped()) return address;
  return asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6());
}

std::string HostAndPort(const asio::ip::address& address, uint16_t port) {
  return address.is_v6() ? fmt::format("[{}]:{}", address.to_string(), port)
                         : fmt::format("{}:{}", address.to_string(), port);
}

class Plain final : public HttpTransport {
 public:
  Plain(tcp::socket socket, double write_seconds) : socket_(std::move(socket)) {
    SetUp(write_seconds);
    AsioError ignored;
    socket_.non_blocking(true, ignored);
  }

  awaitable<bool> Open() override { co_return true; }

  // Waits without a buffer, so that thousands of quiet connections need none.
  awaitable<bool> ReadSome(std::string& into) override {
    static thread_local std::array<char, kPlainRead> scratch;
    for (;;) {
      const auto [wait_error] = co_await socket_.async_wait(tcp::socket::wait_read, kAwait);
      if (wait_error) co_return false;
      AsioError error;
      const size_t size = socket_.read_some(asio::buffer(scratch), error);
      if (error == asio::error::would_block) continue;
      if (error) co_return false;
      into.append(scratch.data(), size);
      co_return true;
    }
  }

  awaitable<size_t> WriteSome(std::string_view bytes) override {
    const asio::const_buffer buffer(bytes.data(), bytes.size());
    const auto [error, size] = co_await socket_.async_write_some(buffer, kAwait);
    co_return error ? 0 : size;
  }

  awaitable<void> EndWriting() override {
    AsioError ignored;
    socket_.shutdown(tcp::socket::shutdown_send, ignored);
    co_return;
  }

 protected:
  tcp::socket& socket() override { return socket_; }

 private:
  tcp::socket socket_;
};

class Tls final : public HttpTransport {
 public:
  Tls(tcp::socket socket, asio::ssl::context& context, double write_seconds)
      : stream_(std::move(socket), context) {
    SetUp(write_seconds);
  }

  awaitable<bool> Open() override {
    const auto [error] = co_await stream_.async_handshake(asio::ssl::stream_base::server, kAwait);
    co_return !error;
  }

  awaitable<bool> ReadSome(std::string& into) override {
    const asio::mutable_buffer buffer(scratch_.data(), scratch_.size());
    const auto [error, size] = co_await stream_.async_read_some(buffer, kAwait);
    into.append(scratch_.data(), size);
    co_return size > 0;
  }

  awaitable<size_t> WriteSome(std::string_view bytes) override {
    const asio::const_buffer buffer(bytes.data(), bytes.size());
    const auto [error, size] = co_await stream_.async_write_some(buffer, kAwait);
    co_return error ? 0 : size;
  }

  awaitable<void> EndWriting() override {
    const auto [error] = co_await stream_.async_shutdown(kAwait);
    AsioError ignored;
    if (!error) socket().shutdown(tcp::socket::shutdown_send, ignored);
  }

 protected:
  tcp::socket& socket() override { return stream_.next_layer(); }

 private:
  asio::ssl::stream<tcp::socket> stream_;
  std::array<char, kTlsRead> scratch_;
};

}  // namespace

void HttpTransport::SetUp(double write_seconds) {
  // A client that goes away at once makes these fail; reading will tell.
  AsioError ignored;
  tcp::socket& own = socket();
  const tcp::endpoint peer = own.remote_endpoint(ignored);
  const tcp::endpoint local = own.local_endpoint(ignored);
  peer_ = HostAndPort(Unmapped(peer.address()), peer.port());
  local_address_ = Unmapped(local.address()).to_string();
  own.set_option(tcp::no_delay(true), ignored);
  // A client whose machine or network is gone does not say so.
  own.set_option(asio::socket_base::keep_alive(true), ignored);
  own.set_option(IntOption<IPPROTO_TCP, TCP_KEEPIDLE>(60), ignored);
  own.set_option(IntOption<IPPROTO_TCP, TCP_KEEPINTVL>(15), ignored);
  own.set_option(IntOption<IPPROTO_TCP, TCP_KEEPCNT>(4), ignored);
  const auto milliseconds = static_cast<int>(write_seconds * 1000);
  own.set_option(IntOption<IPPROTO_TCP, TCP_USER_TIMEOUT>(milliseconds), ignored);
}

void HttpTransport::Close(bool reset) {
  AsioError ignored;
  if (reset) socket().set_option(asio::socket_base::linger(true, 0), ignored);
  socket().close(ignored);
}

std::unique_ptr<HttpTransport> PlainTransport(tcp::socket socket, double write_seconds) {
  return std::make_unique<Plain>(std::move(socket), write_seconds);
}

std::unique_ptr<HttpTransport> TlsTransport(tcp::socket socket, asio::ssl::context& context,
                                            double write_seconds) {
  return std::make_unique<Tls>(std::move(socket), context, write_seconds);
}

Result<std::shared_ptr<asio::ssl::context>> LoadTlsContext(const std::string& certificate,
                                                           const std::string& key) {
  auto context = std::make_shared<asio::ssl::context>(asio::ssl::context::tls_server);
  SSL_CTX* const native = context->native_handle();
  SSL_CTX_set_min_proto_version(native, TLS1_2_VERSION);
  SSL_CTX_set_options(native, SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_set_mode(native, SSL_MODE_RELEASE_BUFFERS);  // 34 KB for each quiet connection
  AsioError error;
  context->use_certificate_chain_file(certificate, error);
  if (error) {
    return Fail(ErrorCode::kInvalidArgument, "expected a TLS certificate in '{}': {}", certificate,
                error.message());
  }
  context->use_private_key_file(key, asio::ssl::context::pem, error);
  if (error) {
    return Fail(ErrorCode::kInvalidArgument,
                "expected the private key of the TLS certificate in '{}': {}", key,
                error.message());
  }
  return context;
}

}  // namespace fulmen
