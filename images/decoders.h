// One decoder per format, each in a file of its own, and what they have in common. Only decode.cc
// and the tests of a format call them; decode.h says what they promise.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "images/decode.h"
#include "images/image.h"

namespace fulmen {

Result<Image> DecodePng(std::string_view bytes, const DecodeLimits& limits,
                        const std::string& where);
Result<Image> DecodeJpeg(std::string_view bytes, const DecodeLimits& limits,
                         const std::string& where);
Result<Image> DecodeWebp(std::string_view bytes, const DecodeLimits& limits,
                         const std::string& where);
Result<Image> DecodeGif(std::string_view bytes, const DecodeLimits& limits,
                        const std::string& where);
Result<Image> DecodeBmp(std::string_view bytes, const DecodeLimits& limits,
                        const std::string& where);

// Fails where a picture has no pixels, or more than allowed.
Status CheckSize(Size size, const DecodeLimits& limits, const std::string& where);

// Without pixels yet, but with room for them, which costs nothing until it is written to.
Image Unfilled(Size size);

// Writes `count` pixels of red, green, blue and alpha onto white.
void FlattenOntoWhite(const uint8_t* rgba, int64_t count, uint8_t* rgb);

// What EXIF says of a picture's orientation, 1 to 8; 1 where it says nothing that can be read.
// `exif` is a TIFF structure, which "Exif\0\0" may precede.
int ExifOrientation(std::string_view exif);
// As a viewer should see what the camera stored with this orientation.
Image Upright(Image stored, int orientation);

// Unsigned numbers of the file, the lowest byte first. `at` lies inside.
uint32_t LittleEndian16(std::string_view bytes, size_t at);
uint32_t LittleEndian32(std::string_view bytes, size_t at);

}  // namespace fulmen
