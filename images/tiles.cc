#include "images/tiles.h"

#include <vector>

#include "base/check.h"
#include "images/resample.h"

namespace fulmen {
namespace {

Image Black(Size size) {
  return {size.width, size.height,
          std::vector<uint8_t>(static_cast<size_t>(size.width * size.height * 3))};
}

}  // namespace

Result<TiledImage> MakeTiles(const Image& image, const TileRules& rules) {
  TiledImage made;
  FULMEN_ASSIGN(made.geometry, PlanTiles(rules, image.size()));
  const TileGeometry& plan = made.geometry;
  made.canvas = Black(plan.grid);
  uint8_t* corner = made.canvas.rgb.data() + (plan.offset_y * plan.grid.width + plan.offset_x) * 3;
  made.thumbnail = Black({plan.tile, plan.tile});
  const std::array<MatrixView<uint8_t>, 2> outs = {
      MatrixView<uint8_t>(corner, plan.resized.height, plan.resized.width * 3, plan.grid.width * 3),
      {made.thumbnail.rgb.data(), plan.tile, plan.tile * 3}};
  FULMEN_ASSIGN(made.digest, Resize(image, outs));
  return made;
}

Result<TiledImage> DecodeTiles(std::string_view bytes, const DecodeLimits& limits,
                               const TileRules& rules, const std::string& where) {
  FULMEN_ASSIGN(const Image image, DecodeImage(bytes, limits, where));
  Result<TiledImage> made = MakeTiles(image, rules);
  if (!made) return Fail(made.error().code, "{}: {}", where, made.error().message);
  return made;
}

void WriteTilePatches(const TiledImage& image, const Normalisation& normalisation, int64_t tile,
                      Matrix out) {
  const TileGeometry& plan = image.geometry;
  const int64_t patch = plan.patch;
  FULMEN_CHECK(tile >= 0 && tile <= plan.tiles && out.rows == plan.patches_per_tile() &&
                   out.cols == 3 * patch * patch,
               "tile {} of 1 + {} into [{}, {}]", tile, plan.tiles, out.rows, out.cols);
  std::array<std::array<float, 256>, 3> values;
  for (size_t c = 0; c < 3; ++c) {
    for (size_t x = 0; x < 256; ++x) {
      values[c][x] =
          (static_cast<float>(x) / 255.0F - normalisation.mean[c]) / normalisation.std[c];
    }
  }
  const Image& from = tile == 0 ? image.thumbnail : image.canvas;
  const int64_t left = tile == 0 ? 0 : (tile - 1) % plan.tile_columns() * plan.tile;
  const int64_t top = tile == 0 ? 0 : (tile - 1) / plan.tile_columns() * plan.tile;
  const int64_t across = plan.tile / patch;
  for (int64_t p = 0; p < out.rows; ++p) {
    float* to = out.row(p);
    for (int64_t y = 0; y < patch; ++y) {
      const uint8_t* pixel =
          from.row(top + p / across * patch + y) + (left + p % across * patch) * 3;
      for (int64_t x = 0; x < patch; ++x, pixel += 3) {
        for (int64_t c = 0; c < 3; ++c) {
          to[(c * patch + y) * patch + x] = values[static_cast<size_t>(c)][pixel[c]];
        }
      }
    }
  }
}

}  // namespace fulmen
