// A connection as bytes that come and go: always read from, so that the client's leaving is
// noticed, and written to with patience that has an end.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "serve/http_transport.h"

namespace fulmen {

class HttpSocket : public std::enable_shared_from_this<HttpSocket> {
 public:
  using Clock = std::chrono::steady_clock;

  // Up to about `read_ahead` bytes are kept that nobody has consumed; then the client must wait,
  // and its leaving is noticed late.
  HttpSocket(std::unique_ptr<HttpTransport> transport, size_t read_ahead, double write_seconds);

  // First of all. False: the client does not speak TLS, or is too slow at it.
  boost::asio::awaitable<bool> Open(double seconds);

  // What has come and was not consumed.
  std::string_view received() const { return received_; }
  bool is_full() const { return received_.size() >= read_ahead_; }
  void Consume(size_t size);
  void FreeIdleMemory();

  enum class Wait { kMore, kEnded, kTimeout };
  // Until there is more than now.
  boost::asio::awaitable<Wait> WaitForMore(Clock::time_point deadline);

  // False: the connection has ended. A client that takes nothing for `write_seconds` ends it.
  boost::asio::awaitable<bool> Write(std::string_view bytes);

  // Nothing more will come from the client: it has left, or is as good as gone.
  bool has_left() const { return has_left_; }
  // Called once, as soon as it has left, or at once. Null: nobody wants to know.
  void OnLeave(std::function<void()> leave);

  // Ends the connection in such a way that the client can read the last answer.
  boost::asio::awaitable<void> Finish();
  // Ends it at once: Close when all is said, Abort when not.
  void Close();
  void Abort();

  const HttpTransport& transport() const { return *transport_; }

 private:
  void StartReceiving();
  boost::asio::awaitable<void> Receive();
  void Leave();
  void AbortAfter(double seconds);

  std::unique_ptr<HttpTransport> transport_;
  const size_t read_ahead_;
  const double write_seconds_;
  std::string received_;
  bool is_receiving_ = false;
  bool is_discarding_ = false;  // what comes
  bool has_left_ = false;
  bool is_broken_ = false;  // nothing can be written
  std::function<void()> leave_;
  boost::asio::steady_timer changed_;   // what WaitForMore waits for; cancelled to wake it
  boost::asio::steady_timer patience_;  // aborts
};

}  // namespace fulmen
