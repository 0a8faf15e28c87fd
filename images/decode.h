// Bytes of a picture file to pixels. The type is told by the first bytes: PNG, JPEG, WebP (the
// first frame where it moves), GIF (the first frame on its canvas) or BMP.
//
// What the pixels are: transparency of any kind lies on white, (s*a + 255*(255-a) + 127) / 255 for
// each channel; grey is three equal channels; of 16 bits the upper 8; CMYK, which is taken for
// inverted as Adobe writes it, without its colour profile: (255-c) - (255-c)*k/255, rounded. The
// orientation that EXIF tells is applied. Colour profiles and gamma are not.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"
#include "images/image.h"

namespace fulmen {

// "image/png", "image/jpeg", "image/webp", "image/gif" or "image/bmp", or "" for none of these.
std::string_view MediaTypeOf(std::string_view bytes);

// What is larger is refused before memory is taken for it.
struct DecodeLimits {
  int64_t bytes = int64_t{64} << 20;  // of the file
  int64_t pixels = 100'000'000;       // of the picture; a decoder holds up to 14 bytes for each
};

// `where` names the image in errors. A file that is torn or contradicts its format is kCorrupt, a
// feature that we do not have kUnsupported, and more than the limits kInvalidArgument. Any number
// of threads may call at once.
Result<Image> DecodeImage(std::string_view bytes, const DecodeLimits& limits,
                          const std::string& where);

}  // namespace fulmen
