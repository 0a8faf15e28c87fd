// Loops over tasks that are too short to be worth waking threads for run on the caller.
#pragma once

#include <cstdint>
#include <functional>

#include "base/thread_pool.h"

namespace fulmen::cpu {

// body(task, worker) for every task in [0, tasks); `work` is roughly the number of vector
// operations of all tasks together. Results must not depend on which thread runs a task.
void ForTasks(ThreadPool& pool, int64_t tasks, int64_t work,
              const std::function<void(int64_t task, int worker)>& body);
// The same, for tasks that are best run on node_of(task), as in ThreadPool.
void ForTasks(ThreadPool& pool, int64_t tasks, int64_t work,
              const std::function<int(int64_t task)>& node_of,
              const std::function<void(int64_t task, int worker)>& body);

}  // namespace fulmen::cpu
