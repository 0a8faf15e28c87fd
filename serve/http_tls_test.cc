#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include <atomic>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "serve/testing/http_client.h"
#include "serve/testing/tls_files.h"

namespace fulmen {
namespace {

using boost::asio::awaitable;
using namespace std::chrono_literals;

class TlsClient {
 public:
  explicit TlsClient(uint16_t port, int newest = TLS1_3_VERSION)
      : socket_(port), context_(SSL_CTX_new(TLS_client_method())) {
    SSL_CTX_set_security_level(context_.get(), 0);  // for old versions
    SSL_CTX_set_max_proto_version(context_.get(), newest);
    ssl_.reset(SSL_new(context_.get()));
    SSL_set_fd(ssl_.get(), socket_.fd());
    is_open_ = SSL_connect(ssl_.get()) == 1;
  }

  bool is_open() const { return is_open_; }
  std::string version() const { return SSL_get_version(ssl_.get()); }
  void Send(std::string_view bytes) {
    EXPECT_GT(SSL_write(ssl_.get(), bytes.data(), static_cast<int>(bytes.size())), 0);
  }
  // Until the text ends with `end`, or the connection does.
  std::string ReadUntil(std::string_view end) {
    std::string text;
    char buffer[16384];
    for (int size = 1; size > 0 && (end.empty() || !text.ends_with(end));) {
      size = SSL_read(ssl_.get(), buffer, sizeof buffer);
      if (size > 0) text.append(buffer, static_cast<size_t>(size));
    }
    return text;
  }
  // The server has said that nothing more comes, so that nobody can have cut it off.
  bool WasToldTheEnd() const { return (SSL_get_shutdown(ssl_.get()) & SSL_RECEIVED_SHUTDOWN) != 0; }
  void SayTheEnd() { SSL_shutdown(ssl_.get()); }
  RawClient& socket() { return socket_; }

 private:
  RawClient socket_;
  std::unique_ptr<SSL_CTX, Free<SSL_CTX_free>> context_;
  std::unique_ptr<SSL, Free<SSL_free>> ssl_;
  bool is_open_ = false;
};

std::vector<Route> Routes(std::atomic<int>& left) {
  const auto wait = [&left](Exchange& exchange, const PathValues&) -> awaitable<void> {
    HttpResponse head{.content_type = "text/event-stream"};
    co_await exchange.BeginStream(std::move(head));
    boost::asio::steady_timer forever(co_await boost::asio::this_coro::executor, 1h);
    exchange.OnLeave([&] {
      ++left;
      forever.cancel();
    });
    co_await exchange.Write(":\n\n");
    constexpr auto kAwait = boost::asio::as_tuple(boost::asio::use_awaitable);
    co_await forever.async_wait(kAwait);
  };
  const auto echo = [](Exchange& exchange, const PathValues&) -> awaitable<void> {
    HttpResponse response{.content_type = "text/html"};
    response.body = exchange.TakeBody();
    co_await exchange.Respond(std::move(response));
  };
  return {
      {.method = "GET", .path = "/wait", .handler = wait},
      {.method = "POST", .path = "/echo", .handler = echo},
      JsonRoute("GET", "/hello", [](const HttpRequest&, const PathValues&) { return Json(1); })};
}

TEST_F(TlsFiles, ServesOverTls) {
  std::atomic<int> left = 0;
  TestServer server({.tls_certificate = certificate_, .tls_key = key_}, Routes(left));
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    TlsClient client(server.port(), version);
    ASSERT_TRUE(client.is_open());
    EXPECT_EQ(client.version(), version == TLS1_2_VERSION ? "TLSv1.2" : "TLSv1.3");
    client.Send(server.Request("GET /hello") + server.Request("GET /hello"));
    EXPECT_TRUE(client.ReadUntil("\r\n\r\n1").starts_with("HTTP/1.1 200 OK\r\n"));
    // What is sent while the server reads it all.
    const std::string body = std::string(3 << 20, 'x') + "!";
    client.Send(server.Request("POST /echo", "Connection: close\r\n", body));
    EXPECT_TRUE(client.ReadUntil("").ends_with("\r\n\r\n" + body));
    EXPECT_TRUE(client.WasToldTheEnd());
  }
  TlsClient old(server.port());
  old.Send("GET /hello HTTP/1.0\r\n\r\n");
  EXPECT_TRUE(old.ReadUntil("").ends_with("\r\n\r\n1"));
  EXPECT_TRUE(old.WasToldTheEnd());
}

TEST_F(TlsFiles, LeavingIsNoticed) {
  std::atomic<int> left = 0;
  TestServer server({.tls_certificate = certificate_, .tls_key = key_}, Routes(left));
  const std::vector<std::function<void(TlsClient&)>> ways = {
      [](TlsClient& client) { client.socket().Close(); },
      [](TlsClient& client) { client.socket().Reset(); },
      [](TlsClient& client) { client.socket().HalfClose(); },
      [](TlsClient& client) { client.SayTheEnd(); }};
  int expected = 0;
  for (const auto& leave : ways) {
    TlsClient client(server.port());
    client.Send(server.Request("GET /wait"));
    EXPECT_NE(client.ReadUntil(":\n\n\r\n"), "");
    EXPECT_EQ(left, expected);
    leave(client);
    ++expected;
    EXPECT_TRUE(Eventually([&] { return left == expected; }));
  }
  EXPECT_TRUE(Eventually([&] { return server->connections() == 0; }));
}

TEST_F(TlsFiles, WhatIsNoTlsOrTooOldIsRefused) {
  std::atomic<int> left = 0;
  TestServer server({.tls_certificate = certificate_, .tls_key = key_, .header_seconds = 0.2},
                    Routes(left));
  EXPECT_FALSE(TlsClient(server.port(), TLS1_1_VERSION).is_open());
  RawClient plain(server.port());
  plain.Send(server.Request("GET /hello"));
  EXPECT_EQ(plain.Read().status, 0);
  RawClient silent(server.port());
  EXPECT_TRUE(silent.IsAtEnd());
  TlsClient good(server.port());
  EXPECT_TRUE(good.is_open());
}

TEST_F(TlsFiles, FilesMustFitTogether) {
  const auto fails = [](const std::string& certificate, const std::string& key) {
    const auto server = HttpServer::Listen({.tls_certificate = certificate, .tls_key = key}, {});
    return server ? "" : server.error().message;
  };
  EXPECT_NE(fails(certificate_, ""), "");
  EXPECT_NE(fails("", key_), "");
  EXPECT_NE(fails(key_, key_).find("a TLS certificate in '" + key_), std::string::npos);
  EXPECT_NE(fails(certificate_ + "x", key_), "");
  EXPECT_NE(fails(certificate_, other_key_).find(other_key_), std::string::npos);
  EXPECT_EQ(fails(certificate_, key_), "");
}

}  // namespace
}  // namespace fulmen
