#include "model/tile_rules.h"

#include "model/vision_fields.h"

namespace fulmen {

Json PinpointsToJson(const TileRules& tiles) {
  Json list = Json::array();
  for (const Size& size : tiles.pinpoints) list.push_back({size.height, size.width});
  return list;
}

Result<TileRules> ParseTileRules(const Json& json, const std::string& where) {
  if (!json.is_object()) {
    return Fail(ErrorCode::kCorrupt, "{}: expected an object, found {}", where, Shown(json));
  }
  JsonFields fields(json, where);
  TileRules tiles;
  ReadTileSides(fields, "image_size", "patch_size", tiles);
  ReadPinpoints(fields, "image_grid_pinpoints", tiles);
  FULMEN_TRY(fields.status());
  FULMEN_TRY(CheckTileRules(tiles, where));
  return tiles;
}

Json TileRulesToJson(const TileRules& tiles) {
  return {{"image_size", tiles.tile},
          {"patch_size", tiles.patch},
          {"image_grid_pinpoints", PinpointsToJson(tiles)}};
}

}  // namespace fulmen
