#include "model/vision_fields.h"

#include <optional>

namespace fulmen {
namespace {

constexpr int64_t kMaxTile = int64_t{1} << 12;
constexpr int64_t kMaxSide = int64_t{1} << 14;  // of a grid
constexpr int64_t kMaxTowerWidth = int64_t{1} << 16;
constexpr int64_t kMaxTowerLayers = int64_t{1} << 10;

}  // namespace

void Demand(JsonFields& fields, const char* name, const Json& expected) {
  const Json* found = fields.Find(name);
  if (found == nullptr || *found == expected) return;
  fields.Refuse(ErrorCode::kUnsupported, "{} should be {}, found {}", name, expected.dump(),
                Shown(*found));
}

void ReadTileSides(JsonFields& fields, const char* tile, const char* patch, TileRules& tiles) {
  tiles.tile = fields.Integer(tile, kMaxTile);
  tiles.patch = fields.Integer(patch, kMaxTile);
}

void ReadTower(JsonFields& fields, const TowerNames& names, VisionConfig& vision) {
  vision.width = fields.Integer(names.width, kMaxTowerWidth);
  vision.heads = fields.Integer(names.heads, kMaxTowerWidth);
  vision.ffn_size = fields.Integer(names.ffn_size, kMaxTowerWidth);
  vision.layers = fields.Integer(names.layers, kMaxTowerLayers);
  vision.norm_epsilon = static_cast<float>(fields.Number(names.norm_epsilon, 1e-12, 1, 1e-5));
  ReadTileSides(fields, names.tile, names.patch, vision.tiles);
  if (vision.width % vision.heads != 0) {
    fields.Refuse(ErrorCode::kCorrupt, "{} {} should be a multiple of {} {}", names.width,
                  vision.width, names.heads, vision.heads);
  }
}

// Every list is symmetric but for its order, so it does not matter that some readers take the
// width first.
void ReadPinpoints(JsonFields& fields, const char* name, TileRules& tiles) {
  const Json* list = fields.Find(name);
  if (list == nullptr) {
    tiles.pinpoints = ReleasedPinpoints();
    return;
  }
  if (!list->is_array() || list->empty() || list->size() > kMaxPinpoints) {
    fields.Refuse(ErrorCode::kCorrupt, "{} should list 1 to {} pairs of sides, found {}", name,
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
      fields.Refuse(ErrorCode::kCorrupt, "{} should hold pairs of sides up to {}, found {}", name,
                    kMaxSide, Shown(pair));
      return;
    }
    tiles.pinpoints.push_back({.width = sides[1], .height = sides[0]});
  }
}

void ReadChannels(JsonFields& fields, const char* name, double low, std::array<float, 3>& values) {
  const Json* list = fields.Find(name);
  if (list == nullptr) return;
  for (size_t c = 0; c < values.size(); ++c) {
    const bool good = list->is_array() && list->size() == values.size() && (*list)[c].is_number() &&
                      (*list)[c].get<double>() >= low && (*list)[c].get<double>() <= 1e3;
    if (!good) {
      fields.Refuse(ErrorCode::kCorrupt, "{} should list three numbers from {:g} to 1000, found {}",
                    name, low, Shown(*list));
      return;
    }
    values[c] = (*list)[c].get<float>();
  }
}

int32_t ReadImageToken(JsonFields& fields, const char* name, int64_t vocab_size) {
  const Json* token = fields.Find(name);
  const std::optional<int64_t> id =
      token == nullptr ? std::nullopt : IntegerIn(*token, 0, vocab_size - 1);
  if (!id) {
    fields.Refuse(ErrorCode::kCorrupt, "{} should be a token from 0 to {}, found {}", name,
                  vocab_size - 1, token == nullptr ? "nothing" : Shown(*token));
  }
  return static_cast<int32_t>(id.value_or(0));
}

}  // namespace fulmen
