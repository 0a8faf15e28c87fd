// What a sweep found, for programs, terminals and browsers.
#pragma once

#include <string>

#include "base/json.h"
#include "train/sweep.h"

namespace fulmen {

Json SweepJson(const Sweep& sweep);
// Tables of the runs, the laws beside the report's, and the kinds at equal compute.
std::string SweepText(const Sweep& sweep);
// The same as one HTML file, with charts and the config.
std::string SweepPage(const Sweep& sweep);

}  // namespace fulmen
