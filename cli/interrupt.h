// Ctrl-C and its like as a request to stop what is under way.
#pragma once

#include <array>
#include <atomic>
#include <csignal>

namespace fulmen {

// While it lives, SIGINT, SIGTERM and SIGHUP raise flag() instead of ending the program, and system
// calls that wait return early. The next SIGINT or SIGTERM before Clear() ends the program at once;
// a second SIGHUP does not, for a terminal that closes sends one and its shell another. A signal
// that was ignored stays so: nohup, and what a script starts in the background. One at a time.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

  // The status a shell expects of a program that the signal ended: 128 + its number, SIGINT's where
  // none came.
  static int ExitStatus();

  // Also set by the command itself where its own work is in vain.
  std::atomic<bool>& flag() const;
  // The number of the signal, 0 where none came; also set where another rank got one.
  std::atomic<int>& signal() const;
  void Clear() const;

 private:
  static constexpr std::array kSignals = {SIGINT, SIGTERM, SIGHUP};

  std::array<struct sigaction, kSignals.size()> previous_;
};

}  // namespace fulmen
