// Answers of the ledger, which come by callbacks, for coroutines of the I/O thread.
#pragma once

#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <functional>
#include <memory>
#include <utility>

namespace fulmen {

// Asks for a T and has a function called with it, from any thread.
template <class T>
using LedgerCall = std::function<void(std::function<void(T)> done)>;

// Goes on where it was awaited. `call` is a variable of the coroutine that waits, and no temporary,
// which GCC 12 destroys twice within co_await; so is what it refers to.
template <class T>
boost::asio::awaitable<T> OnLedger(LedgerCall<T> call) {
  const boost::asio::any_io_executor io = co_await boost::asio::this_coro::executor;
  auto initiate = [&call, io](auto handler) {
    auto waiting = std::make_shared<decltype(handler)>(std::move(handler));
    call([waiting, io](T value) {
      boost::asio::post(
          io, [waiting, value = std::move(value)]() mutable { (*waiting)(std::move(value)); });
    });
  };
  co_return co_await boost::asio::async_initiate<const boost::asio::use_awaitable_t<>, void(T)>(
      initiate, boost::asio::use_awaitable);
}

}  // namespace fulmen
