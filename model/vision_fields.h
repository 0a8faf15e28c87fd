// What the readers of vision halves share, whatever a file calls its fields.
#pragma once

#include <array>
#include <cstdint>

#include "model/json_fields.h"
#include "model/vision_config.h"

namespace fulmen {

// The name of each field in a kind of file.
struct TowerNames {
  const char* width;
  const char* heads;
  const char* ffn_size;
  const char* layers;
  const char* norm_epsilon;  // absent: 1e-5
  const char* tile;
  const char* patch;
};

void ReadTower(JsonFields& fields, const TowerNames& names, VisionConfig& vision);
// The sides of a tile and of a patch.
void ReadTileSides(JsonFields& fields, const char* tile, const char* patch, TileRules& tiles);
// A list of pairs, [height, width] as they are written; those of the released model where absent.
void ReadPinpoints(JsonFields& fields, const char* name, TileRules& tiles);
// How many pairs a list may have.
inline constexpr size_t kMaxPinpoints = 1024;
// Three numbers of at least `low`, one per channel; left alone where absent.
void ReadChannels(JsonFields& fields, const char* name, double low, std::array<float, 3>& values);
// A token below `vocab_size`, which has to be there.
int32_t ReadImageToken(JsonFields& fields, const char* name, int64_t vocab_size);
// Refuses a field that should have one value, where it has another.
void Demand(JsonFields& fields, const char* name, const Json& expected);

}  // namespace fulmen
