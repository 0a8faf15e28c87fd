// How images are cut into tiles, as JSON states it, under the names of config.json.
#pragma once

#include <string>

#include "base/json.h"
#include "base/status.h"
#include "images/geometry.h"
#include "model/json_fields.h"

namespace fulmen {

// {"image_size", "patch_size", "image_grid_pinpoints"}. Untrusted input.
Result<TileRules> ParseTileRules(const Json& json, const std::string& where);
Json TileRulesToJson(const TileRules& tiles);

// Parts of it, in a config of a model: image_size and patch_size, and image_grid_pinpoints, those
// of the released model where there are none.
void ReadTileSides(JsonFields& fields, TileRules& tiles);
void ReadPinpoints(JsonFields& fields, TileRules& tiles);
Json PinpointsToJson(const TileRules& tiles);

}  // namespace fulmen
