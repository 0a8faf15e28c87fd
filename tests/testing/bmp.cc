#include "tests/testing/bmp.h"

namespace fulmen::testing {
namespace {

// Little endian.
std::string Number(int64_t value, int bytes) {
  std::string text;
  for (int i = 0; i < bytes; ++i, value >>= 8) text += static_cast<char>(value & 0xff);
  return text;
}

}  // namespace

std::string Bmp(int64_t width, int64_t height,
                const std::function<std::array<uint8_t, 3>(int64_t x, int64_t y)>& pixel) {
  constexpr int64_t kHeader = 54;
  std::string pixels;
  for (int64_t y = height; y-- > 0;) {
    for (int64_t x = 0; x < width; ++x) {
      const auto [red, green, blue] = pixel(x, y);
      for (const uint8_t byte : {blue, green, red}) pixels += static_cast<char>(byte);
    }
    while (pixels.size() % 4 != 0) pixels += '\0';
  }
  const auto size = static_cast<int64_t>(pixels.size());
  return "BM" + Number(kHeader + size, 4) + Number(0, 4) + Number(kHeader, 4) + Number(40, 4) +
         Number(width, 4) + Number(height, 4) + Number(1, 2) + Number(24, 2) + Number(0, 4) +
         Number(size, 4) + Number(0, 16) + pixels;
}

std::string BlackDot() {
  return Bmp(1, 1, [](int64_t, int64_t) { return std::array<uint8_t, 3>{}; });
}

}  // namespace fulmen::testing
