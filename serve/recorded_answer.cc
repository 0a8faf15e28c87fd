#include "serve/recorded_answer.h"

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>

#include "serve/sse.h"

namespace fulmen {

namespace asio = boost::asio;

// Also where the coroutine that waits is destroyed.
class RecordedAnswer::Waiting {
 public:
  Waiting(std::set<asio::steady_timer*>& all, asio::steady_timer& timer)
      : all_(all), timer_(timer) {
    all_.insert(&timer_);
  }
  ~Waiting() { all_.erase(&timer_); }
  Waiting(const Waiting&) = delete;
  Waiting& operator=(const Waiting&) = delete;

 private:
  std::set<asio::steady_timer*>& all_;
  asio::steady_timer& timer_;
};

void RecordedAnswer::Begin(HttpResponse head, bool streams) {
  head_ = std::move(head);
  streams_ = streams;
  has_begun_ = true;
  has_ended_ = !streams;
  Wake();
}

void RecordedAnswer::Append(std::string_view piece) {
  // Who reads it later gets its own.
  if (piece == kSseComment) return;
  head_.body += piece;
  Wake();
}

void RecordedAnswer::End() {
  has_ended_ = true;
  Wake();
}

KeptAnswer RecordedAnswer::Whole(std::string_view rest) const {
  KeptAnswer kept;
  kept.name = name_;
  kept.streams = streams_;
  kept.body = head_.body;
  kept.body += rest;
  return kept;
}

void RecordedAnswer::Wake() {
  for (asio::steady_timer* timer : waiting_) timer->cancel();
}

asio::awaitable<void> RecordedAnswer::SendTo(Exchange& client, std::chrono::seconds sign_of_life) {
  asio::steady_timer timer(io_);
  bool left = false;
  const Waiting waits(waiting_, timer);
  client.OnLeave([&left, &timer] {
    left = true;
    timer.cancel();
  });
  bool has_head = false;
  size_t sent = 0;
  while (!left) {
    if (has_begun_ && !streams_) {
      HttpResponse whole = head_;
      co_await client.Respond(std::move(whole));
      break;
    }
    if (has_begun_ && !has_head) {
      HttpResponse head = head_;
      head.body.clear();
      has_head = true;
      left = !co_await client.BeginStream(std::move(head)) || left;
      continue;
    }
    if (sent < head_.body.size()) {
      const std::string piece = head_.body.substr(sent);
      sent += piece.size();
      left = !co_await client.Write(piece) || left;
      continue;
    }
    if (has_ended_) {
      co_await client.EndStream();
      break;
    }
    timer.expires_after(sign_of_life);
    boost::system::error_code woken;
    co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, woken));
    if (!woken && has_head) left = !co_await client.Write(kSseComment) || left;
  }
  client.OnLeave({});
}

asio::awaitable<void> RecordingExchange::Respond(HttpResponse response) {
  record_->Begin(std::move(response), /*streams=*/false);
  co_return;
}

asio::awaitable<bool> RecordingExchange::BeginStream(HttpResponse head) {
  record_->Begin(std::move(head), /*streams=*/true);
  co_return true;
}

asio::awaitable<bool> RecordingExchange::Write(std::string_view piece) {
  record_->Append(piece);
  co_return true;
}

asio::awaitable<void> RecordingExchange::EndStream() {
  record_->End();
  co_return;
}

HttpResponse ResponseOf(const KeptAnswer& kept) {
  HttpResponse response;
  if (kept.streams) response.content_type = kSseContentType;
  response.headers.emplace_back("idempotent-replayed", "true");
  response.body = kept.body;
  return response;
}

}  // namespace fulmen
