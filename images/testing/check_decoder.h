// What the fuzz targets of decoders ask of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "images/decoders.h"

namespace fulmen::testing {

using Decoder = Result<Image> (*)(std::string_view bytes, const DecodeLimits& limits,
                                  const std::string& where);

// One clear sentence, or a picture within the limits.
inline void CheckDecoder(Decoder decode, const uint8_t* data, size_t size) {
  constexpr int64_t kPixels = 1 << 16;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const Result<Image> image = decode(bytes, {.bytes = 1 << 20, .pixels = kPixels}, "input");
  if (!image) {
    FULMEN_CHECK(image.error().message.starts_with("input: "), "{}", image.error().message);
    return;
  }
  const int64_t pixels = image->width * image->height;
  FULMEN_CHECK(image->width > 0 && image->height > 0 && pixels <= kPixels &&
                   image->rgb.size() == static_cast<size_t>(pixels * 3),
               "{} x {} in {} bytes", image->width, image->height, image->rgb.size());
}

}  // namespace fulmen::testing
