#include "kernels/cpu/parallel.h"

namespace fulmen::cpu {
namespace {

// Publishing a loop and waiting for its end costs about a microsecond.
constexpr int64_t kWorthThreads = 4096;

}  // namespace

void ForTasks(ThreadPool& pool, int64_t tasks, int64_t work,
              const std::function<void(int64_t task, int worker)>& body) {
  if (work >= kWorthThreads) return pool.ParallelFor(tasks, body);
  for (int64_t task = 0; task < tasks; ++task) body(task, 0);
}

void ForTasks(ThreadPool& pool, int64_t tasks, int64_t work,
              const std::function<int(int64_t task)>& node_of,
              const std::function<void(int64_t task, int worker)>& body) {
  if (work < kWorthThreads) return ForTasks(pool, tasks, work, body);
  pool.ParallelFor(tasks, node_of, body);
}

}  // namespace fulmen::cpu
