#include "base/thread_pool.h"

#include <chrono>
#include <system_error>
#include <utility>

#include "base/check.h"
#include "base/machine.h"

namespace fulmen {
namespace {

constexpr uint32_t kOpen = uint32_t{1} << 31;

// Longer than the gap between two loops of a token, and nothing to a program that would run
// instead.
constexpr std::chrono::microseconds kSpinTime{50};

inline void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// Looks at done() until it holds or kSpinTime is over: decoding runs hundreds of loops per token,
// and to sleep and be woken takes longer than most of them.
template <class Done>
void SpinUntil(Done done) {
  constexpr int kLooksPerClock = 32;
  const auto end = std::chrono::steady_clock::now() + kSpinTime;
  do {
    for (int look = 0; look < kLooksPerClock; ++look) {
      if (done()) return;
      Pause();
    }
  } while (std::chrono::steady_clock::now() < end);
}

}  // namespace

ThreadPool::ThreadPool(int threads, const Topology& topology)
    : threads_(threads > 0 ? threads : AvailableProcessors()),
      topology_(topology),
      places_(topology.PlaceThreads(threads_)),
      queues_(static_cast<size_t>(topology.nodes())) {
  FULMEN_CHECK(threads >= 0, "{} threads", threads);
  try {
    for (int worker = 1; worker < threads_; ++worker) {
      workers_.emplace_back([this, worker] { WorkerLoop(worker); });
    }
  } catch (const std::system_error& error) {
    Stop();
    throw std::system_error(error.code(), fmt::format("cannot start {} threads", threads_));
  }
}

ThreadPool::~ThreadPool() { Stop(); }

void ThreadPool::Stop() {
  stopping_ = true;
  generation_.fetch_add(1, std::memory_order_release);
  generation_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::ParallelFor(int64_t tasks, const std::function<void(int64_t, int)>& body) {
  if (tasks <= 0) return;
  if (workers_.empty() || tasks == 1) {
    for (int64_t task = 0; task < tasks; ++task) body(task, 0);
    return;
  }
  by_node_.clear();
  for (Queue& queue : queues_) {
    queue.next.store(0, std::memory_order_relaxed);
    queue.end = 0;
  }
  queues_[0].end = tasks;
  Run(body);
}

void ThreadPool::ParallelFor(int64_t tasks, const std::function<int(int64_t)>& node_of,
                             const std::function<void(int64_t, int)>& body) {
  if (queues_.size() == 1 || workers_.empty() || tasks <= 1) return ParallelFor(tasks, body);
  // A counting sort.
  for (Queue& queue : queues_) queue.end = 0;
  for (int64_t task = 0; task < tasks; ++task) ++queues_[static_cast<size_t>(node_of(task))].end;
  int64_t begin = 0;
  for (Queue& queue : queues_) {
    queue.next.store(begin, std::memory_order_relaxed);
    begin += std::exchange(queue.end, begin);
  }
  by_node_.resize(static_cast<size_t>(tasks));
  for (int64_t task = 0; task < tasks; ++task) {
    Queue& queue = queues_[static_cast<size_t>(node_of(task))];
    by_node_[static_cast<size_t>(queue.end++)] = task;
  }
  Run(body);
}

void ThreadPool::Run(const std::function<void(int64_t, int)>& body) {
  body_ = &body;
  joined_.store(kOpen, std::memory_order_release);
  generation_.fetch_add(1, std::memory_order_release);
  generation_.notify_all();
  Work(0);
  CloseAndWait();
  if (failed_.load(std::memory_order_relaxed)) {
    failed_.store(false, std::memory_order_relaxed);
    std::rethrow_exception(std::exchange(failure_, nullptr));
  }
}

void ThreadPool::CloseAndWait() {
  uint32_t left = joined_.fetch_and(~kOpen, std::memory_order_acquire) & ~kOpen;
  if (left == 0) return;
  SpinUntil([&] { return (left = joined_.load(std::memory_order_acquire)) == 0; });
  while (left > 0) {
    joined_.wait(left, std::memory_order_acquire);  // let a descheduled worker have this core
    left = joined_.load(std::memory_order_acquire);
  }
}

bool ThreadPool::Join() {
  uint32_t joined = joined_.load(std::memory_order_relaxed);
  while ((joined & kOpen) != 0) {
    if (joined_.compare_exchange_weak(joined, joined + 1, std::memory_order_acquire,
                                      std::memory_order_relaxed)) {
      return true;
    }
  }
  return false;
}

void ThreadPool::Leave() {
  if (joined_.fetch_sub(1, std::memory_order_release) == 1) joined_.notify_one();
}

void ThreadPool::Work(int worker) {
  const size_t home = static_cast<size_t>(worker == 0 ? topology_.CurrentNode()
                                                      : places_[static_cast<size_t>(worker)]);
  try {
    for (size_t node = 0; node < queues_.size(); ++node) {
      Queue& queue = queues_[(home + node) % queues_.size()];
      while (!failed_.load(std::memory_order_relaxed)) {
        const int64_t next = queue.next.fetch_add(1, std::memory_order_relaxed);
        if (next >= queue.end) break;
        (*body_)(by_node_.empty() ? next : by_node_[static_cast<size_t>(next)], worker);
      }
    }
  } catch (...) {
    if (!failed_.exchange(true)) failure_ = std::current_exception();
  }
}

void ThreadPool::WorkerLoop(int worker) {
  topology_.BindThread(places_[static_cast<size_t>(worker)]);
  uint32_t seen = 0;
  for (;;) {
    SpinUntil([&] { return generation_.load(std::memory_order_acquire) != seen; });
    generation_.wait(seen, std::memory_order_acquire);
    seen = generation_.load(std::memory_order_acquire);
    if (stopping_) return;
    if (!Join()) continue;
    Work(worker);
    Leave();
  }
}

}  // namespace fulmen
