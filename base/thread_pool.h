// A fixed set of threads for data-parallel loops. Loops hand out tasks in any order, so a result
// must not depend on which thread ran which task: each output element is computed by exactly one
// task.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

namespace fulmen {

class ThreadPool {
 public:
  // `threads` counts the calling thread; 0 takes AvailableProcessors().
  explicit ThreadPool(int threads = 0);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls body(task, worker) once for every task in [0, tasks); worker is in [0, size()). Returns
  // when all are done. One loop at a time: neither reentrant nor callable from two threads.
  void ParallelFor(int64_t tasks, const std::function<void(int64_t task, int worker)>& body);

 private:
  void WorkerLoop(int worker);
  void RunTasks(int worker);

  // A loop is published by raising generation_; workers spin a little before they sleep on it,
  // since decoding runs hundreds of short loops per token.
  std::atomic<uint32_t> generation_{0};
  std::atomic<int64_t> next_task_{0};
  std::atomic<int> running_{0};
  int64_t tasks_ = 0;
  const std::function<void(int64_t, int)>* body_ = nullptr;
  bool stopping_ = false;
  std::vector<std::thread> workers_;
};

}  // namespace fulmen
