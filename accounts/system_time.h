#pragma once

#include <chrono>
#include <cstdint>

namespace fulmen {

// Nanoseconds since 1970, in UTC.
inline int64_t SystemTime() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

}  // namespace fulmen
