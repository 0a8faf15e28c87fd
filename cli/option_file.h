// Options from a file instead of the command line.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/status.h"

namespace fulmen {

// The keys of a TOML file, which are names of options without "--", and their values as they would
// be typed: a list is one option several times, `true` a flag, `false` none. Untrusted; errors name
// file and line.
Result<std::vector<std::pair<std::string, std::string>>> ReadOptionFile(const std::string& path);

}  // namespace fulmen
