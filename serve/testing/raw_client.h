// A client that sends just the bytes it is told to, for tests.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "base/ascii.h"

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
  // `receive_buffer`: of the socket, in bytes; 0: as the system likes it. `seconds`: how long it
  // waits for a byte.
  explicit RawClient(uint16_t port, int receive_buffer = 0, int seconds = 5)
      : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    if (receive_buffer > 0) Set(SOL_SOCKET, SO_RCVBUF, receive_buffer);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    // Where nobody listens, nothing can be sent and nothing is read.
    (void)::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address);
    Set(IPPROTO_TCP, TCP_NODELAY, 1);
    const timeval patience = {.tv_sec = seconds, .tv_usec = 0};
    ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    ::setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  }
  ~RawClient() { Close(); }
  RawClient(RawClient&& other) noexcept
      : socket_(std::exchange(other.socket_, -1)), received_(std::move(other.received_)) {}
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;

  // False: the server has closed the connection.
  bool Send(std::string_view bytes) const {
    while (!bytes.empty()) {
      const ssize_t size = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (size <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(size));
    }
    return true;
  }

  int fd() const { return socket_; }

  // Nothing more will be sent.
  void HalfClose() const { ::shutdown(socket_, SHUT_WR); }
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
  void Set(int level, int name, int value) const {
    ::setsockopt(socket_, level, name, &value, sizeof value);
  }
  bool More() {
    char buffer[65536];
    ssize_t size = 0;
    do {
      size = ::recv(socket_, buffer, sizeof buffer, 0);
    } while (size < 0 && errno == EINTR);  // a child of the test has ended
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

}  // namespace fulmen
