#include "cli/interrupt.h"

#include <unistd.h>

namespace fulmen {

namespace {

// A signal handler has no argument of ours, so this one variable is global.
std::atomic<bool> interrupted{false};
static_assert(std::atomic<bool>::is_always_lock_free, "the handler may not wait for a lock");

void OnInterrupt(int) {
  if (interrupted.exchange(true)) _exit(InterruptGuard::kExitStatus);
}

}  // namespace

InterruptGuard::InterruptGuard() {
  Clear();
  struct sigaction action = {};
  action.sa_handler = OnInterrupt;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, &previous_);
}

InterruptGuard::~InterruptGuard() { sigaction(SIGINT, &previous_, nullptr); }

std::atomic<bool>& InterruptGuard::flag() const { return interrupted; }

}  // namespace fulmen
