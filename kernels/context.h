// What every kernel may use besides its arguments, and the check of its shapes.
#pragma once

#include "base/check.h"
#include "base/thread_pool.h"
#include "base/workspace.h"

namespace fulmen {

struct KernelContext {
  ThreadPool& pool;
  Workspace& scratch;
};

}  // namespace fulmen
