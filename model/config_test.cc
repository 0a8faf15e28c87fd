#include "model/config.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "tests/testing/golden.h"

namespace fulmen {
namespace {

Json Original() {
  return ParseJson(R"({"architectures": ["MiniMaxText01ForCausalLM"], "vocab_size": 512,
      "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 4,
      "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32, "rotary_dim": 16,
      "rope_theta": 10000000, "max_position_embeddings": 16384, "num_local_experts": 4,
      "num_experts_per_tok": 2, "attn_type_list": [0, 0, 0, 1], "postnorm": true,
      "layernorm_full_attention_alpha": 3.5, "layernorm_linear_attention_beta": 0.5,
      "layernorm_mlp_alpha": 2, "shared_intermediate_size": 0, "hidden_act": "silu",
      "sliding_window": null, "tie_word_embeddings": false, "eos_token_id": null})",
                   "test")
      .value();
}

Json Native() {
  return ParseJson(R"({"architectures": ["MiniMaxForCausalLM"], "vocab_size": 512,
      "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3,
      "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32,
      "max_position_embeddings": 16384, "num_local_experts": 4, "num_experts_per_tok": 2,
      "layer_types": ["linear_attention", "full_attention", "linear_attention"],
      "full_attn_alpha_factor": 1.5, "linear_attn_alpha_factor": 2.5, "mlp_beta_factor": 0.25,
      "rope_parameters": {"rope_theta": 5000.0, "rope_type": "default"}})",
                   "test")
      .value();
}

Config Parsed(const Json& json) {
  Result<Config> config = ParseConfig(json, "config.json");
  EXPECT_TRUE(config) << config.error().message;
  return config.value_or(Config());
}

// The message, without the file's name; "" when the config is accepted.
std::string ProblemOf(const Json& json) {
  const Result<Config> config = ParseConfig(json, "config.json");
  if (config) return "";
  EXPECT_EQ(config.error().message.find("config.json: "), 0U) << config.error().message;
  EXPECT_EQ(config.error().message.find('\n'), std::string::npos);
  EXPECT_LT(config.error().message.size(), 400U);
  return config.error().message.substr(13);
}

std::string ProblemWith(const std::string& field, const Json& value, Json json = Original()) {
  json[field] = value;
  return ProblemOf(json);
}

TEST(Config, OriginalScheme) {
  const Config config = Parsed(Original());
  EXPECT_EQ(config.architecture, "MiniMaxText01ForCausalLM");
  EXPECT_EQ(config.layers, (std::vector{LayerKind::kLightning, LayerKind::kLightning,
                                        LayerKind::kLightning, LayerKind::kSoftmax}));
  EXPECT_EQ(config.rotary_dim, 16);
  EXPECT_EQ(config.rope_base, 1e7);
  EXPECT_EQ(config.softmax_residual.alpha, 3.5F);
  EXPECT_EQ(config.softmax_residual.beta, 1.0F);
  EXPECT_EQ(config.lightning_residual.alpha, 1.0F);
  EXPECT_EQ(config.lightning_residual.beta, 0.5F);
  EXPECT_EQ(config.mlp_residual.alpha, 2.0F);
  EXPECT_TRUE(config.post_norm);
  EXPECT_TRUE(config.eos_ids.empty());
  EXPECT_EQ(config.attention_size(), 128);
  EXPECT_EQ(config.kv_size(), 64);
}

TEST(Config, OriginalDefaults) {
  Json json = Original();
  for (const char* field : {"rotary_dim", "postnorm", "head_dim", "num_key_value_heads"}) {
    json.erase(field);
  }
  const Config config = Parsed(json);
  EXPECT_EQ(config.head_dim, 16);
  EXPECT_EQ(config.rotary_dim, 16);
  EXPECT_EQ(config.kv_heads, 4);
  EXPECT_FALSE(config.post_norm);
  json["head_dim"] = nullptr;
  EXPECT_EQ(Parsed(json).head_dim, 16);
  json["hidden_size"] = 66;
  EXPECT_NE(ProblemOf(json).find("head_dim is missing and hidden_size 66"), std::string::npos);
}

