// Days of a time zone: where one starts and ends, as instants.
#pragma once

#include <cstdint>
#include <string>

#include "base/status.h"

namespace fulmen {

// Nanoseconds since 1970.
struct Day {
  int64_t start = 0;
  int64_t end = 0;   // the next one's start; 23 or 25 hours later where clocks are changed
  std::string name;  // as in 2026-11-27
};

// An error where the system has no time zone of this IANA name, such as "Asia/Shanghai".
Status CheckZone(const std::string& zone);

// The day of `zone`, which is one, that `time` is in.
Day DayAt(const std::string& zone, int64_t time);

// The day of this name, as 2026-11-27. An error where there is none.
Result<Day> DayNamed(const std::string& zone, const std::string& name);

}  // namespace fulmen
