#include "serve/http_socket.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <utility>

#include "serve/asio_await.h"

namespace fulmen {
namespace {

namespace asio = boost::asio;
using asio::awaitable;

// How long a client that was told the end may take to read it and say its own.
constexpr double kLingerSeconds = 2;

constexpr auto kNever = HttpSocket::Clock::time_point::max();

// More than this is given back between requests.
constexpr size_t kIdleMemory = 4096;

HttpSocket::Clock::duration Seconds(double seconds) {
  return std::chrono::duration_cast<HttpSocket::Clock::duration>(
      std::chrono::duration<double>(seconds));
}

}  // namespace

HttpSocket::HttpSocket(std::unique_ptr<HttpTransport> transport, size_t read_ahead,
                       double write_seconds)
    : transport_(std::move(transport)),
      read_ahead_(read_ahead),
      write_seconds_(write_seconds),
      changed_(transport_->executor()),
      patience_(transport_->executor()) {}

awaitable<bool> HttpSocket::Open(double seconds) {
  AbortAfter(seconds);
  const bool is_open = co_await transport_->Open();
  patience_.expires_at(kNever);
  if (is_open) StartReceiving();
  co_return is_open;
}

void HttpSocket::Consume(size_t size) {
  received_.erase(0, size);
  StartReceiving();
}

void HttpSocket::FreeIdleMemory() {
  if (received_.capacity() > kIdleMemory) received_.shrink_to_fit();
}

awaitable<HttpSocket::Wait> HttpSocket::WaitForMore(Clock::time_point deadline) {
  const size_t before = received_.size();
  for (;;) {
    if (received_.size() > before) co_return Wait::kMore;
    if (has_left_) co_return Wait::kEnded;
    if (Clock::now() >= deadline) co_return Wait::kTimeout;
    changed_.expires_at(deadline);
    co_await changed_.async_wait(kAwait);
  }
}

awaitable<bool> HttpSocket::Write(std::string_view bytes) {
  while (!bytes.empty() && !is_broken_) {
    AbortAfter(write_seconds_);
    const size_t size = co_await transport_->WriteSome(bytes);
    patience_.expires_at(kNever);
    if (size == 0) {
      is_broken_ = true;
      Leave();
    }
    bytes.remove_prefix(size);
  }
  co_return !is_broken_;
}

void HttpSocket::OnLeave(std::function<void()> leave) {
  leave_ = std::move(leave);
  if (has_left_) Leave();
}

awaitable<void> HttpSocket::Finish() {
  // Closing a socket that has something unread resets the connection, and a client that is still
  // sending would never see the answer.
  received_.clear();
  is_discarding_ = true;
  StartReceiving();
  AbortAfter(kLingerSeconds);
  co_await transport_->EndWriting();
  co_await WaitForMore(kNever);
  patience_.expires_at(kNever);
  Close();
}

void HttpSocket::Close() {
  is_broken_ = true;
  transport_->Close(/*reset=*/false);
  Leave();
}

void HttpSocket::Abort() {
  is_broken_ = true;
  transport_->Close(/*reset=*/true);
  Leave();
}

void HttpSocket::StartReceiving() {
  if (is_receiving_ || has_left_ || is_full()) return;
  is_receiving_ = true;
  asio::co_spawn(
      transport_->executor(), [self = shared_from_this()] { return self->Receive(); },
      asio::detached);
}

awaitable<void> HttpSocket::Receive() {
  bool more = true;
  while (more && !is_full()) {
    more = co_await transport_->ReadSome(received_);
    if (is_discarding_) received_.clear();
    changed_.cancel();
  }
  is_receiving_ = false;
  if (!more) Leave();
}

void HttpSocket::Leave() {
  has_left_ = true;
  changed_.cancel();
  if (const auto leave = std::exchange(leave_, nullptr)) leave();
}

void HttpSocket::AbortAfter(double seconds) {
  patience_.expires_after(Seconds(seconds));
  patience_.async_wait([self = shared_from_this()](AsioError error) {
    // One that was put off just after it had run out still arrives.
    if (!error && self->patience_.expiry() <= Clock::now()) self->Abort();
  });
}

}  // namespace fulmen
