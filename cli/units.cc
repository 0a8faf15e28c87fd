#include "cli/units.h"

#include <fmt/core.h>

#include <array>
#include <span>

namespace fulmen {
namespace {

std::string Scaled(int64_t value, std::span<const char* const> units) {
  auto scaled = static_cast<double>(value);
  size_t unit = 0;
  // 999.95 would be printed as 1000.0.
  while (scaled >= 999.95 && unit + 1 < units.size()) {
    scaled /= 1000;
    ++unit;
  }
  return unit == 0 ? fmt::format("{}{}", value, units[0])
                   : fmt::format("{:.1f}{}", scaled, units[unit]);
}

}  // namespace

std::string HumanBytes(int64_t bytes) {
  constexpr std::array<const char*, 6> kUnits = {" B", " kB", " MB", " GB", " TB", " PB"};
  return Scaled(bytes, kUnits);
}

std::string HumanCount(int64_t count) {
  constexpr std::array<const char*, 5> kUnits = {"", " K", " M", " B", " T"};
  return Scaled(count, kUnits);
}

}  // namespace fulmen
