// The line of a training run under way, on standard error.
#pragma once

#include <string>

#include "base/clock.h"

namespace fulmen {

// On a terminal one line that is redrawn, elsewhere a new one every ten seconds.
class TrainingLine {
 public:
  // The first line and one that `must` be seen are shown whenever they come.
  void Show(const std::string& line, bool must);
  // A sentence on a line of its own.
  void Say(const std::string& sentence);
  void End();

 private:
  bool shown_ = false;
  bool open_ = false;  // a redrawn line stands unfinished
  Clock::time_point last_shown_;
};

// "12 s", "5 min", "1 h 05 min".
std::string HumanDuration(double seconds);

}  // namespace fulmen
