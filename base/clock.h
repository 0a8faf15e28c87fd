// Time that passes, and the time of day.
#pragma once

#include <chrono>
#include <cstdint>

namespace fulmen {

using Clock = std::chrono::steady_clock;

// As std::chrono::steady_clock counts, from anywhere.
inline double SteadySeconds() {
  return std::chrono::duration<double>(Clock::now().time_since_epoch()).count();
}

// Since 1970, by the calendar's clock.
inline int64_t SecondsNow() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::seconds>(now).count();
}

inline double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

}  // namespace fulmen