TEST(Config, NativeScheme) {
  Json json = Native();
  Config config = Parsed(json);
  EXPECT_EQ(config.layers,
            (std::vector{LayerKind::kLightning, LayerKind::kSoftmax, LayerKind::kLightning}));
  EXPECT_TRUE(config.post_norm);
  EXPECT_EQ(config.rotary_dim, 32);
  EXPECT_EQ(config.rope_base, 5000);
  EXPECT_EQ(config.softmax_residual.alpha, 1.5F);
  EXPECT_EQ(config.lightning_residual.alpha, 2.5F);
  EXPECT_EQ(config.mlp_residual.beta, 0.25F);

  json["rope_parameters"]["partial_rotary_factor"] = 0.25;
  EXPECT_EQ(Parsed(json).rotary_dim, 8);
  json["rotary_dim"] = 16;
  EXPECT_EQ(Parsed(json).rotary_dim, 16);

  json.erase("rope_parameters");
  EXPECT_NE(ProblemOf(json).find("rope_theta is missing"), std::string::npos);
  json["rope_theta"] = 20000;
  EXPECT_EQ(Parsed(json).rope_base, 20000);
  json.erase("layer_types");
  EXPECT_EQ(Parsed(json).layers,
            (std::vector{LayerKind::kSoftmax, LayerKind::kLightning, LayerKind::kSoftmax}));
}

TEST(Config, EosIds) {
  Json json = Original();
  json["eos_token_id"] = 7;
  EXPECT_EQ(Parsed(json).eos_ids, (std::vector<int32_t>{7}));
  json["eos_token_id"] = {7, 511};
  EXPECT_EQ(Parsed(json).eos_ids, (std::vector<int32_t>{7, 511}));
  for (const Json& bad : {Json(512), Json(-1), Json(1.5), Json("7"), Json({7, nullptr})}) {
    EXPECT_NE(ProblemWith("eos_token_id", bad).find("below vocab_size 512"), std::string::npos);
  }
}

TEST(Config, UnsupportedFeaturesAreNamedWithTheirValue) {
  EXPECT_EQ(ProblemWith("shared_intermediate_size", 4096),
            "shared_intermediate_size is not supported, found 4096");
  EXPECT_EQ(ProblemWith("sliding_window", 512), "sliding_window is not supported, found 512");
  EXPECT_EQ(ProblemWith("quantization_config", {{"bits", 8}}),
            "quantization_config is not supported, found {\"bits\":8}");
  EXPECT_EQ(ProblemWith("attention_bias", true), "attention_bias is not supported, found true");
  EXPECT_EQ(ProblemWith("attention_bias", false), "");
  EXPECT_EQ(ProblemWith("router_jitter_noise", 0.1), "");  // acts in training only
  EXPECT_EQ(ProblemWith("hidden_act", "gelu"), "hidden_act should be \"silu\", found \"gelu\"");
  EXPECT_EQ(ProblemWith("rope_scaling", {{"type", "yarn"}, {"factor", 4}}),
            "rope_scaling.type should be \"default\", found \"yarn\"");
  EXPECT_EQ(
      ProblemWith("rope_parameters", {{"rope_type", "linear"}, {"rope_theta", 1e4}}, Native()),
      "rope_parameters.rope_type should be \"default\", found \"linear\"");
  EXPECT_EQ(ProblemWith("rope_scaling", {{"factor", 4}}),
            "rope_scaling is not supported, found {\"factor\":4}");
  EXPECT_EQ(ProblemWith("layer_types", {"linear_attention", "full_attention", "sliding_attention"},
                        Native()),
            "layer_types[2] should be \"linear_attention\" or \"full_attention\", found "
            "\"sliding_attention\"");
  EXPECT_EQ(ProblemWith("architectures", {"LlamaForCausalLM"}),
            "architecture \"LlamaForCausalLM\" is not known; MiniMaxText01ForCausalLM, "
            "MiniMaxM1ForCausalLM, MiniMaxForCausalLM and MiniMaxVL01ForConditionalGeneration are");
  EXPECT_EQ(ProblemWith("architectures", {"MiniMaxVL01ForConditionalGeneration"}),
            "text_config should be an object, found nothing");
}

