#include "cli/environment.h"

#include <cstdlib>

namespace fulmen {

std::string EnvironmentVariable(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  return value == nullptr ? "" : value;
}

}  // namespace fulmen
