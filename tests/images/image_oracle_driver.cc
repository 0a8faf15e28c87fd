// For image_oracle.py: reads names of files by the line, and writes for each a line of JSON,
// {"error": "…"} or {"image": {…}, "canvas": {…}, "thumbnail": {…}}, the latter two null where the
// picture is too thin for tiles; behind it the bytes of these pictures.
#include <algorithm>
#include <iostream>
#include <string>

#include "base/file_io.h"
#include "base/json.h"
#include "images/decode.h"
#include "images/tiles.h"

namespace fulmen {
namespace {

// The released model's.
TileRules Rules() {
  TileRules rules;
  for (int64_t width = 1; width <= 6; ++width) {
    for (int64_t height = 1; height <= 6; ++height) {
      if (std::min(width, height) <= 3 && width * height <= 18) {
        rules.pinpoints.push_back({width * rules.tile, height * rules.tile});
      }
    }
  }
  return rules;
}

void Write(const Image& image) {
  std::cout.write(reinterpret_cast<const char*>(image.rgb.data()),
                  static_cast<std::streamsize>(image.rgb.size()));
}

Json Described(const Image& image) {
  return {{"width", image.width}, {"height", image.height}, {"bytes", image.rgb.size()}};
}

void Answer(const std::string& path, const TileRules& rules) {
  const auto bytes = ReadFile(path);
  const auto image = bytes ? DecodeImage(*bytes, {}, path) : tl::unexpected(bytes.error());
  if (!image) {
    std::cout << Json{{"error", image.error().message}} << "\n";
    return;
  }
  Json told{{"image", Described(*image)}, {"canvas", nullptr}, {"thumbnail", nullptr}};
  const auto made = MakeTiles(*image, rules);
  if (made) {
    const TileGeometry& plan = made->geometry;
    told["canvas"] = {{"grid_width", plan.grid.width},
                      {"grid_height", plan.grid.height},
                      {"width", plan.resized.width},
                      {"height", plan.resized.height},
                      {"x", plan.offset_x},
                      {"y", plan.offset_y},
                      {"bytes", made->canvas.rgb.size()}};
    told["thumbnail"] = Described(made->thumbnail);
  }
  std::cout << told << "\n";
  Write(*image);
  if (made) {
    Write(made->canvas);
    Write(made->thumbnail);
  }
}

int Main() {
  const TileRules rules = Rules();
  for (std::string path; std::getline(std::cin, path);) {
    Answer(path, rules);
    std::cout.flush();
  }
  return 0;
}

}  // namespace
}  // namespace fulmen

int main() { return fulmen::Main(); }
