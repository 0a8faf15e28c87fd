#include "images/data_url.h"

#include <algorithm>
#include <array>

#include "base/ascii.h"
#include "base/base64.h"
#include "base/printable.h"

namespace fulmen {
namespace {

constexpr std::string_view kScheme = "data:";
constexpr size_t kShown = 60;  // bytes of foreign text in a message

}  // namespace

bool IsDataUrl(std::string_view url) { return LowerCase(url.substr(0, kScheme.size())) == kScheme; }

Result<std::string> DecodeDataUrl(std::string_view url, int64_t most_bytes,
                                  const std::string& where) {
  const size_t comma = url.find(',');
  if (!IsDataUrl(url) || comma == std::string_view::npos) {
    return Fail(ErrorCode::kInvalidArgument,
                "{}: expected a URL like \"data:image/png;base64,…\", found \"{}\"", where,
                Printable(url, kShown));
  }
  std::string_view type = url.substr(kScheme.size(), comma - kScheme.size());
  const size_t last = type.rfind(';');
  if (last == std::string_view::npos || LowerCase(type.substr(last)) != ";base64") {
    return Fail(ErrorCode::kInvalidArgument,
                "{}: expected a data URL in base64, found the type \"{}\" without \";base64\"",
                where, Printable(type, kShown));
  }
  type = type.substr(0, type.find(';'));  // its parameters say nothing about an image
  return DecodeImageBase64(type, url.substr(comma + 1), most_bytes, where);
}

Result<std::string> DecodeImageBase64(std::string_view media_type, std::string_view base64,
                                      int64_t most_bytes, const std::string& where) {
  constexpr std::array<std::string_view, 5> kTypes = {"image/png", "image/jpeg", "image/webp",
                                                      "image/gif", "image/bmp"};
  if (std::ranges::count(kTypes, LowerCase(media_type)) == 0) {
    return Fail(ErrorCode::kUnsupported,
                "{}: expected the media type image/png, image/jpeg, image/webp, image/gif or "
                "image/bmp, found \"{}\"",
                where, Printable(media_type, kShown));
  }
  // Within 2 bytes, which padding may take off again.
  const auto bytes = static_cast<int64_t>(base64.size() / 4 * 3);
  if (bytes - 2 > most_bytes) {
    return Fail(ErrorCode::kInvalidArgument, "{}: the image has {} bytes, at most {} are allowed",
                where, bytes, most_bytes);
  }
  return DecodeBase64(base64, where);
}

}  // namespace fulmen
