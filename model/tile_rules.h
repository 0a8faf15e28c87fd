// How images are cut into tiles, as JSON states it, under the names of config.json.
#pragma once

#include <string>

#include "base/json.h"
#include "base/status.h"
#include "images/geometry.h"

namespace fulmen {

// {"image_size", "patch_size", "image_grid_pinpoints"}. Untrusted input.
Result<TileRules> ParseTileRules(const Json& json, const std::string& where);
Json TileRulesToJson(const TileRules& tiles);
// Its grids alone: pairs of [height, width].
Json PinpointsToJson(const TileRules& tiles);

}  // namespace fulmen
