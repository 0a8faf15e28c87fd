#include "accounts/day.h"

#include <date/tz.h>

#include <chrono>
#include <sstream>
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

namespace {

Day DayOf(const date::time_zone* place, date::local_days day) {
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

}  // namespace

Day DayAt(const std::string& zone, int64_t time) {
  const date::time_zone* place = date::locate_zone(zone);
  const date::sys_time<std::chrono::nanoseconds> instant{std::chrono::nanoseconds(time)};
  return DayOf(place, date::floor<date::days>(place->to_local(instant)));
}

Result<Day> DayNamed(const std::string& zone, const std::string& name) {
  // Nanoseconds reach from 1677 to 2262.
  constexpr date::year kFirst{1970};
  constexpr date::year kLast{2200};
  std::istringstream text(name);
  date::year_month_day day{};
  text >> date::parse("%F", day);
  const bool whole = !text.fail() && text.peek() == std::istringstream::traits_type::eof();
  if (whole && day.ok() && day.year() >= kFirst && day.year() <= kLast) {
    return DayOf(date::locate_zone(zone), date::local_days(day));
  }
  return Fail(ErrorCode::kInvalidArgument,
              "a day from 1970 to 2200 is expected, such as 2026-11-27, found \"{}\"", name);
}

}  // namespace fulmen
