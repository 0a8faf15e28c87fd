// What every kernel may use besides its arguments.
#pragma once

#include "base/thread_pool.h"
#include "base/workspace.h"

namespace fulmen {

struct KernelContext {
  ThreadPool& pool;
  Workspace& scratch;
};

}  // namespace fulmen
