// A server in a thread of its own, for tests.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "serve/http_server.h"
#include "serve/testing/raw_client.h"

namespace fulmen {

// Serves until it is destroyed.
class TestServer {
 public:
  TestServer(HttpServerOptions options, std::vector<Route> routes) {
    options.finished = [this](const HttpRecord& record) {
      const std::lock_guard lock(mutex_);
      records_.push_back(record);
    };
    options.log = [this](std::string_view line) {
      const std::lock_guard lock(mutex_);
      log_.emplace_back(line);
    };
    auto server = HttpServer::Listen(std::move(options), std::move(routes));
    EXPECT_TRUE(server) << server.error().message;
    server_ = *std::move(server);
    thread_ = std::thread([this] { server_->Run(); });
  }
  ~TestServer() { Stop(0); }
  TestServer(const TestServer&) = delete;
  TestServer& operator=(const TestServer&) = delete;

  void Stop(double seconds) {
    server_->Drain(seconds);
    if (thread_.joinable()) thread_.join();
  }

  HttpServer& operator*() { return *server_; }
  HttpServer* operator->() { return server_.get(); }
  uint16_t port() const { return server_->port(); }
  std::string host() const { return "localhost:" + std::to_string(port()); }

  std::vector<HttpRecord> records() {
    const std::lock_guard lock(mutex_);
    return records_;
  }
  std::vector<std::string> log() {
    const std::lock_guard lock(mutex_);
    return log_;
  }

  // "GET /hello" and headers as "a: b\r\n", with our Host.
  std::string Request(std::string_view line, std::string_view headers = "",
                      std::string_view body = "") const {
    std::string request = fmt::format("{} HTTP/1.1\r\nHost: {}\r\n{}", line, host(), headers);
    if (!body.empty()) request += fmt::format("Content-Length: {}\r\n", body.size());
    return request.append("\r\n").append(body);
  }
  RawAnswer Ask(std::string_view line, std::string_view headers = "",
                std::string_view body = "") const {
    RawClient client(port());
    client.Send(Request(line, headers, body));
    return client.Read(!line.starts_with("HEAD "));
  }
  // The status of the answer to these bytes.
  int StatusOf(std::string_view bytes) const {
    RawClient client(port());
    client.Send(bytes);
    return client.Read().status;
  }

 private:
  std::mutex mutex_;
  std::vector<HttpRecord> records_;
  std::vector<std::string> log_;
  std::unique_ptr<HttpServer> server_;
  std::thread thread_;
};

// A route that answers with JSON.
inline Route JsonRoute(std::string method, std::string path,
                       std::function<Json(const HttpRequest&, const PathValues&)> answer) {
  return {
      .method = std::move(method),
      .path = std::move(path),
      .handler = [answer = std::move(answer)](
                     Exchange& exchange, const PathValues& values) -> boost::asio::awaitable<void> {
        HttpResponse response = HttpResponse::OfJson(answer(exchange.request(), values));
        co_await exchange.Respond(std::move(response));
      }};
}

}  // namespace fulmen