TEST(Config, ContradictionsAreRefused) {
  EXPECT_EQ(ProblemWith("attn_type_list", {0, 1}),
            "attn_type_list lists 2 layers, num_hidden_layers says 4");
  EXPECT_EQ(ProblemWith("attn_type_list", {0, 0, 2, 1}),
            "attn_type_list[2] should be 0 or 1, found 2");
  EXPECT_EQ(ProblemWith("num_key_value_heads", 3),
            "num_attention_heads 4 should be a multiple of num_key_value_heads 3");
  for (const int rotary : {15, 34}) {
    EXPECT_EQ(ProblemWith("rotary_dim", rotary),
              fmt::format("rotary_dim should be even and from 2 to the head dimension 32, found {}",
                          rotary));
  }
  EXPECT_EQ(ProblemWith("num_experts_per_tok", 5),
            "num_experts_per_tok 5 should be at most num_local_experts 4");
  EXPECT_EQ(ProblemWith("partial_rotary_factor", 2.0, Native()),
            "partial_rotary_factor should be a number from 1e-06 to 1, found 2.0");
}

TEST(Config, SizesMustBeWholeAndSane) {
  const std::vector<Json> bad = {
      0, -1, 1.5, "64", true, {64}, {{"a", 1}}, 9007199254740993, 1e30, UINT64_MAX};
  for (const char* field :
       {"vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers",
        "num_attention_heads", "num_key_value_heads", "head_dim", "num_local_experts",
        "num_experts_per_tok", "max_position_embeddings", "rotary_dim"}) {
    for (const Json& value : bad) {
      const std::string problem = ProblemWith(field, value);
      EXPECT_EQ(problem.find(field), 0U) << field << " " << value << " gave: " << problem;
      EXPECT_NE(problem.find(", found "), std::string::npos) << problem;
    }
  }
  Json json = Original();
  json.erase("hidden_size");
  EXPECT_NE(ProblemOf(json).find("hidden_size is missing"), std::string::npos);
  json = Original();
  json["num_local_experts"] = 16384;
  json["num_hidden_layers"] = 64;
  json["attn_type_list"] = std::vector<int>(64, 0);
  EXPECT_NE(ProblemOf(json).find("exceed the limit"), std::string::npos);
  EXPECT_NE(ProblemWith("rms_norm_eps", "x").find("rms_norm_eps should be a number"),
            std::string::npos);
  EXPECT_NE(ProblemWith("postnorm", 1).find("postnorm should be true or false"), std::string::npos);
  EXPECT_EQ(ParseConfig(Json::array(), "x").error().message, "x: expected an object, found []");
}

TEST(Config, JsonRoundTrips) {
  Json source = Original();
  source["eos_token_id"] = {3, 4};
  source["tie_word_embeddings"] = true;
  const Config config = Parsed(source);
  const Json json = ConfigToJson(config, "bfloat16");
  EXPECT_EQ(json["torch_dtype"], "bfloat16");
  EXPECT_EQ(json["rms_norm_eps"].dump(), "1e-05");
  const Config again = Parsed(ParseJson(json.dump(), "again").value());
  EXPECT_EQ(ConfigToJson(again, "bfloat16"), json);
  EXPECT_EQ(again.layers, config.layers);
  EXPECT_EQ(again.eos_ids, config.eos_ids);
  EXPECT_EQ(again.lightning_residual.beta, config.lightning_residual.beta);
  EXPECT_TRUE(again.tied_embeddings);
}

