// The vision half of a model that reads images (MiniMax-VL-01): a tower of CLIP's layout, and a
// projector to the width of the text half.
#pragma once

#include <cstdint>
#include <string>

#include "base/json.h"
#include "base/status.h"
#include "images/geometry.h"
#include "images/tiles.h"

namespace fulmen {

// Immutable once made. Counts of elements.
struct VisionConfig {
  TileRules tiles;              // sides of tiles and patches, and the grids an image is cut into
  Normalisation normalisation;  // of pixels
  int64_t width = 0;
  int64_t heads = 0;
  int64_t ffn_size = 0;
  int64_t layers = 0;
  float norm_epsilon = 1e-5F;
  int32_t image_token = 0;  // stands in a prompt where a row of an image does

  int64_t patches() const { return (tiles.tile / tiles.patch) * (tiles.tile / tiles.patch); }
  int64_t patch_values() const { return 3 * tiles.patch * tiles.patch; }
};

// From the config.json of a MiniMaxVL01ForConditionalGeneration, whose text half has `vocab_size`
// tokens. Untrusted input, as ParseConfig's.
Result<VisionConfig> ParseVisionConfig(const Json& json, int64_t vocab_size,
                                       const std::string& where);
// Takes over from preprocessor_config.json how pixels are normalised, and refuses what contradicts
// the config.
Status ReadPreprocessorConfig(const Json& json, const std::string& where, VisionConfig& vision);

// The vision half's part of config.json, and the whole preprocessor_config.json.
Json VisionConfigToJson(const VisionConfig& vision);
Json PreprocessorConfigToJson(const VisionConfig& vision);

// CLIP's, which the models were trained with.
Normalisation ClipNormalisation();
// Tokens of the largest image.
int64_t LargestImage(const TileRules& tiles);
// Those of the released model: multiples of 336, up to 2016 on the long side.
std::vector<Size> ReleasedPinpoints();

}  // namespace fulmen
