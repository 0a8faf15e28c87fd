// Progress of long work, on standard error.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>

namespace fulmen {

// Says nothing during the first two seconds, so quick work stays quiet. Then it shows what is going
// on: on a terminal in one line that is redrawn and wiped at the end, elsewhere (a log) in a new
// line every ten seconds.
class Progress {
 public:
  struct Bytes {
    int64_t total = 0;
    int64_t there = 0;  // done before the start
  };

  // `what` reads like "reading the prompt"; empty: nothing is ever shown. `total` in any unit; 0
  // when it cannot be known, then only the time passed is shown.
  explicit Progress(std::string what, int64_t total = 0);
  // Of a transfer, whose rate is shown, too.
  Progress(std::string what, Bytes bytes);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // From any thread; fewer than none takes back what was added.
  void Add(int64_t done);

 private:
  void Start();
  void ShowWhileRunning();
  // The line to show `seconds` after the start.
  std::string Line(int64_t done, int64_t seconds) const;
  // The same of bytes, of which `rate` came each second lately.
  std::string BytesLine(int64_t done, double rate) const;

  const std::string what_;
  const int64_t total_;
  const bool bytes_ = false;
  std::mutex mutex_;
  std::condition_variable ended_changed_;
  int64_t done_ = 0;    // guarded by mutex_
  bool ended_ = false;  // guarded by mutex_
  std::thread watcher_;
};

}  // namespace fulmen
