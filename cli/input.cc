#include "cli/input.h"

#include "base/file_io.h"

namespace fulmen {

Result<std::string> ReadInput(const std::string& path) {
  return path == "-" ? ReadStandardInput() : ReadFile(path);
}

Result<Json> ReadJsonInput(const std::string& path) {
  FULMEN_ASSIGN(const std::string text, ReadInput(path));
  return ParseJson(text, InputName(path));
}

std::string InputName(const std::string& path) { return path == "-" ? "standard input" : path; }

}  // namespace fulmen