TEST(Config, NativeJsonRoundTrips) {
  Json source = Native();
  source["num_attention_heads"] = 6;
  source["rotary_dim"] = 8;
  source["eos_token_id"] = 5;
  const Config config = Parsed(source);
  const Json json = ConfigToJson(config, "float32");
  EXPECT_EQ(json["architectures"], Json::array({"MiniMaxForCausalLM"}));
  EXPECT_EQ(json["layer_types"], source["layer_types"]);
  const Config again = Parsed(ParseJson(json.dump(), "again").value());
  EXPECT_EQ(ConfigToJson(again, "float32"), json);
  EXPECT_EQ(again.layers, config.layers);
  EXPECT_EQ(again.lightning_residual.alpha, 2.5F);
  EXPECT_EQ(again.softmax_residual.alpha, 1.5F);
  EXPECT_EQ(again.mlp_residual.beta, 0.25F);
  EXPECT_EQ(again.rope_base, 5000);
  EXPECT_EQ(again.rotary_dim, 8);
  EXPECT_EQ(again.eos_ids, std::vector<int32_t>{5});
  for (int layer = 0; layer < 3; ++layer) {
    EXPECT_EQ(LightningDecay(again, layer), LightningDecay(config, layer));
  }
}

TEST(Config, LightningDecay) {
  Config config = Parsed(Original());
  config.heads = 4;
  const std::vector<float> first = LightningDecay(config, 0);
  ASSERT_EQ(first.size(), 4U);
  EXPECT_FLOAT_EQ(first[0], 0.25F * 1.00001F);
  EXPECT_FLOAT_EQ(first[3], 1.0F / 256 * 1.00001F);
  EXPECT_FLOAT_EQ(LightningDecay(config, 3)[0], 0.25F * 1e-5F);
  // No power of two: the two slopes of 2 heads, then the first of 4.
  config.heads = 3;
  const std::vector<float> three = LightningDecay(config, 0);
  EXPECT_FLOAT_EQ(three[0], 1.0F / 16 * 1.00001F);
  EXPECT_FLOAT_EQ(three[1], 1.0F / 256 * 1.00001F);
  EXPECT_FLOAT_EQ(three[2], 1.0F / 4 * 1.00001F);
  config.layers.resize(1);
  EXPECT_FLOAT_EQ(LightningDecay(config, 0)[0], 1.0F / 16 * 1.00001F);
}

// Transformers' rule for its own scheme, which it stores as `slope_rate`.
TEST(Config, LightningDecayOfTheNativeScheme) {
  for (const int heads : {1, 3, 4, 6, 12}) {
    Json json = Native();
    json["num_attention_heads"] = heads;
    json["num_key_value_heads"] = 1;
    const Config config = Parsed(json);
    for (int layer = 0; layer < 3; ++layer) {
      const std::vector<float> decay = LightningDecay(config, layer);
      ASSERT_EQ(decay.size(), static_cast<size_t>(heads));
      for (int h = 0; h < heads; ++h) {
        const double expected =
            std::pow(2, -8.0 * (h + 1) / heads) * (1 - layer / (2 + 1e-5) + 1e-5);
        EXPECT_NEAR(decay[static_cast<size_t>(h)], expected, 1e-6 * expected)
            << heads << " heads, layer " << layer << ", head " << h;
      }
    }
  }
}

TEST(Config, RopeFrequencies) {
  const std::vector<float> frequencies = RopeInverseFrequencies(Parsed(Original()));
  ASSERT_EQ(frequencies.size(), 8U);
  EXPECT_EQ(frequencies[0], 1.0F);
  EXPECT_FLOAT_EQ(frequencies[4], static_cast<float>(1 / std::sqrt(1e7)));
}

TEST(Config, ReadsEveryGolden) {
  int read = 0;
  for (const char* name : {"text/hybrid", "text/hybrid-bf16", "text/hybrid-native",
                           "text/hybrid-native-factor", "text/irregular", "text/linear", "text/m1",
                           "text/native", "text/softmax", "story", "published/MiniMax-M1"}) {
    const std::string folder = testing::GoldenFolder(name);
    if (folder.empty()) continue;  // not in the compact set
    const Result<Config> config = ReadConfig(ModelFiles::Open(folder).value());
    EXPECT_TRUE(config) << config.error().message;
    ++read;
  }
  EXPECT_GE(read, 3);
}

}  // namespace
}  // namespace fulmen
