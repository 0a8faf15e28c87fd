// Picture files that tests make.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>

namespace fulmen::testing {

// A BMP of 24 bits a pixel; `pixel` gives red, green and blue at x, y, rows from the top.
std::string Bmp(int64_t width, int64_t height,
                const std::function<std::array<uint8_t, 3>(int64_t x, int64_t y)>& pixel);

// One black pixel.
std::string BlackDot();

}  // namespace fulmen::testing
