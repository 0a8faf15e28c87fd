#include "base/units.h"

#include <fmt/core.h>

#include <array>
#include <span>

namespace fulmen {
namespace {

std::string Scaled(double value, std::span<const char* const> units) {
  double scaled = value;
  size_t unit = 0;
  // 999.95 would be printed as 1000.0.
  while (scaled >= 999.95 && unit + 1 < units.size()) {
    scaled /= 1000;
    ++unit;
  }
  return unit == 0 ? fmt::format("{:.0f}{}", value, units[0])
                   : fmt::format("{:.1f}{}", scaled, units[unit]);
}

}  // namespace

std::string HumanBytes(int64_t bytes) {
  constexpr std::array<const char*, 6> kUnits = {" B", " kB", " MB", " GB", " TB", " PB"};
  return Scaled(static_cast<double>(bytes), kUnits);
}

std::string HumanCount(double count) {
  constexpr std::array<const char*, 5> kUnits = {"", " K", " M", " B", " T"};
  return Scaled(count, kUnits);
}

std::string HumanCount(int64_t count) { return HumanCount(static_cast<double>(count)); }

}  // namespace fulmen
