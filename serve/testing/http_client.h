// A client that sends just the bytes it is told to, and a server in a thread of its own, for tests.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "serve/http_server.h"
#include "serve/http_text.h"

namespace fulmen {

struct RawAnswer {
  int status = 0;
  std::string head;  // in lower case
  std::string body;  // without its chunks
  bool whole = false;

  // Of the header; "" where there is none.
  std::string Header(const std::string& name) const {
    const size_t begin = head.find("\r\n" + name + ": ");
    if (begin == std::string::npos) return "";
    const size_t value = begin + name.size() + 4;
    return head.substr(value, head.find("\r\n", value) - value);
  }
};

class RawClient {
 public:
  // `receive_buffer`: of the socket, in bytes; 0: as the system likes it.
  explicit RawClient(uint16_t port, int receive_buffer = 0)
      : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    if (receive_buffer > 0) Set(SOL_SOCKET, SO_RCVBUF, receive_buffer);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    EXPECT_EQ(::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    Set(IPPROTO_TCP, TCP_NODELAY, 1);
    const timeval patience = {.tv_sec = 5, .tv_usec = 0};
    ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    ::setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  }
  ~RawClient() { Close(); }
  RawClient(RawClient&& other) noexcept
      : socket_(std::exchange(other.socket_, -1)), received_(std::move(other.received_)) {}
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;

  // False: the server has closed the connection.
  bool Send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t size = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (size <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(size));
    }
    return true;
  }

  int fd() const { return socket_; }

  // Nothing more will be sent.
  void HalfClose() { ::shutdown(socket_, SHUT_WR); }
  void Close() {
    if (socket_ >= 0) ::close(std::exchange(socket_, -1));
  }
  void Reset() {
    const linger at_once = {.l_onoff = 1, .l_linger = 0};
    ::setsockopt(socket_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    Close();
  }

  // The next answer; its status is 0 where there is none. `has_body`: not to HEAD.
  RawAnswer Read(bool has_body = true) {
    RawAnswer answer = ReadHead();
    if (answer.status == 0) return answer;
    answer.whole = true;
    if (!has_body || answer.status < 200 || answer.status == 204) return answer;
    if (answer.Header("transfer-encoding") == "chunked") {
      for (std::string chunk; (answer.whole = ReadChunk(chunk)) && !chunk.empty();) {
        answer.body += chunk;
      }
    } else if (const std::string length = answer.Header("content-length"); !length.empty()) {
      const size_t size = std::strtoull(length.c_str(), nullptr, 10);
      while (received_.size() < size && answer.whole) answer.whole = More();
      answer.body = Take(size);
    } else {
      answer.body = ReadToEnd();
    }
    return answer;
  }
  RawAnswer ReadHead() {
    RawAnswer answer;
    size_t end = 0;
    while ((end = received_.find("\r\n\r\n")) == std::string::npos) {
      if (!More()) return answer;
    }
    answer.head = LowerCase(Take(end + 4));
    answer.status = std::atoi(answer.head.c_str() + answer.head.find(' '));
    return answer;
  }
  // False: the connection has ended before. An empty chunk is the last.
  bool ReadChunk(std::string& chunk) {
    size_t end = 0;
    while ((end = received_.find("\r\n")) == std::string::npos) {
      if (!More()) return false;
    }
    const size_t size = std::strtoull(received_.c_str(), nullptr, 16);
    while (received_.size() < end + size + 4) {
      if (!More()) return false;
    }
    chunk = Take(end + size + 4).substr(end + 2, size);
    return true;
  }
  std::string ReadToEnd() {
    while (More()) {
    }
    return Take(received_.size());
  }
  // The server has closed the connection, without another word.
  bool IsAtEnd() { return received_.empty() && !More(); }

 private:
  void Set(int level, int name, int value) {
    ::setsockopt(socket_, level, name, &value, sizeof value);
  }
  bool More() {
    char buffer[65536];
    const ssize_t size = ::recv(socket_, buffer, sizeof buffer, 0);
    if (size <= 0) return false;
    received_.append(buffer, static_cast<size_t>(size));
    return true;
  }
  std::string Take(size_t size) {
    if (size >= received_.size()) return std::exchange(received_, "");
    std::string front = received_.substr(0, size);
    received_.erase(0, size);
    return front;
  }

  int socket_;
  std::string received_;
};

// Until `is_true()`, or for five seconds.
inline bool Eventually(const std::function<bool()>& is_true) {
  for (int i = 0; i < 5000; ++i) {
    if (is_true()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return false;
}

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
