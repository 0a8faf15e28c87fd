// A server on this machine that answers with what it was told, whatever it is asked.
#pragma once

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "base/check.h"

namespace fulmen::testing {

struct ScriptedAnswer {
  std::string bytes;
  bool holds = false;  // then waits until the client leaves
};

inline ScriptedAnswer JsonAnswer(int status, std::string_view body, std::string_view headers = "") {
  return {
      fmt::format("HTTP/1.1 {} X\r\nContent-Type: application/json\r\n{}Content-Length: {}\r\n"
                  "Connection: close\r\n\r\n{}",
                  status, headers, body.size(), body)};
}

inline ScriptedAnswer StreamAnswer(std::string_view events, bool holds = false) {
  return {fmt::format("HTTP/1.1 200 X\r\nContent-Type: text/event-stream\r\n"
                      "Connection: close\r\n\r\n{}",
                      events),
          holds};
}

class ScriptedServer {
 public:
  // One answer to each request, then the last one to all others.
  explicit ScriptedServer(std::vector<ScriptedAnswer> answers)
      : answers_(std::move(answers)), socket_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    FULMEN_CHECK(bind(socket_, generic, size) == 0 && listen(socket_, 16) == 0 &&
                     getsockname(socket_, generic, &size) == 0,
                 "no socket");
    port_ = ntohs(address.sin_port);
    thread_ = std::jthread([this] { Serve(); });
  }
  ~ScriptedServer() {
    ended_ = true;
    thread_.join();
    close(socket_);
  }
  ScriptedServer(const ScriptedServer&) = delete;
  ScriptedServer& operator=(const ScriptedServer&) = delete;

  std::string url() const { return fmt::format("http://127.0.0.1:{}", port_); }
  // Heads and bodies, as they came.
  std::vector<std::string> requests() const {
    const std::lock_guard lock(mutex_);
    return requests_;
  }
  // How many clients have left an answer that holds.
  int left() const { return left_; }

 private:
  static bool Readable(int file) {
    pollfd waiting = {.fd = file, .events = POLLIN, .revents = 0};
    return poll(&waiting, 1, 20) > 0;
  }

  void Serve() {
    while (!ended_) {
      if (!Readable(socket_)) continue;
      const int client = accept4(socket_, nullptr, nullptr, SOCK_CLOEXEC);
      if (client < 0) continue;
      AnswerOne(client);
      close(client);
    }
  }

  void AnswerOne(int client) {
    std::string request;
    size_t whole = std::string::npos;
    while (request.size() < whole && !ended_) {
      if (!Readable(client)) continue;
      char buffer[4096];
      const ssize_t size = recv(client, buffer, sizeof buffer, 0);
      if (size <= 0) return;
      request.append(buffer, static_cast<size_t>(size));
      const size_t head = request.find("\r\n\r\n");
      if (head == std::string::npos) continue;
      const size_t length = request.find("Content-Length: ");
      whole = head + 4 + (length < head ? std::stoul(request.substr(length + 16)) : 0);
    }
    size_t number = 0;
    {
      const std::lock_guard lock(mutex_);
      number = std::min(requests_.size(), answers_.size() - 1);
      requests_.push_back(std::move(request));
    }
    const ScriptedAnswer& answer = answers_[number];
    (void)send(client, answer.bytes.data(), answer.bytes.size(), MSG_NOSIGNAL);
    char byte = 0;
    while (answer.holds && !ended_) {
      if (!Readable(client)) continue;
      if (recv(client, &byte, 1, 0) <= 0) {
        ++left_;
        return;
      }
    }
  }

  const std::vector<ScriptedAnswer> answers_;
  const int socket_;
  uint16_t port_ = 0;
  std::atomic<bool> ended_ = false;
  std::atomic<int> left_ = 0;
  mutable std::mutex mutex_;
  std::vector<std::string> requests_;  // guarded by mutex_
  std::jthread thread_;
};

}  // namespace fulmen::testing
