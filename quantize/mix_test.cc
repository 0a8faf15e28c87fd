#include "quantize/mix.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

#include "base/file_io.h"
#include "base/json.h"
#include "quantize/testing/mixes.h"
#include "tests/testing/golden.h"

namespace fulmen {
namespace {

using testing::MixOf;

const TensorRow& Row(TensorMember<WeightMatrix> member) { return RowOf(member); }

using Types = std::map<std::string, std::string>;

// By the names of GGUF, where experts are stacked.
Types TypesOf(const Mix& mix, const Config& config) {
  Types types;
  ForEachTensor(config, [&](const TensorRow& row, int64_t layer, int64_t expert) {
    types[TensorName(row.gguf.name, layer, expert)] = DTypeName(TypeInMix(mix, config, row, layer));
  });
  return types;
}

Config SmallConfig(int64_t layers) {
  Config config;
  config.vocab_size = 100;
  config.hidden_size = 512;
  config.ffn_size = 256;
  config.heads = 8;
  config.kv_heads = 4;
  config.head_dim = 64;
  config.experts = 4;
  config.layers.assign(static_cast<size_t>(layers), LayerKind::kSoftmax);
  return config;
}

TEST(Mix, GivesTheTypesOfLlamaCpp) {
  const std::string folder = testing::GoldenFolder("gguf/wide");
  const std::string source = testing::GoldenFolder("gguf/source");
  if (folder.empty() || source.empty()) GTEST_SKIP() << "no golden GGUF files";
  const Config config = ReadConfig(ModelFiles::Open(source).value()).value();
  const Json expected =
      ParseJson(ReadFile(folder + "/expected.json").value(), "expected.json").value();
  for (const auto& [name, counts] : expected["types"].items()) {
    SCOPED_TRACE(name);
    std::map<std::string, int> count;
    for (const auto& [tensor, type] : TypesOf(MixOf(name), config)) ++count[type];
    std::map<std::string, int> wanted = counts.get<std::map<std::string, int>>();
    EXPECT_EQ(count, wanted);
  }
}

TEST(Mix, BetterTypesForWhatSuffersMost) {
  const Config config = SmallConfig(16);
  const Types types = TypesOf(MixOf("Q4_K_M"), config);
  EXPECT_EQ(types.at("output.weight"), "Q6_K");
  EXPECT_EQ(types.at("token_embd.weight"), "Q4_K");
  EXPECT_EQ(types.at("blk.0.attn_norm.weight"), "F32");
  EXPECT_EQ(types.at("blk.0.ffn_gate_inp.weight"), "F32");
  for (int layer = 0; layer < 16; ++layer) {
    const bool better = layer < 2 || layer >= 14 || layer % 3 == 1;
    const std::string block = fmt::format("blk.{}.", layer);
    EXPECT_EQ(types.at(block + "attn_v.weight"), better ? "Q6_K" : "Q4_K") << layer;
    EXPECT_EQ(types.at(block + "ffn_down_exps.weight"), better ? "Q6_K" : "Q4_K") << layer;
    EXPECT_EQ(types.at(block + "attn_k.weight"), "Q4_K");
  }
  const Types three = TypesOf(MixOf("q3_k_m"), config);
  EXPECT_EQ(three.at("blk.1.attn_v.weight"), "Q5_K");
  EXPECT_EQ(three.at("blk.2.attn_v.weight"), "Q4_K");
  EXPECT_EQ(three.at("blk.0.ffn_down_exps.weight"), "Q5_K");
  EXPECT_EQ(three.at("blk.1.ffn_down_exps.weight"), "Q4_K");
}

TEST(Mix, DependsOnTheModel) {
  Config config = SmallConfig(8);
  config.kv_heads = 2;
  EXPECT_EQ(TypesOf(MixOf("Q2_K"), config).at("blk.5.attn_v.weight"), "Q4_K");
  config.experts = 8;
  const Types eight = TypesOf(MixOf("Q2_K"), config);
  EXPECT_EQ(eight.at("blk.5.attn_v.weight"), "Q8_0");
  EXPECT_EQ(eight.at("blk.5.attn_k.weight"), "Q8_0");
  EXPECT_EQ(eight.at("blk.5.attn_output.weight"), "Q5_K");
  config.tied_embeddings = true;
  EXPECT_EQ(TypesOf(MixOf("Q4_0"), config).at("token_embd.weight"), "Q6_K");
}

TEST(Mix, SplitsAttentionFromExperts) {
  Config config = SmallConfig(3);
  config.layers[0] = LayerKind::kLightning;
  for (const auto& [name, type] : TypesOf(MixOf("attn8-expert4"), config)) {
    const bool expert = name.find("_exps") != std::string::npos;
    EXPECT_TRUE(type == "F32" || type == (expert ? "Q4_K" : "Q8_0")) << name << " " << type;
  }
}

TEST(Mix, FallsBackWhereBlocksDoNotFit) {
  Config config = SmallConfig(2);
  config.hidden_size = 96;
  const auto type = [&](const char* name) {
    return TypeInMix(MixOf(name), config, Row(&LayerWeights::query), 0);
  };
  EXPECT_EQ(type("Q2_K"), DType::kQ4_0);
  EXPECT_EQ(type("Q3_K_M"), DType::kQ4_0);
  EXPECT_EQ(type("Q4_K_M"), DType::kQ5_0);
  EXPECT_EQ(type("Q5_K_M"), DType::kQ5_1);
  EXPECT_EQ(type("Q6_K"), DType::kQ8_0);
  EXPECT_EQ(type("IQ4_XS"), DType::kIQ4_NL);
  EXPECT_EQ(type("Q4_0"), DType::kQ4_0);
  config.hidden_size = 100;
  EXPECT_EQ(type("Q4_K_M"), DType::kF16);
  EXPECT_EQ(type("BF16"), DType::kBF16);
}

TEST(Mix, UnknownNamesAreRefused) {
  const auto found = FindMix("Q4_K_XL");
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().message.find("unknown type \"Q4_K_XL\", expected one of F32, BF16, F16"),
            0U);
}

}  // namespace
}  // namespace fulmen
