// Files that commands read whole, where "-" stands for standard input.
#pragma once

#include <string>

#include "base/json.h"
#include "base/status.h"

namespace fulmen {

Result<std::string> ReadInput(const std::string& path);
Result<Json> ReadJsonInput(const std::string& path);
// What messages call it: the path, or "standard input".
std::string InputName(const std::string& path);

}  // namespace fulmen
