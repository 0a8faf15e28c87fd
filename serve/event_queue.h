// Events on their way from engines' threads to the I/O thread.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstddef>
#include <memory>
#include <mutex>
#include <vector>

#include "engine/request.h"

namespace fulmen {

// Owned by shared pointers: an engine may tell of a request when nobody listens any more.
class EventQueue : public std::enable_shared_from_this<EventQueue> {
 public:
  struct Entry {
    size_t generation;
    Event event;
  };
  explicit EventQueue(const boost::asio::any_io_executor& io) : io_(io), timer_(io) {}

  // From any thread. Text that goes on with the last entry becomes part of it, so a slow reader
  // finds few long ones.
  void Push(size_t generation, const Event& event);
  // Wakes who waits; from the I/O thread.
  void Wake() { timer_.cancel(); }

  // On the I/O thread, one at a time: all that has come, once there is something; nothing after
  // `patience`, or when somebody wakes it.
  boost::asio::awaitable<std::vector<Entry>> Take(std::chrono::steady_clock::duration patience);

 private:
  std::vector<Entry> TakeNow();

  const boost::asio::any_io_executor io_;
  boost::asio::steady_timer timer_;  // of the I/O thread
  std::mutex mutex_;
  std::vector<Entry> entries_;
  bool announced_ = false;  // a wake-up is on its way
};

}  // namespace fulmen
