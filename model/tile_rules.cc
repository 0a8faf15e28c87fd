#include "model/tile_rules.h"

#include <array>

#include "model/vision_config.h"

namespace fulmen {
namespace {

constexpr int64_t kMaxTile = int64_t{1} << 12;
constexpr int64_t kMaxSide = int64_t{1} << 14;  // of a grid
constexpr size_t kMaxPinpoints = 1024;

}  // namespace

void ReadTileSides(JsonFields& fields, TileRules& tiles) {
  tiles.tile = fields.Integer("image_size", kMaxTile);
  tiles.patch = fields.Integer("patch_size", kMaxTile);
}

// Grids are written [rows, columns] or [columns, rows]; every list is symmetric but for its order.
void ReadPinpoints(JsonFields& fields, TileRules& tiles) {
  const Json* list = fields.Find("image_grid_pinpoints");
  if (list == nullptr) {
    tiles.pinpoints = ReleasedPinpoints();
    return;
  }
  if (!list->is_array() || list->empty() || list->size() > kMaxPinpoints) {
    fields.Refuse(ErrorCode::kCorrupt,
                  "image_grid_pinpoints should list 1 to {} pairs of sides, found {}",
                  kMaxPinpoints, Shown(*list));
    return;
  }
  for (const Json& pair : *list) {
    std::array<int64_t, 2> sides = {};
    bool good = pair.is_array() && pair.size() == sides.size();
    for (size_t i = 0; good && i < sides.size(); ++i) {
      sides[i] = IntegerIn(pair[i], 1, kMaxSide).value_or(0);
      good = sides[i] > 0;
    }
    if (!good) {
      fields.Refuse(ErrorCode::kCorrupt,
                    "image_grid_pinpoints should hold pairs of sides up to {}, found {}", kMaxSide,
                    Shown(pair));
      return;
    }
    tiles.pinpoints.push_back({.width = sides[1], .height = sides[0]});
  }
}

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
  ReadTileSides(fields, tiles);
  ReadPinpoints(fields, tiles);
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
