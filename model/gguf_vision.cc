#include "model/gguf_vision.h"

#include "model/json_fields.h"
#include "model/vision_fields.h"

namespace fulmen {
namespace {

constexpr const char* kTypeKey = "clip.projector_type";
constexpr const char* kHasVision = "clip.has_vision_encoder";
constexpr const char* kGelu = "clip.use_gelu";
constexpr const char* kProjection = "clip.vision.projection_dim";
constexpr const char* kMerge = "clip.vision.mm_patch_merge_type";
constexpr const char* kPinpoints = "clip.vision.image_grid_pinpoints";
constexpr const char* kMean = "clip.vision.image_mean";
constexpr const char* kStd = "clip.vision.image_std";
constexpr const char* kImageToken = "minimax-vl-01.image_token_id";
constexpr TowerNames kGgufTowerNames = {
    .width = "clip.vision.embedding_length",
    .heads = "clip.vision.attention.head_count",
    .ffn_size = "clip.vision.feed_forward_length",
    .layers = "clip.vision.block_count",
    .norm_epsilon = "clip.vision.attention.layer_norm_epsilon",
    .tile = "clip.vision.image_size",
    .patch = "clip.vision.patch_size",
};

// The values of our keys under their names; of an array too long for any of them, its length.
Json Values(const GgufHeader& header) {
  Json json = Json::object();
  for (const char* key :
       {kTypeKey, kHasVision, kGelu, kProjection, kMerge, kPinpoints, kMean, kStd, kImageToken,
        kGgufTowerNames.width, kGgufTowerNames.heads, kGgufTowerNames.ffn_size,
        kGgufTowerNames.layers, kGgufTowerNames.norm_epsilon, kGgufTowerNames.tile,
        kGgufTowerNames.patch}) {
    const GgufValue* value = header.Find(key);
    if (value == nullptr) continue;
    json[key] = value->array && value->size > 2 * kMaxPinpoints
                    ? Json(fmt::format("an array of {} values", value->size))
                    : value->ToJson();
  }
  return json;
}

// The file has the pairs end to end.
void PairUp(Json& pinpoints) {
  if (!pinpoints.is_array()) return;
  Json pairs = Json::array();
  for (size_t i = 0; i < pinpoints.size(); ++i) {
    if (i % 2 == 0) pairs.push_back(Json::array());
    pairs.back().push_back(pinpoints[i]);
  }
  pinpoints = std::move(pairs);
}

void Require(JsonFields& fields, const char* name, const Json& expected) {
  if (fields.Find(name) == nullptr) {
    fields.Refuse(ErrorCode::kCorrupt, "{} should be {}, found nothing", name, expected.dump());
  }
  Demand(fields, name, expected);
}

}  // namespace

Result<VisionConfig> VisionFromGguf(const GgufModel& mmproj, const Config& text) {
  FULMEN_ASSIGN(const std::string_view type, mmproj.header().FindString(kTypeKey, mmproj.where()));
  if (type != kProjectorType) {
    return Fail(ErrorCode::kUnsupported, "{}: {} is {}, vision halves of {} are supported",
                mmproj.where(), kTypeKey, Shown(Json(type)), kProjectorType);
  }
  Json json = Values(mmproj.header());
  if (json.contains(kPinpoints)) PairUp(json[kPinpoints]);
  JsonFields fields(json, mmproj.where());
  Require(fields, kHasVision, true);
  Require(fields, kGelu, true);  // else it is an approximation of it
  Demand(fields, kMerge, "spatial_unpad");
  VisionConfig vision;
  vision.normalisation = ClipNormalisation();
  ReadTower(fields, kGgufTowerNames, vision);
  ReadPinpoints(fields, kPinpoints, vision.tiles);
  ReadChannels(fields, kMean, -1e3, vision.normalisation.mean);
  ReadChannels(fields, kStd, 1e-6, vision.normalisation.std);
  vision.image_token = ReadImageToken(fields, kImageToken, text.vocab_size);
  const int64_t projection = fields.Integer(kProjection, INT32_MAX);
  if (projection != text.hidden_size) {
    fields.Refuse(ErrorCode::kCorrupt, "{} is {}, but the text half has embeddings of {} values",
                  kProjection, projection, text.hidden_size);
  }
  FULMEN_TRY(fields.status());
  FULMEN_TRY(CheckTileRules(vision.tiles, mmproj.where()));
  return vision;
}

}  // namespace fulmen
