#include "cli/training_line.h"

#include <fmt/core.h>
#include <unistd.h>

#include <cstdint>

#include "base/console.h"
#include "base/printable.h"

namespace fulmen {

void TrainingLine::Show(const std::string& line, bool must) {
  constexpr std::chrono::milliseconds kRedraw{200};
  constexpr std::chrono::milliseconds kLog{10'000};
  const bool terminal = isatty(STDERR_FILENO) == 1;
  const auto now = Clock::now();
  if (shown_ && !must && now - last_shown_ < (terminal ? kRedraw : kLog)) return;
  last_shown_ = now;
  shown_ = true;
  // "\33[K" wipes the rest of the line.
  fulmen::Say("{}{}{}", terminal ? "\r" : "", Printable(line), terminal ? "\33[K" : "\n");
  open_ = terminal;
}

void TrainingLine::Say(const std::string& sentence) {
  End();
  fulmen::Say("{}\n", Printable(sentence));
}

void TrainingLine::End() {
  if (open_) fulmen::Say("\n");
  open_ = false;
}

std::string HumanDuration(double seconds) {
  const auto minutes = static_cast<int64_t>(seconds / 60);
  if (minutes < 1) return fmt::format("{:.0f} s", seconds);
  if (minutes < 60) return fmt::format("{} min", minutes);
  return fmt::format("{} h {:02} min", minutes / 60, minutes % 60);
}

}  // namespace fulmen
