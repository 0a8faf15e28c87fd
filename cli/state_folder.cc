#include "cli/state_folder.h"

#include <cstdlib>
#include <filesystem>

namespace fulmen {

namespace fs = std::filesystem;

std::string StatePath(const std::string& name) {
  const auto variable = [](const char* variable_name) -> fs::path {
    const char* value = std::getenv(variable_name);
    return value == nullptr ? "" : value;
  };
  // The rules of the XDG base directories: a relative path counts as none.
  if (const fs::path state = variable("XDG_STATE_HOME"); state.is_absolute()) {
    return state / "fulmen" / name;
  }
  if (const fs::path home = variable("HOME"); home.is_absolute()) {
    return home / ".local/state/fulmen" / name;
  }
  return "";
}

}  // namespace fulmen
