// The variables of the environment.
#pragma once

#include <string>

namespace fulmen {

// "" where it is not set.
std::string EnvironmentVariable(const std::string& name);

}  // namespace fulmen
