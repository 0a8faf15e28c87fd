// Sizes and counts as people read them.
#pragma once

#include <cstdint>
#include <string>

namespace fulmen {

// "912.2 GB", "40.9 kB", "12 B": decimal units.
std::string HumanBytes(int64_t bytes);
// "456.1 B", "970.7 K", "12": thousands, millions, billions.
std::string HumanCount(int64_t count);
std::string HumanCount(double count);

}  // namespace fulmen
