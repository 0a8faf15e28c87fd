// Where an image goes: the grid of tiles, the picture's place in it, and the tokens it becomes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"
#include "images/image.h"

namespace fulmen {

// A model's. Tiles and patches are square; sides in pixels.
struct TileRules {
  int64_t tile = 336;
  int64_t patch = 14;
  std::vector<Size> pinpoints;  // the grids to choose from, in the order of trial
};
// For whoever reads rules from a file, which `where` names: a tile is whole patches, a grid whole
// tiles, and there is a grid.
Status CheckTileRules(const TileRules& rules, const std::string& where);

// Of one image. The thumbnail is a tile beside those of the grid.
struct TileGeometry {
  int64_t tile = 0;   // the rules'
  int64_t patch = 0;  // the rules'
  Size image{};
  Size grid{};     // pixels, a pinpoint
  Size resized{};  // the picture in the grid; what it leaves is black
  int64_t offset_x = 0;
  int64_t offset_y = 0;
  int64_t tiles = 0;  // of the grid, without the thumbnail
  // What unpadding keeps of the map of all patches of the grid. Both counts may be 0.
  int64_t feature_top = 0;
  int64_t feature_left = 0;
  int64_t feature_rows = 0;
  int64_t feature_cols = 0;
  // The thumbnail's patches, then the rows that are kept, each with a newline behind it.
  int64_t tokens = 0;

  int64_t patches_per_tile() const { return (tile / patch) * (tile / patch); }
  int64_t tile_columns() const { return grid.width / tile; }
};

// `size` is that of the image, at least 1 by 1 and below 2^31 a side. Fails for an image so long
// and thin that a side of the resized picture would be 0. `rules` pass CheckTileRules.
Result<TileGeometry> PlanTiles(const TileRules& rules, Size size);

}  // namespace fulmen
