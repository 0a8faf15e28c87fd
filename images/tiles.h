// An image as the vision tower reads it: tiles of a grid, and before them a thumbnail.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/matrix.h"
#include "base/status.h"
#include "images/decode.h"
#include "images/geometry.h"
#include "images/image.h"

namespace fulmen {

struct TiledImage {
  TileGeometry geometry;
  Image canvas;        // the grid: the resized picture, black around it
  Image thumbnail;     // the whole image as one tile, its shape given up
  ImageDigest digest;  // of the image before it was resized
};

// Fails for images that PlanTiles refuses. Any number of threads may call at once.
Result<TiledImage> MakeTiles(const Image& image, const TileRules& rules);

// The same of a picture file's bytes; errors begin with `where`, which names the image.
Result<TiledImage> DecodeTiles(std::string_view bytes, const DecodeLimits& limits,
                               const TileRules& rules, const std::string& where);

// Per channel: (x / 255 - mean) / std, in float32.
struct Normalisation {
  std::array<float, 3> mean;
  std::array<float, 3> std;
};

// Writes tile `tile` of 1 + geometry.tiles: 0 is the thumbnail, the others lie row by row. `out` is
// [patches_per_tile, 3 * patch * patch]: patches row by row, each in the order (channel, y, x) of a
// convolution's weight [out, 3, patch, patch].
void WriteTilePatches(const TiledImage& image, const Normalisation& normalisation, int64_t tile,
                      Matrix out);

}  // namespace fulmen
