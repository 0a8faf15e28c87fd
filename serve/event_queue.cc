#include "serve/event_queue.h"

#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>
#include <variant>

namespace fulmen {
namespace {

namespace asio = boost::asio;

// Appends `event` to `last` where both are text of one kind.
bool Merge(EventQueue::Entry& last, size_t generation, const Event& event) {
  const auto* more = std::get_if<AnswerDelta>(&event);
  auto* before = std::get_if<AnswerDelta>(&last.event);
  if (more == nullptr || before == nullptr || last.generation != generation) return false;
  using Kind = AnswerPiece::Kind;
  const Kind kind = more->piece.kind;
  const bool text = kind == Kind::kText || kind == Kind::kReasoning || kind == Kind::kArguments;
  if (!text || kind != before->piece.kind || more->choice != before->choice) return false;
  before->piece.text += more->piece.text;
  return true;
}

}  // namespace

void EventQueue::Push(size_t generation, const Event& event) {
  const std::lock_guard lock(mutex_);
  if (entries_.empty() || !Merge(entries_.back(), generation, event)) {
    entries_.push_back({generation, event});
  }
  if (std::exchange(announced_, true)) return;
  asio::post(io_, [self = shared_from_this()] { self->Wake(); });
}

std::vector<EventQueue::Entry> EventQueue::TakeNow() {
  const std::lock_guard lock(mutex_);
  announced_ = false;
  return std::exchange(entries_, {});
}

asio::awaitable<std::vector<EventQueue::Entry>> EventQueue::Take(
    std::chrono::steady_clock::duration patience) {
  std::vector<Entry> entries = TakeNow();
  if (!entries.empty()) co_return entries;
  timer_.expires_after(patience);
  boost::system::error_code ended;
  co_await timer_.async_wait(asio::redirect_error(asio::use_awaitable, ended));
  co_return TakeNow();
}

}  // namespace fulmen
