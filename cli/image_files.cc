#include "cli/image_files.h"

#include "base/base64.h"
#include "cli/input.h"

namespace fulmen {

Result<std::string> ImageUrlOfFile(const std::string& path) {
  FULMEN_ASSIGN(const std::string bytes, ReadInput(path));
  return "data:image/*;base64," + EncodeBase64(bytes);
}

}  // namespace fulmen
