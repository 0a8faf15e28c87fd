// Signals as something to wait for beside a file.
#pragma once

#include <csignal>
#include <map>
#include <vector>

namespace fulmen {

// While it lives, the named signals do nothing but wake Wait(); those that were ignored stay so.
// Signals nobody waited for are raised again at the end, and then do what they did before. One at a
// time.
class SignalPipe {
 public:
  explicit SignalPipe(const std::vector<int>& signals);
  ~SignalPipe();
  SignalPipe(const SignalPipe&) = delete;
  SignalPipe& operator=(const SignalPipe&) = delete;

  // Waits until `file` can be read or is at its end (0), or until a signal came (its number).
  int Wait(int file);
  // Raises a signal that was waited for again, which now does what it did before.
  void PassOn(int signal);

 private:
  int Next();  // the number of a signal that came; 0: none

  std::map<int, struct sigaction> previous_;  // by signal
};

}  // namespace fulmen
