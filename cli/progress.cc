#include "cli/progress.h"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <new>
#include <system_error>
#include <utility>

#include "base/console.h"
#include "base/units.h"
#include "cli/training_line.h"

namespace fulmen {
namespace {

constexpr double kRateSeconds = 10;  // over which a rate is smoothed

}  // namespace

Progress::Progress(std::string what, int64_t total) : what_(std::move(what)), total_(total) {
  Start();
}

Progress::Progress(std::string what, Bytes bytes)
    : what_(std::move(what)), total_(bytes.total), bytes_(true), done_(bytes.there) {
  Start();
}

void Progress::Start() {
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

std::string Progress::BytesLine(int64_t done, double rate) const {
  std::string line =
      fmt::format("{}: {} of {} ({} %), {}/s", what_, HumanBytes(done), HumanBytes(total_),
                  100 * done / std::max<int64_t>(total_, 1), HumanBytes(std::llround(rate)));
  if (rate >= 1 && done < total_) {
    line += fmt::format(", {} left", HumanDuration(static_cast<double>(total_ - done) / rate));
  }
  return line;
}

void Progress::ShowWhileRunning() {
  using Seconds = std::chrono::duration<double>;
  using std::chrono::milliseconds;
  const bool terminal = isatty(STDERR_FILENO) == 1;
  const auto start = std::chrono::steady_clock::now();
  const auto pause = terminal ? milliseconds(500) : milliseconds(10'000);
  auto next = start + milliseconds(2000);
  bool shown = false;
  // Of bytes: what was done when last shown, and the rate since then mixed with those before.
  auto last = start;
  int64_t last_done = done_;
  double rate = 0;
  std::unique_lock<std::mutex> lock(mutex_);
  while (!ended_changed_.wait_until(lock, next, [this] { return ended_; })) {
    const auto now = std::chrono::steady_clock::now();
    const double since = Seconds(now - std::exchange(last, now)).count();
    const auto came = static_cast<double>(done_ - std::exchange(last_done, done_));
    const double weight = shown ? 1 - std::exp(-since / kRateSeconds) : 1;
    rate += weight * (std::max(came, 0.0) / since - rate);
    const std::string line =
        bytes_ ? BytesLine(done_, rate)
               : Line(done_, std::chrono::duration_cast<std::chrono::seconds>(now - start).count());
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
