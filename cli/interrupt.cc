#include "cli/interrupt.h"

#include <unistd.h>

#include "base/temporaries.h"

namespace fulmen {

namespace {

// A signal handler has no argument of ours, so these variables are global.
std::atomic<bool> received{false};  // by this process; the others may also be set by its command
std::atomic<bool> interrupted{false};
std::atomic<int> interrupted_by{0};
static_assert(std::atomic<bool>::is_always_lock_free && std::atomic<int>::is_always_lock_free,
              "the handler may not wait for a lock");

void OnInterrupt(int signal) {
  if (received.exchange(true)) {
    if (signal == SIGHUP) return;
    RemoveTemporaries();
    _exit(128 + signal);
  }
  interrupted_by = signal;
  interrupted = true;
}

}  // namespace

InterruptGuard::InterruptGuard() {
  Clear();
  struct sigaction action = {};
  action.sa_handler = OnInterrupt;
  sigemptyset(&action.sa_mask);
  for (size_t i = 0; i < kSignals.size(); ++i) {
    sigaction(kSignals[i], nullptr, &previous_[i]);
    if (previous_[i].sa_handler != SIG_IGN) sigaction(kSignals[i], &action, nullptr);
  }
}

InterruptGuard::~InterruptGuard() {
  for (size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &previous_[i], nullptr);
}

int InterruptGuard::ExitStatus() {
  const int number = interrupted_by;
  return 128 + (number == 0 ? SIGINT : number);
}

std::atomic<bool>& InterruptGuard::flag() const { return interrupted; }

std::atomic<int>& InterruptGuard::signal() const { return interrupted_by; }

void InterruptGuard::Clear() const {
  received = false;
  interrupted = false;
  interrupted_by = 0;
}

}  // namespace fulmen
