#include "model/vision_config.h"

#include <algorithm>
#include <array>

#include "model/json_fields.h"
#include "model/tile_rules.h"
#include "model/vision_fields.h"

namespace fulmen {
namespace {

constexpr TowerNames kTowerNames = {
    .width = "hidden_size",
    .heads = "num_attention_heads",
    .ffn_size = "intermediate_size",
    .layers = "num_hidden_layers",
    .norm_epsilon = "layer_norm_eps",
    .tile = "image_size",
    .patch = "patch_size",
};

}  // namespace

Normalisation ClipNormalisation() {
  return {.mean = {0.48145466F, 0.4578275F, 0.40821073F},
          .std = {0.26862954F, 0.26130258F, 0.27577711F}};
}

std::vector<Size> ReleasedPinpoints() {
  constexpr int64_t kTile = 336;
  constexpr int64_t kMost = 6;  // tiles of the long side
  std::vector<Size> sizes;
  for (int64_t rows = 1; rows <= kMost; ++rows) {
    for (int64_t columns = 1; columns <= kMost; ++columns) {
      const bool square = rows == 4 && columns == 4;
      if (std::min(rows, columns) > 3 && !square) continue;
      sizes.push_back({.width = columns * kTile, .height = rows * kTile});
    }
  }
  return sizes;
}

int64_t LargestImage(const TileRules& tiles) {
  const int64_t side = tiles.tile / tiles.patch;
  int64_t most = 0;
  for (const Size& size : tiles.pinpoints) {
    most = std::max(most, size.height / tiles.patch * (size.width / tiles.patch + 1));
  }
  return side * side + most;
}

Result<VisionConfig> ParseVisionConfig(const Json& json, int64_t vocab_size,
                                       const std::string& where) {
  const Json* tower = JsonFields::Find(json, "vision_config");
  if (tower == nullptr || !tower->is_object()) {
    return Fail(ErrorCode::kCorrupt, "{}: vision_config should be an object, found {}", where,
                tower == nullptr ? "nothing" : Shown(*tower));
  }
  VisionConfig vision;
  vision.normalisation = ClipNormalisation();
  JsonFields inner(*tower, where + ": vision_config");
  Demand(inner, "hidden_act", "gelu");
  Demand(inner, "num_channels", 3);
  ReadTower(inner, kTowerNames, vision);
  FULMEN_TRY(inner.status());

  JsonFields fields(json, where);
  Demand(fields, "projector_hidden_act", "gelu");
  Demand(fields, "vision_feature_layer", -1);
  Demand(fields, "vision_feature_select_strategy", "default");
  Demand(fields, "multimodal_projector_bias", true);
  ReadPinpoints(fields, "image_grid_pinpoints", vision.tiles);
  vision.image_token = ReadImageToken(
      fields, fields.Find("image_token_index") != nullptr ? "image_token_index" : "image_token_id",
      vocab_size);
  FULMEN_TRY(fields.status());
  FULMEN_TRY(CheckTileRules(vision.tiles, where));
  return vision;
}

Status ReadPreprocessorConfig(const Json& json, const std::string& where, VisionConfig& vision) {
  if (!json.is_object()) {
    return Fail(ErrorCode::kCorrupt, "{}: expected an object, found {}", where, Shown(json));
  }
  JsonFields fields(json, where);
  Demand(fields, "process_image_mode", "anyres");
  Demand(fields, "patch_size", vision.tiles.patch);
  if (const Json* size = fields.Find("size"); size != nullptr && size->is_array()) {
    Demand(fields, "size", Json{vision.tiles.tile, vision.tiles.tile});
  }
  ReadChannels(fields, "image_mean", -1e3, vision.normalisation.mean);
  ReadChannels(fields, "image_std", 1e-6, vision.normalisation.std);
  return fields.status();
}

Json VisionConfigToJson(const VisionConfig& vision) {
  Json json;
  json["image_token_index"] = vision.image_token;
  json["image_grid_pinpoints"] = PinpointsToJson(vision.tiles);
  json["image_seq_length"] = vision.patches();
  json["projector_hidden_act"] = "gelu";
  json["vision_feature_layer"] = -1;
  json["vision_feature_select_strategy"] = "default";
  json["vision_config"] = {{"model_type", "clip_vision_model"},
                           {"hidden_act", "gelu"},
                           {"hidden_size", vision.width},
                           {"image_size", vision.tiles.tile},
                           {"intermediate_size", vision.ffn_size},
                           {"layer_norm_eps", ShortestDecimal(vision.norm_epsilon)},
                           {"num_attention_heads", vision.heads},
                           {"num_channels", 3},
                           {"num_hidden_layers", vision.layers},
                           {"patch_size", vision.tiles.patch}};
  return json;
}

Json PreprocessorConfigToJson(const VisionConfig& vision) {
  const auto decimals = [](const std::array<float, 3>& values) {
    Json list = Json::array();
    for (const float value : values) list.push_back(ShortestDecimal(value));
    return list;
  };
  return {{"image_grid_pinpoints", PinpointsToJson(vision.tiles)},
          {"image_mean", decimals(vision.normalisation.mean)},
          {"image_std", decimals(vision.normalisation.std)},
          {"patch_size", vision.tiles.patch},
          {"process_image_mode", "anyres"},
          {"size", {vision.tiles.tile, vision.tiles.tile}}};
}

}  // namespace fulmen
