// What the oracle in tests/images does not ask: files that are torn, lie about their size, or hold
// what Pillow gets wrong. The small files are the seeds of the fuzz targets.
#include "images/decode.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <string>
#include <vector>

#include "images/decoders.h"
#include "images/tiles.h"
#include "tests/testing/golden.h"

namespace fulmen {
namespace {

using namespace std::string_literals;

std::string Seed(const std::string& name) {
  return testing::ReadFileOrDie(testing::SourcePath("tests/fuzz-corpus/decode_" + name));
}

std::string DecodeProblem(std::string_view bytes, const DecodeLimits& limits = {}) {
  const auto image = DecodeImage(bytes, limits, "a.file");
  return image ? "" : image.error().message;
}

std::array<uint8_t, 3> Pixel(const Image& image, int64_t x, int64_t y) {
  const uint8_t* at = image.row(y) + x * 3;
  return {at[0], at[1], at[2]};
}

TEST(Decode, EverySeedIsAPicture) {
  size_t files = 0;
  for (const auto& entry :
       std::filesystem::recursive_directory_iterator(testing::SourcePath("tests/fuzz-corpus"))) {
    const std::string path = entry.path().string();
    if (!entry.is_regular_file() || path.find("/decode_") == std::string::npos) continue;
    ++files;
    EXPECT_EQ(DecodeProblem(testing::ReadFileOrDie(path)), "") << path;
  }
  EXPECT_GE(files, 20U);
}

// An error, or the picture where only what follows its pixels is missing.
TEST(Decode, TornAtEveryLength) {
  for (const auto& entry :
       std::filesystem::recursive_directory_iterator(testing::SourcePath("tests/fuzz-corpus"))) {
    const std::string path = entry.path().string();
    if (!entry.is_regular_file() || path.find("/decode_") == std::string::npos) continue;
    const std::string whole = testing::ReadFileOrDie(path);
    const auto expected = DecodeImage(whole, {}, path);
    ASSERT_TRUE(expected) << expected.error().message;
    for (size_t length = 0; length < whole.size(); ++length) {
      const std::string torn = whole.substr(0, length);
      const auto image = DecodeImage(torn, {}, path);
      if (image) {
        EXPECT_EQ(*image, *expected) << path << ", " << length;
        EXPECT_TRUE(path.ends_with(".gif")) << path << ", " << length;
      } else {
        EXPECT_EQ(image.error().message.find('\n'), std::string::npos);
        EXPECT_TRUE(image.error().message.find("expected") != std::string::npos)
            << image.error().message;
      }
    }
  }
}

TEST(Decode, TornFilesSaySo) {
  const std::string png = Seed("png_fuzz/rgba.png");
  EXPECT_EQ(DecodeProblem(png.substr(0, 100)),
            "a.file: expected more of a PNG image, found its end after 100 bytes (torn file?)");
  const std::string jpeg = Seed("jpeg_fuzz/baseline.jpg");
  EXPECT_EQ(DecodeProblem(jpeg.substr(0, 400)),
            "a.file: expected more of a JPEG image, found its end after 400 bytes (torn file?)");
  const std::string webp = Seed("webp_fuzz/lossless.webp");
  EXPECT_EQ(DecodeProblem(webp.substr(0, 50)), "a.file: expected a WebP image of " +
                                                   std::to_string(webp.size()) +
                                                   " bytes, found 50 (torn file?)");
  EXPECT_EQ(DecodeProblem(Seed("gif_fuzz/plain.gif").substr(0, 60)),
            "a.file: expected more of a GIF image, found its end after 60 bytes (torn file?)");
  EXPECT_EQ(DecodeProblem(Seed("bmp_fuzz/rgb.bmp").substr(0, 60)),
            "a.file: expected a BMP image of 118 bytes, found 60 (torn file?)");
  EXPECT_EQ(
      DecodeProblem("no image"),
      "a.file: expected a PNG, JPEG, WebP, GIF or BMP image, found 8 bytes that begin none of "
      "these");
  EXPECT_EQ(
      DecodeProblem(png, {.bytes = 10}),
      "a.file: the image has " + std::to_string(png.size()) + " bytes, at most 10 are allowed");
}

// Each says in a few bytes that it is huge, and is believed only as far as refusing goes.
TEST(Decode, BombsAreRefusedByTheirHeaders) {
  const std::string refused = "at most 100000000 are allowed";
  const auto bomb = [](std::string bytes, size_t at, const std::string& size) {
    return bytes.replace(at, size.size(), size);
  };
  // 60000 x 60000, with the checksum of its header.
  EXPECT_NE(DecodeProblem("\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\xea\x60\0\0\xea\x60\x08\x02\0\0\0"
                          "\x0f\xb0\xe2\x15\0\0\0\0IDAT\x35\xaf\x06\x1e"s)
                .find(refused),
            std::string::npos);
  const std::string jpeg = Seed("jpeg_fuzz/grey.jpg");
  const size_t frame = jpeg.find("\xff\xc0");
  EXPECT_NE(DecodeProblem(bomb(jpeg, frame + 5, "\xea\x60\xea\x60")).find(refused),
            std::string::npos);
  const std::string gif = Seed("gif_fuzz/plain.gif");
  EXPECT_NE(DecodeProblem(bomb(gif, 6, "\x60\xea\x60\xea")).find(refused), std::string::npos);
  const std::string bmp = Seed("bmp_fuzz/rgb.bmp");
  EXPECT_NE(DecodeProblem(bomb(bmp, 18, "\x60\xea\0\0\x60\xea\0\0"s)).find(refused),
            std::string::npos);
  for (const char* seed :
       {"png_fuzz/rgba.png", "jpeg_fuzz/cmyk.jpg", "webp_fuzz/lossy.webp",
        "webp_fuzz/animated.webp", "gif_fuzz/animated.gif", "bmp_fuzz/os2-1.bmp"}) {
    EXPECT_NE(DecodeProblem(Seed(seed), {.pixels = 20}).find(" pixels, at most 20 are allowed"),
              std::string::npos)
        << seed << ": " << DecodeProblem(Seed(seed), {.pixels = 20});
  }
}

TEST(Decode, NothingToSee) {
  const std::string bmp = Seed("bmp_fuzz/rgb.bmp");
  EXPECT_EQ(DecodeProblem(std::string(bmp).replace(18, 4, "\0\0\0\0"s)),
            "a.file: an image of 0 x 4 pixels has nothing to see");
  EXPECT_EQ(DecodeProblem("GIF89a\1\0\1\0\0\0\0;"s),
            "a.file: expected an image in the GIF file, found none");
}

// As long as a picture can get: its pixels are right, and the model's grids have no room for it.
TEST(Decode, LongAndThin) {
  constexpr int kHeight = 60'000;
  const auto number = [](uint32_t value) {
    std::string bytes;
    for (int shift = 0; shift < 32; shift += 8) bytes += static_cast<char>(value >> shift);
    return bytes;
  };
  // Rows from the top, of one pixel and a byte that fills them up to four.
  std::string bmp = "BM" + number(54 + 4 * kHeight) + number(0) + number(54) + number(40) +
                    number(1) + number(static_cast<uint32_t>(-kHeight)) + "\1\0\x18\0"s;
  bmp.resize(54, '\0');
  for (int y = 0; y < kHeight; ++y) bmp += number(static_cast<uint32_t>(y));
  const auto image = DecodeImage(bmp, {}, "thin.bmp");
  ASSERT_TRUE(image) << image.error().message;
  ASSERT_EQ(image->size(), (Size{1, kHeight}));
  EXPECT_EQ(Pixel(*image, 0, 0x1234), (std::array<uint8_t, 3>{0, 0x12, 0x34}));
  const auto made = MakeTiles(*image, {.pinpoints = {{336, 336}, {336, 2016}}});
  ASSERT_FALSE(made);
  EXPECT_EQ(
      made.error().message,
      "an image of 1 x 60000 pixels is too thin: in a grid of 336 x 336 nothing is left of it");
}

// The key is compared before 16 bits become 8: the neighbour differs in its lowest bit.
TEST(Decode, ColourKeysOf16Bits) {
  const auto image = DecodeImage(Seed("png_fuzz/rgb-16-key.png"), {}, "");
  ASSERT_TRUE(image);
  EXPECT_EQ(Pixel(*image, 0, 0), (std::array<uint8_t, 3>{255, 255, 255}));
  EXPECT_EQ(Pixel(*image, 1, 0), (std::array<uint8_t, 3>{0x12, 0x56, 0x9a}));
}

TEST(Decode, Orientations) {
  // 1 2     red channels, as stored
  // 3 4
  // 5 6
  Image stored{2, 3, {}};
  for (const int red : {1, 2, 3, 4, 5, 6}) {
    stored.rgb.insert(stored.rgb.end(), {static_cast<uint8_t>(red), 0, 0});
  }
  const std::array<std::string, 9> expected = {"",       "123456", "214365", "654321", "563412",
                                               "135246", "531642", "642531", "246135"};
  for (int orientation = 1; orientation <= 8; ++orientation) {
    const Image upright = Upright(stored, orientation);
    EXPECT_EQ(upright.width, orientation < 5 ? 2 : 3);
    std::string reds;
    for (size_t i = 0; i < upright.rgb.size(); i += 3) {
      reds += static_cast<char>('0' + upright.rgb[i]);
    }
    EXPECT_EQ(reds, expected[static_cast<size_t>(orientation)]) << orientation;
  }
  EXPECT_EQ(ExifOrientation("II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"s), 6);
  EXPECT_EQ(ExifOrientation("II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x09\0\0\0\0\0\0\0"s), 1);
  EXPECT_EQ(ExifOrientation("nonsense"), 1);
  EXPECT_EQ(ExifOrientation(""), 1);
}

}  // namespace
}  // namespace fulmen
