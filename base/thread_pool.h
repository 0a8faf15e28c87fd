// A fixed set of threads for data-parallel loops. Loops hand out tasks in any order, so a result
// must not depend on which thread ran which task: each output element is computed by exactly one
// task.
//
// On a machine with several memory nodes, threads are bound to nodes, never to single processors.
// What all threads share out, as the rows of a weight, belongs to the nodes in proportion to their
// threads (NodeOf): there repacking puts it, and there a loop that is told of it lets it be read.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <functional>
#include <thread>
#include <vector>

#include "base/topology.h"

namespace fulmen {

class ThreadPool {
 public:
  // `threads` counts the calling thread; 0 takes AvailableProcessors(). Throws std::system_error
  // where the system starts no more threads. The calling thread is bound to nothing.
  explicit ThreadPool(int threads = 0, const Topology& topology = Topology::Machine());
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const { return threads_; }

  // Calls body(task, worker) once for every task in [0, tasks); worker is in [0, size()). Returns
  // when all are done. One loop at a time: neither reentrant nor callable from two threads. What a
  // task throws is thrown here, after the tasks under way have ended and without starting others.
  void ParallelFor(int64_t tasks, const std::function<void(int64_t task, int worker)>& body);
  // The same, where task t is best run on node_of(t): its threads take it before others, which help
  // when they have done their own. node_of is called from this thread, before the first task; not
  // at all where there is one node.
  void ParallelFor(int64_t tasks, const std::function<int(int64_t task)>& node_of,
                   const std::function<void(int64_t task, int worker)>& body);

  const Topology& topology() const { return topology_; }
  // The node of part `part` of `parts` equal ones.
  int NodeOf(int64_t part, int64_t parts) const {
    return places_[static_cast<size_t>(part * threads_ / parts)];
  }

 private:
  // Tasks of one node.
  struct alignas(64) Queue {
    std::atomic<int64_t> next{0};
    int64_t end = 0;
  };

  void WorkerLoop(int worker);
  void Run(const std::function<void(int64_t, int)>& body);
  void Work(int worker);
  bool Join();
  void Leave();
  void CloseAndWait();
  void Stop();

  const int threads_;
  const Topology topology_;
  const std::vector<int> places_;  // the node of each thread
  // Raised with every loop, and at the end; workers wait on it.
  std::atomic<uint32_t> generation_{0};
  // Whether workers may join the loop (kOpen), plus how many are in it. The caller waits for those
  // alone: a worker that other programs keep from running holds nobody up.
  std::atomic<uint32_t> joined_{0};
  std::vector<Queue> queues_;     // of each node
  std::vector<int64_t> by_node_;  // tasks in the order of queues; empty: 0, 1, ...
  const std::function<void(int64_t, int)>* body_ = nullptr;
  std::atomic<bool> failed_{false};
  std::exception_ptr failure_;
  std::atomic<bool> stopping_{false};
  std::vector<std::thread> workers_;
};

}  // namespace fulmen
