// The picture that end-to-end tests show.
#pragma once

#include <cstdint>
#include <string>

namespace fulmen::testing {

// One black pixel, as a BMP file.
inline std::string OnePixel() {
  std::string file = "BM";
  constexpr uint32_t kPlaneOf24Bits = 24U << 16 | 1;
  for (const uint32_t field :
       {58U, 0U, 54U, 40U, 1U, 1U, kPlaneOf24Bits, 0U, 4U, 0U, 0U, 0U, 0U, 0U}) {
    file.append(reinterpret_cast<const char*>(&field), sizeof(field));
  }
  return file;
}

}  // namespace fulmen::testing
