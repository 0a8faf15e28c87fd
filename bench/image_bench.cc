// Preprocessing a JPEG of 12 megapixels to its canvas and thumbnail, decoding included, against
// libjpeg-turbo decoding it alone: one thread, medians of alternating rounds.
// Usage: image_bench [JPEG]; without one, a made-up photograph of 4000 x 3000.
#include <fmt/core.h>

#include <cstddef>
#include <cstdio>
// It needs the two before it.
#include <jpeglib.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <vector>

#include "base/check.h"
#include "base/file_io.h"
#include "base/random.h"
#include "images/decode.h"
#include "images/tiles.h"

namespace fulmen {
namespace {

constexpr int kRounds = 20;

// Waves of many lengths and some noise: about 3 bits a pixel at this quality, like a photograph.
std::string MadeUpJpeg(int width, int height) {
  jpeg_compress_struct jpeg;
  jpeg_error_mgr errors;
  jpeg.err = jpeg_std_error(&errors);
  jpeg_create_compress(&jpeg);
  unsigned char* file = nullptr;
  unsigned long size = 0;  // NOLINT: libjpeg's type
  jpeg_mem_dest(&jpeg, &file, &size);
  jpeg.image_width = static_cast<JDIMENSION>(width);
  jpeg.image_height = static_cast<JDIMENSION>(height);
  jpeg.input_components = 3;
  jpeg.in_color_space = JCS_RGB;
  jpeg_set_defaults(&jpeg);
  jpeg_set_quality(&jpeg, 90, TRUE);
  jpeg_start_compress(&jpeg, TRUE);
  RandomStream random(1);
  std::vector<uint8_t> row(static_cast<size_t>(width) * 3);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      double light = 128;
      for (int wave = 1; wave <= 6; ++wave) {
        const double turn = wave * 1.3;
        light +=
            40.0 / wave * std::sin((x * std::cos(turn) + y * std::sin(turn)) / 400 * wave * wave);
      }
      light += 32 * (random.Uniform() - 0.5);
      for (size_t c = 0; c < 3; ++c) {
        const double tinted = light + 20 * std::sin((x + y * static_cast<double>(c)) / 170.0);
        row[static_cast<size_t>(x) * 3 + c] = static_cast<uint8_t>(std::clamp(tinted, 0.0, 255.0));
      }
    }
    uint8_t* pixels = row.data();
    jpeg_write_scanlines(&jpeg, &pixels, 1);
  }
  jpeg_finish_compress(&jpeg);
  std::string bytes(reinterpret_cast<const char*>(file), size);
  jpeg_destroy_compress(&jpeg);
  std::free(file);
  return bytes;
}

// Into memory that it keeps, as fast as the library can.
void DecodeAlone(const std::string& bytes, std::vector<uint8_t>& rgb) {
  jpeg_decompress_struct jpeg;
  jpeg_error_mgr errors;
  jpeg.err = jpeg_std_error(&errors);
  jpeg_create_decompress(&jpeg);
  jpeg_mem_src(&jpeg, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
  jpeg_read_header(&jpeg, TRUE);
  jpeg_start_decompress(&jpeg);
  const size_t row_bytes = size_t{jpeg.output_width} * 3;
  rgb.resize(row_bytes * jpeg.output_height);
  while (jpeg.output_scanline < jpeg.output_height) {
    uint8_t* row = rgb.data() + jpeg.output_scanline * row_bytes;
    jpeg_read_scanlines(&jpeg, &row, 1);
  }
  jpeg_finish_decompress(&jpeg);
  jpeg_destroy_decompress(&jpeg);
}

TileRules ReleasedRules() {
  TileRules rules;
  for (int64_t width = 1; width <= 6; ++width) {
    for (int64_t height = 1; height <= 6; ++height) {
      const bool square = width == 4 && height == 4;
      if (std::min(width, height) <= 3 || square) {
        rules.pinpoints.push_back({336 * width, 336 * height});
      }
    }
  }
  return rules;
}

double Milliseconds(const std::function<void()>& body) {
  const std::clock_t begin = std::clock();  // of this thread alone
  body();
  return static_cast<double>(std::clock() - begin) * 1e3 / CLOCKS_PER_SEC;
}

double Median(std::array<double, kRounds> values) {
  std::ranges::sort(values);
  return (values[kRounds / 2 - 1] + values[kRounds / 2]) / 2;
}

Status Run(const char* path) {
  std::string bytes;
  if (path != nullptr) {
    FULMEN_ASSIGN(bytes, ReadFile(path));
  } else {
    bytes = MadeUpJpeg(4000, 3000);
  }
  const TileRules rules = ReleasedRules();
  FULMEN_ASSIGN(const Image image, DecodeImage(bytes, {}, "the image"));
  FULMEN_ASSIGN(const TiledImage tiled, MakeTiles(image, rules));
  std::vector<uint8_t> rgb;
  DecodeAlone(bytes, rgb);
  std::array<double, kRounds> alone, decoded, all;
  for (int round = 0; round < kRounds; ++round) {
    const auto at = static_cast<size_t>(round);
    alone[at] = Milliseconds([&] { DecodeAlone(bytes, rgb); });
    decoded[at] = Milliseconds([&] { FULMEN_CHECK(DecodeImage(bytes, {}, ""), "decoded before"); });
    all[at] = Milliseconds([&] {
      const Result<Image> again = DecodeImage(bytes, {}, "");
      FULMEN_CHECK(again && MakeTiles(*again, rules), "done before");
    });
  }
  fmt::print(
      "{} x {} pixels in {} bytes, one thread, medians of {} alternating rounds\n"
      "libjpeg-turbo alone {:.1f} ms, decoding {:.1f} ms, with canvas and thumbnail {:.1f} ms, "
      "ratio to libjpeg-turbo {:.2f}\n",
      image.width, image.height, bytes.size(), kRounds, Median(alone), Median(decoded), Median(all),
      Median(all) / Median(alone));
  return {};
}

}  // namespace
}  // namespace fulmen

int main(int argc, char** argv) {
  if (argc > 2) {
    fmt::print(stderr, "usage: image_bench [JPEG]\n");
    return EXIT_FAILURE;
  }
  const fulmen::Status status = fulmen::Run(argc == 2 ? argv[1] : nullptr);
  if (status) return EXIT_SUCCESS;
  fmt::print(stderr, "image_bench: {}\n", status.error().message);
  return EXIT_FAILURE;
}
