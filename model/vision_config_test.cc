#include "model/vision_config.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "model/config.h"
#include "model/cost.h"
#include "model/synth.h"
#include "model/tensor_table.h"
#include "model/testing/tiny_vision_model.h"
#include "model/weights.h"

namespace fulmen {
namespace {

// The published model's, as its config.json is known.
Json Released() {
  Json text = {{"architectures", {"MiniMaxText01ForCausalLM"}},
               {"model_type", "minimax_text_01"},
               {"hidden_size", 6144},
               {"intermediate_size", 9216},
               {"num_hidden_layers", 80},
               {"num_attention_heads", 64},
               {"num_key_value_heads", 8},
               {"head_dim", 128},
               {"num_local_experts", 32},
               {"num_experts_per_tok", 2},
               {"rotary_dim", 64},
               {"rope_theta", 1e7},
               {"max_position_embeddings", 8192},
               {"postnorm", true},
               {"shared_intermediate_size", {0}},
               {"shared_moe_mode", "sigmoid"},
               {"vocab_size", 200064},
               {"eos_token_id", nullptr}};
  for (const char* kind : {"full_attention", "linear_attention", "mlp"}) {
    text[fmt::format("layernorm_{}_alpha", kind)] = 3.5565588200778455;
    text[fmt::format("layernorm_{}_beta", kind)] = 1.0;
  }
  for (int64_t i = 0; i < 80; ++i) text["attn_type_list"].push_back(i % 8 == 7 ? 1 : 0);
  return {{"architectures", {"MiniMaxVL01ForConditionalGeneration"}},
          {"model_type", "minimax_vl_01"},
          {"image_token_index", 200025},
          {"projector_hidden_act", "gelu"},
          {"vision_feature_layer", -1},
          {"vision_feature_select_strategy", "default"},
          {"vision_config",
           {{"model_type", "clip_vision_model"},
            {"hidden_act", "gelu"},
            {"hidden_size", 1024},
            {"image_size", 336},
            {"intermediate_size", 4096},
            {"num_attention_heads", 16},
            {"num_hidden_layers", 24},
            {"patch_size", 14},
            {"projection_dim", 6144},
            {"vocab_size", 32000}}},
          {"text_config", text}};
}

std::string VisionConfigProblem(const std::string& pointer, const Json& value) {
  Json json = Released();
  json[Json::json_pointer(pointer)] = value;
  const auto config = ParseConfig(json, "c");
  return config ? "" : config.error().message;
}

TEST(VisionConfig, TheReleasedModel) {
  const Config config = ParseConfig(Released(), "c").value();
  const VisionConfig& vision = *config.vision;
  EXPECT_EQ(vision.tiles.pinpoints.size(), 28U);
  EXPECT_EQ(vision.image_token, 200025);
  EXPECT_EQ(vision.patches(), 576);
  EXPECT_EQ(LargestImage(vision.tiles), 11088);
  EXPECT_EQ(config.max_position, 1'000'192);  // 8192 hold no large image
  EXPECT_FALSE(config.native);
  EXPECT_EQ(ExpectedTensors(config).size(), 8637U);
  const int64_t projector = 1024 * 6144 + 6144 + 6144 * 6144 + 6144;
  EXPECT_EQ(VisionParameterCount(config) - projector - 6144, 303'505'408);
  EXPECT_NEAR(static_cast<double>(projector), 44.05e6, 1e4);

  std::set<std::string> names;
  for (const TensorInstance& tensor : ExpectedTensors(config)) names.insert(tensor.name);
  for (const char* name :
       {"vision_tower.vision_model.embeddings.class_embedding",
        "vision_tower.vision_model.encoder.layers.23.self_attn.out_proj.bias",
        "multi_modal_projector.linear_2.bias", "image_newline", "language_model.lm_head.weight",
        "language_model.model.layers.79.block_sparse_moe.experts.31.w3.weight"}) {
    EXPECT_TRUE(names.contains(name)) << name;
  }
}

TEST(VisionConfig, NativeNames) {
  Config config = ParseConfig(Released(), "c").value();
  const auto native = [&](TensorMember<WeightMatrix> member) {
    return NativePattern(RowOf(member), config);
  };
  EXPECT_EQ(native(&VisionWeights::newline), "model.image_newline");
  EXPECT_EQ(native(&VisionWeights::norm), "model.vision_tower.pre_layrnorm.weight");
  EXPECT_EQ(native(&VisionWeights::projector_in), "model.multi_modal_projector.linear_1.weight");
  EXPECT_EQ(native(&ModelWeights::head), "lm_head.weight");
  EXPECT_EQ(native(&LayerWeights::router), "model.language_model.layers.{L}.mlp.gate.weight");
}

TEST(VisionConfig, WrittenAndReadBack) {
  Config config = PresetConfig("vl-small").value();
  config.vision->norm_epsilon = 1e-6F;
  const Config back = ParseConfig(ConfigToJson(config, "float32"), "c").value();
  EXPECT_EQ(back.vision->width, config.vision->width);
  EXPECT_EQ(back.vision->norm_epsilon, 1e-6F);
  EXPECT_EQ(back.vision->tiles.pinpoints, config.vision->tiles.pinpoints);
  EXPECT_EQ(back.layers, config.layers);

  VisionConfig other = *config.vision;
  other.normalisation = {{0.25F, 0.5F, 0.75F}, {1, 2, 3}};
  VisionConfig read = *config.vision;
  ASSERT_TRUE(ReadPreprocessorConfig(PreprocessorConfigToJson(other), "p", read));
  EXPECT_EQ(read.normalisation.mean, other.normalisation.mean);
  EXPECT_EQ(read.normalisation.std, other.normalisation.std);
}

TEST(VisionConfig, WhatIsNotSupportedOrContradictsIsNamed) {
  EXPECT_EQ(VisionConfigProblem("/vision_feature_layer", -2),
            "c: vision_feature_layer should be -1, found -2");
  EXPECT_EQ(VisionConfigProblem("/projector_hidden_act", "relu"),
            "c: projector_hidden_act should be \"gelu\", found \"relu\"");
  EXPECT_EQ(VisionConfigProblem("/vision_config/hidden_act", "quick_gelu"),
            "c: vision_config: hidden_act should be \"gelu\", found \"quick_gelu\"");
  EXPECT_EQ(VisionConfigProblem("/vision_config/num_attention_heads", 15),
            "c: vision_config: hidden_size 1024 should be a multiple of num_attention_heads 15");
  EXPECT_EQ(VisionConfigProblem("/image_token_index", 200064),
            "c: image_token_index should be a token from 0 to 200063, found 200064");
  EXPECT_EQ(VisionConfigProblem("/text_config/num_experts_per_tok", 33),
            "c: text_config: num_experts_per_tok 33 should be at most num_local_experts 32");
  EXPECT_NE(VisionConfigProblem("/image_grid_pinpoints", {{336, 300}}), "");
  EXPECT_NE(VisionConfigProblem("/image_grid_pinpoints", Json::array()), "");
  EXPECT_NE(VisionConfigProblem("/vision_config", nullptr), "");
  VisionConfig vision = *ParseConfig(Released(), "c").value().vision;
  const auto problem = [&](const Json& json) {
    const Status status = ReadPreprocessorConfig(json, "p", vision);
    return status ? std::string() : status.error().message;
  };
  EXPECT_EQ(problem({{"process_image_mode", "resize"}}),
            "p: process_image_mode should be \"anyres\", found \"resize\"");
  EXPECT_EQ(problem({{"image_std", {1, 1, 0}}}),
            "p: image_std should list three numbers from 1e-06 to 1000, found [1,1,0]");
  EXPECT_EQ(problem({{"size", {448, 448}}}), "p: size should be [336,336], found [448,448]");
}

// A model of random weights with images is one folder that loads as what it was.
TEST(VisionConfig, ARandomModelLoads) {
  const testing::TinyVisionModel tiny;
  const Model& model = *tiny;
  EXPECT_EQ(Describe(model.weights.vision.patch_embedding), "F32 [32, 588]");
  EXPECT_EQ(Describe(model.weights.vision.position_embedding), "F32 [5, 32]");
  EXPECT_EQ(Dequantize(model.weights.vision.layers[1].mlp_norm), std::vector<float>(32, 1));
  EXPECT_NE(Dequantize(model.weights.vision.newline), std::vector<float>(32, 0));
}

}  // namespace
}  // namespace fulmen
