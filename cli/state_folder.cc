#include "cli/state_folder.h"

#include <filesystem>

#include "cli/environment.h"

namespace fulmen {

namespace fs = std::filesystem;

std::string StatePath(const std::string& name) {
  // The rules of the XDG base directories: a relative path counts as none.
  if (const fs::path state = EnvironmentVariable("XDG_STATE_HOME"); state.is_absolute()) {
    return state / "fulmen" / name;
  }
  if (const fs::path home = EnvironmentVariable("HOME"); home.is_absolute()) {
    return home / ".local/state/fulmen" / name;
  }
  return "";
}

}  // namespace fulmen
