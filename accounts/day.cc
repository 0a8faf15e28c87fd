#include "accounts/day.h"

#include <date/tz.h>

#include <chrono>
#include <stdexcept>

namespace fulmen {

Status CheckZone(const std::string& zone) {
  try {
    date::locate_zone(zone);
    return {};
  } catch (const std::runtime_error&) {
    return Fail(ErrorCode::kInvalidArgument,
                "a time zone of the IANA's names is expected, such as Asia/Shanghai, found \"{}\"",
                zone);
  }
}

Day DayAt(const std::string& zone, int64_t time) {
  const date::time_zone* place = date::locate_zone(zone);
  const date::sys_time<std::chrono::nanoseconds> instant{std::chrono::nanoseconds(time)};
  const auto day = date::floor<date::days>(place->to_local(instant));
  // Midnight may come twice, or be left out, where clocks are changed at that time.
  const auto starts = [place](date::local_days midnight) {
    const auto start = place->to_sys(midnight, date::choose::earliest);
    return std::chrono::nanoseconds(start.time_since_epoch()).count();
  };
  Day found;
  found.start = starts(day);
  found.end = starts(day + date::days(1));
  found.name = date::format("%F", day);
  return found;
}

}  // namespace fulmen
