#include "cli/progress.h"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <new>
#include <system_error>
#include <utility>

#include "base/console.h"

namespace fulmen {

Progress::Progress(std::string what, int64_t total) : what_(std::move(what)), total_(total) {
  if (what_.empty()) return;
  // The work matters, not the talk about it: without the memory or the thread it goes on silently.
  try {
    watcher_ = std::thread([this] {
      try {
        ShowWhileRunning();
      } catch (const std::bad_alloc&) {
      }
    });
  } catch (const std::system_error&) {
  }
}

Progress::~Progress() {
  if (!watcher_.joinable()) return;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    ended_ = true;
  }
  ended_changed_.notify_one();
  watcher_.join();
}

void Progress::Add(int64_t done) {
  const std::lock_guard<std::mutex> lock(mutex_);
  done_ += done;
}

std::string Progress::Line(int64_t done, int64_t seconds) const {
  if (total_ <= 0) return fmt::format("{}: {} s", what_, seconds);
  std::string line =
      fmt::format("{}: {} of {} ({} %), {} s", what_, done, total_, 100 * done / total_, seconds);
  if (done > 0 && done < total_) {
    const double left = static_cast<double>(seconds) * static_cast<double>(total_ - done) /
                        static_cast<double>(done);
    line += fmt::format(", about {:.0f} s left", std::max(left, 1.0));
  }
  return line;
}

void Progress::ShowWhileRunning() {
  using std::chrono::milliseconds;
  const bool terminal = isatty(STDERR_FILENO) == 1;
  const auto start = std::chrono::steady_clock::now();
  const auto pause = terminal ? milliseconds(500) : milliseconds(10'000);
  auto next = start + milliseconds(2000);
  bool shown = false;
  std::unique_lock<std::mutex> lock(mutex_);
  while (!ended_changed_.wait_until(lock, next, [this] { return ended_; })) {
    const auto passed = std::chrono::steady_clock::now() - start;
    const std::string line =
        Line(done_, std::chrono::duration_cast<std::chrono::seconds>(passed).count());
    // "\33[K" wipes the rest of the line.
    Say("{}{}{}", terminal ? "\r" : "", line, terminal ? "\33[K" : "\n");
    shown = true;
    next += pause;
  }
  if (shown && terminal) {
    Say("\r\33[K");
  }
}

}  // namespace fulmen
