// The model that commands use when none is named.
#pragma once

#include <string>

#include "base/status.h"

namespace fulmen {

// $FULMEN_MODEL where it is set; else the embedded model, found from the binary's own place
// (models/ of the source tree it was built in, or share/fulmen/models of the prefix it is installed
// under), whatever the working directory.
Result<std::string> DefaultModelPath();

}  // namespace fulmen
