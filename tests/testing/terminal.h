// Runs programs in a terminal of their own, as a user in front of it would.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

namespace fulmen::testing {

struct TerminalOptions {
  // All of the program's environment, as NAME=value, but PATH, which is the test's.
  std::vector<std::string> environment = {};
  int rows = 24;
  int columns = 80;
  // For everything that is waited for.
  std::chrono::milliseconds timeout{60'000};
};

// Where something that is waited for does not come, the test fails, and what the program showed is
// told.
class Terminal {
 public:
  explicit Terminal(const std::vector<std::string>& command, const TerminalOptions& options = {});
  // Kills what still runs.
  ~Terminal();
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  void Type(std::string_view keys) const;
  void Resize(int rows, int columns) const;
  void Signal(int signal) const;
  // Waits until the program has shown `text` behind what was waited for before; returns what it
  // showed in between.
  std::string WaitFor(std::string_view text);
  // The program's exit status once it has ended; 128 + N where signal N ended it.
  int WaitForEnd();

  // All that was shown so far, escape sequences included.
  const std::string& shown() const { return shown_; }

 private:
  // Waits for more; false at the end of the program or of the time.
  bool ReadMore(std::chrono::steady_clock::time_point deadline);

  const TerminalOptions options_;
  int terminal_ = -1;
  pid_t program_ = -1;
  std::string shown_;
  size_t seen_ = 0;  // how much of it was waited for
};

}  // namespace fulmen::testing
