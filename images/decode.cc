#include "images/decode.h"

#include <algorithm>

#include "images/decoders.h"

namespace fulmen {

using namespace std::string_view_literals;

std::string_view MediaTypeOf(std::string_view bytes) {
  if (bytes.starts_with("\x89PNG\r\n\x1a\n"sv)) return "image/png";
  if (bytes.starts_with("\xff\xd8\xff"sv)) return "image/jpeg";
  if (bytes.starts_with("RIFF"sv) && bytes.substr(0, 12).ends_with("WEBP"sv)) return "image/webp";
  if (bytes.starts_with("GIF87a"sv) || bytes.starts_with("GIF89a"sv)) return "image/gif";
  return bytes.starts_with("BM"sv) ? "image/bmp" : "";
}

Result<Image> DecodeImage(std::string_view bytes, const DecodeLimits& limits,
                          const std::string& where) {
  // Decoders count bytes in an int.
  const int64_t most = std::min<int64_t>(limits.bytes, INT32_MAX);
  if (static_cast<int64_t>(bytes.size()) > most) {
    return Fail(ErrorCode::kInvalidArgument, "{}: the image has {} bytes, at most {} are allowed",
                where, bytes.size(), most);
  }
  const std::string_view type = MediaTypeOf(bytes);
  if (type == "image/png") return DecodePng(bytes, limits, where);
  if (type == "image/jpeg") return DecodeJpeg(bytes, limits, where);
  if (type == "image/webp") return DecodeWebp(bytes, limits, where);
  if (type == "image/gif") return DecodeGif(bytes, limits, where);
  if (type == "image/bmp") return DecodeBmp(bytes, limits, where);
  return Fail(ErrorCode::kUnsupported,
              "{}: expected a PNG, JPEG, WebP, GIF or BMP image, found {} bytes that begin none of "
              "these",
              where, bytes.size());
}

}  // namespace fulmen
