// Images inside of requests: as a data URL (RFC 2397), or as base64 beside a media type.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"

namespace fulmen {

// Whether `url` has this scheme, in letters of either case.
bool IsDataUrl(std::string_view url);

// The bytes of "data:image/png;base64,…". Fails where the media type is none of those that
// DecodeImage reads, where the data are not base64, and where they are more than `most_bytes`,
// which is known before memory is taken for them. Which of the formats the bytes have is for
// DecodeImage to see. `where` names the image in errors.
Result<std::string> DecodeDataUrl(std::string_view url, int64_t most_bytes,
                                  const std::string& where);

// The same of the two parts: "image/png" and the base64.
Result<std::string> DecodeImageBase64(std::string_view media_type, std::string_view base64,
                                      int64_t most_bytes, const std::string& where);

}  // namespace fulmen
