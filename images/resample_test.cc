#include "images/resample.h"

#include <gtest/gtest.h>

#include <array>
#include <span>
#include <string>
#include <vector>

#include "base/cpu_targets.h"
#include "base/random.h"

namespace fulmen {
namespace {

// Noise with flat black and white runs, which make the filter overshoot.
Image RandomImage(Size size, uint64_t seed) {
  RandomStream random(seed);
  Image image{size.width, size.height,
              std::vector<uint8_t>(static_cast<size_t>(size.width * size.height * 3))};
  uint8_t held = 0;
  for (uint8_t& byte : image.rgb) {
    const uint64_t bits = random.Next();
    if (bits % 8 == 0) held = (bits & 256) != 0 ? 255 : 0;
    byte = bits % 3 == 0 ? static_cast<uint8_t>(bits >> 32) : held;
  }
  return image;
}

void ExpectAsPlain(Size from, Size to, uint64_t seed) {
  const Image image = RandomImage(from, seed);
  // Inside a wider matrix, whose other bytes are nobody's.
  const int64_t stride = to.width * 3 + 5;
  const auto resized = [&](ResizeFunction resize) {
    std::vector<uint8_t> bytes(static_cast<size_t>(stride * to.height), 77);
    const MatrixView<uint8_t> out(bytes.data(), to.height, to.width * 3, stride);
    EXPECT_EQ(resize(image, std::span(&out, 1)), DigestOf(image));
    return bytes;
  };
  const std::vector<uint8_t> plain = resized(&ResizePlainly);
  for (const std::string& target : cpu::Targets()) {
    EXPECT_EQ(resized(*ResizeFor(target)), plain)
        << target << ": " << from.width << " x " << from.height << " to " << to.width << " x "
        << to.height;
  }
}

TEST(Resample, EveryInstructionSetGivesThePlainBytes) {
  const std::vector<int64_t> sides = {1, 2, 3, 4, 5, 7, 13, 16, 31, 64, 77, 130};
  uint64_t seed = 0;
  for (const int64_t width : sides) {
    for (const int64_t height : sides) {
      const uint64_t bits = MixBits(++seed);
      const Size to{1 + static_cast<int64_t>(bits % 90), 1 + static_cast<int64_t>(bits >> 32) % 60};
      ExpectAsPlain({width, height}, to, seed);
      ExpectAsPlain({width, height}, {width, to.height}, seed);
      ExpectAsPlain({width, height}, {to.width, height}, seed);
    }
  }
  ExpectAsPlain({1, 6000}, {5, 336}, 1);
  ExpectAsPlain({6000, 1}, {336, 5}, 2);
  ExpectAsPlain({401, 301}, {336, 336}, 3);
}

TEST(Resample, KeepsWhatHasTheSize) {
  const Image image = RandomImage({19, 11}, 4);
  Image out = image;
  std::fill(out.rgb.begin(), out.rgb.end(), 0);
  const MatrixView<uint8_t> view(out.rgb.data(), 11, 57);
  ASSERT_TRUE(Resize(image, std::span(&view, 1)));
  EXPECT_EQ(out, image);
}

TEST(Resample, KeepsOneColour) {
  const Image image{97, 61, std::vector<uint8_t>(size_t{97} * 61 * 3, 201)};
  std::vector<uint8_t> large(size_t{40} * 80 * 3), small(size_t{7} * 5 * 3);
  const std::array<MatrixView<uint8_t>, 2> outs = {MatrixView<uint8_t>(large.data(), 80, 120),
                                                   {small.data(), 5, 21}};
  ASSERT_TRUE(Resize(image, outs));
  EXPECT_EQ(large, std::vector<uint8_t>(large.size(), 201));
  EXPECT_EQ(small, std::vector<uint8_t>(small.size(), 201));
}

}  // namespace
}  // namespace fulmen
