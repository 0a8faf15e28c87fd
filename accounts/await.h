// Waiting for what calls a function when it is done.
#pragma once

#include <future>
#include <memory>
#include <utility>

namespace fulmen {

// What `start` tells the function that it is called with, in whatever thread. That thread may still
// be in the function when the result is here, so the promise is shared.
template <class T, class Start>
T Await(const Start& start) {
  const auto promise = std::make_shared<std::promise<T>>();
  start([promise](T value) { promise->set_value(std::move(value)); });
  return promise->get_future().get();
}

}  // namespace fulmen
