#include "cli/image_files.h"

#include <fmt/core.h>

#include "base/base64.h"
#include "cli/input.h"
#include "images/decode.h"

namespace fulmen {

Result<std::string> ImageUrlOfFile(const std::string& path) {
  FULMEN_ASSIGN(const std::string bytes, ReadInput(path));
  if (MediaTypeOf(bytes).empty()) {
    return Fail(ErrorCode::kUnsupported,
                "{}: expected a picture (PNG, JPEG, WebP, GIF or BMP), found none",
                InputName(path));
  }
  return DataUrl(bytes);
}

std::string DataUrl(std::string_view bytes) {
  return fmt::format("data:{};base64,{}", MediaTypeOf(bytes), EncodeBase64(bytes));
}

}  // namespace fulmen
