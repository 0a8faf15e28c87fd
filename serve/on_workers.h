// Work that takes longer than the I/O thread has.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <type_traits>
#include <utility>

namespace fulmen {

template <class Work>
boost::asio::awaitable<std::invoke_result_t<Work&>> AsCoroutine(Work& work) {
  co_return work();
}

// Calls `work` on a worker, and goes on where it was awaited. Work and what it refers to must live
// until then: a variable of the coroutine that waits, and no temporary, which GCC 12 destroys twice
// within co_await. Its result must be default constructible.
template <class Work>
boost::asio::awaitable<std::invoke_result_t<Work&>> OnWorkers(boost::asio::thread_pool& workers,
                                                              Work& work) {
  auto coroutine = AsCoroutine(work);
  co_return co_await boost::asio::co_spawn(workers, std::move(coroutine),
                                           boost::asio::use_awaitable);
}

}  // namespace fulmen
