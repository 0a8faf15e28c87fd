// Ctrl-C as a request to stop what is under way.
#pragma once

#include <csignal>

#include <atomic>

namespace fulmen {

// While it lives, SIGINT raises flag() instead of ending the program, and system calls that wait
// return early. A second SIGINT before Clear() ends the program at once with status 130, as the
// shell expects of a program that Ctrl-C ended. One at a time.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

  static constexpr int kExitStatus = 130;

  std::atomic<bool>& flag() const;
  void Clear() const { flag() = false; }

 private:
  struct sigaction previous_;
};

}  // namespace fulmen
