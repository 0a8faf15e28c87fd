// A fixed set of threads for data-parallel loops. Loops hand out tasks in any order, so a result
// must not depend on which thread ran which task: each output element is computed by exactly one
// task.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <functional>
#include <thread>
#include <vector>

namespace fulmen {

class ThreadPool {
 public:
  // `threads` counts the calling thread; 0 takes AvailableProcessors(). Throws std::system_error
  // where the system starts no more threads.
  explicit ThreadPool(int threads = 0);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const { return threads_; }

  // Calls body(task, worker) once for every task in [0, tasks); worker is in [0, size()). Returns
  // when all are done. One loop at a time: neither reentrant nor callable from two threads. What a
  // task throws is thrown here, after the tasks under way have ended and without starting others.
  void ParallelFor(int64_t tasks, const std::function<void(int64_t task, int worker)>& body);

 private:
  void WorkerLoop(int worker);
  void Work(int worker);
  bool Join();
  void Leave();
  void CloseAndWait();
  void Stop();

  const int threads_;
  // Raised with every loop, and at the end; workers wait on it.
  std::atomic<uint32_t> generation_{0};
  // Whether workers may join the loop (kOpen), plus how many are in it. The caller waits for those
  // alone: a worker that other programs keep from running holds nobody up.
  std::atomic<uint32_t> joined_{0};
  std::atomic<int64_t> next_task_{0};
  int64_t tasks_ = 0;
  const std::function<void(int64_t, int)>* body_ = nullptr;
  std::atomic<bool> failed_{false};
  std::exception_ptr failure_;
  std::atomic<bool> stopping_{false};
  std::vector<std::thread> workers_;
};

}  // namespace fulmen
