#include "quantize/random_gguf.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <filesystem>
#include <vector>

#include "model/synth.h"
#include "model/weights.h"
#include "quantize/random_blocks.h"
#include "quantize/testing/mixes.h"
#include "tests/testing/golden.h"
#include "tokenizer/tokenizer.h"

namespace fulmen {
namespace {

using testing::KeepGoing;

constexpr auto kQuantized = std::to_array<DType>(
    {DType::kQ4_0, DType::kQ4_1, DType::kQ5_0, DType::kQ5_1, DType::kQ8_0, DType::kQ2_K,
     DType::kQ3_K, DType::kQ4_K, DType::kQ5_K, DType::kQ6_K, DType::kIQ4_NL, DType::kIQ4_XS});

TEST(FillRandomBlocks, HasTheDeviationAskedFor) {
  constexpr int64_t kCount = 4 * kRandomBlock;
  for (const DType type : kQuantized) {
    SCOPED_TRACE(DTypeName(type));
    std::vector<std::byte> bytes(BytesOf(type, kCount));
    FillRandomBlocks(type, 7, 0, kCount, 0.0128F, bytes.data());
    double sum = 0;
    double squares = 0;
    for (const float value : Dequantize({bytes.data(), type, 1, kCount})) {
      sum += value;
      squares += double{value} * value;
    }
    const double deviation = std::sqrt(squares / kCount);
    EXPECT_NEAR(deviation, 0.0128, 0.0003);
    // Integers of two's complement and the table of IQ4_NL have a mean of their own.
    EXPECT_LT(std::fabs(sum / kCount), 0.2 * deviation);
  }
}

TEST(FillRandomBlocks, AnySplitGivesTheSameBits) {
  constexpr int64_t kCount = 2 * kRandomBlock + 512;
  for (const DType type : kQuantized) {
    std::vector<std::byte> whole(BytesOf(type, kCount));
    std::vector<std::byte> parts(whole.size());
    FillRandomBlocks(type, 9, 0, kCount, 1, whole.data());
    FillRandomBlocks(type, 9, kRandomBlock, kRandomBlock + 512, 1,
                     parts.data() + BytesOf(type, kRandomBlock));
    FillRandomBlocks(type, 9, 0, kRandomBlock, 1, parts.data());
    EXPECT_EQ(whole, parts) << DTypeName(type);
  }
}

Config TinyConfig(int64_t vocabulary) {
  Config config = PresetConfig("small").value();
  config.layers = LayerPattern(3, 2);
  config.hidden_size = 256;
  config.heads = 4;
  config.kv_heads = 2;
  config.head_dim = 64;
  config.rotary_dim = 32;
  config.ffn_size = 96;  // too narrow for blocks of 256
  config.experts = 3;
  config.vocab_size = vocabulary;
  return config;
}

VisionConfig TinyVision() {
  VisionConfig vision = *PresetConfig("vl-small").value().vision;
  vision.width = 64;
  vision.heads = 2;
  vision.ffn_size = 96;
  vision.layers = 2;
  vision.tiles = {.tile = 28, .patch = 14, .pinpoints = {{28, 28}}};
  vision.image_token = 299;
  return vision;
}

TEST(WriteRandomGguf, LoadsInEveryMix) {
  const testing::TemporaryFolder folder;
  const Config config = TinyConfig(300);
  for (const Mix& mix : Mixes()) {
    SCOPED_TRACE(mix.name);
    const std::string path = folder / "random.gguf";
    ThreadPool pool(2);
    size_t bytes = 0;
    const auto planned = PlanRandomGguf(config, mix, path).value();
    ASSERT_TRUE(WriteRandomGguf(config, planned, 1, pool, [&](size_t piece) {
      bytes += piece;
      return true;
    }));
    EXPECT_EQ(bytes, BytesOfTensors(planned));
    const ModelFiles files = ModelFiles::Open(path).value();
    const Model model = LoadModel(files).value();
    EXPECT_EQ(model.config.layers, config.layers);
    EXPECT_TRUE(model.unused_ids.empty());
    for (const float one : Dequantize(model.weights.output_norm)) EXPECT_EQ(one, 1.0F);
    const Tokenizer tokenizer = Tokenizer::Load(files).value();
    EXPECT_EQ(tokenizer.vocab_size(), 300);
    const std::string text = "In a naïve\n\tworld: abc, 世界.";
    EXPECT_EQ(tokenizer.Decode(tokenizer.Encode(text, Tokenizer::Markers::kParse)).value(), text);
  }
}

TEST(WriteRandomGguf, HasATokenizerWhereThereIsRoom) {
  const testing::TemporaryFolder folder;
  const std::string path = folder / "random.gguf";
  ThreadPool pool(1);
  const Mix& mix = *FindMix("Q8_0").value();
  const auto write = [&](const Config& config) {
    return WriteRandomGguf(config, PlanRandomGguf(config, mix, path).value(), 1, pool, KeepGoing);
  };
  ASSERT_TRUE(write(TinyConfig(261)));
  EXPECT_FALSE(Tokenizer::Load(path));
  ASSERT_TRUE(write(TinyConfig(262)));
  EXPECT_EQ(Tokenizer::Load(path)->eos_id(), 257);
}

TEST(WriteRandomGguf, LeavesNothingWhenStopped) {
  const testing::TemporaryFolder folder;
  ThreadPool pool(2);
  for (const bool images : {false, true}) {
    Config config = TinyConfig(300);
    if (images) config.vision = TinyVision();
    const auto planned =
        PlanRandomGguf(config, *FindMix("Q8_0").value(), folder / "random.gguf").value();
    const Status status = WriteRandomGguf(config, planned, 1, pool, [](size_t) { return false; });
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code, ErrorCode::kCancelled);
    EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
  }
}

TEST(WriteRandomGguf, HasAVisionHalf) {
  const testing::TemporaryFolder folder;
  const std::string path = folder / "random.gguf";
  Config config = TinyConfig(300);
  config.vision = TinyVision();
  ThreadPool pool(2);
  for (const auto& [name, type] :
       {std::pair("Q4_K_M", DType::kBF16), std::pair("F16", DType::kF16)}) {
    SCOPED_TRACE(name);
    const auto planned = PlanRandomGguf(config, *FindMix(name).value(), path).value();
    ASSERT_TRUE(WriteRandomGguf(config, planned, 1, pool, KeepGoing));
    const Model model = LoadModel(path).value();
    ASSERT_TRUE(model.config.vision);
    EXPECT_EQ(VisionConfigToJson(*model.config.vision), VisionConfigToJson(*config.vision));
    const VisionWeights& vision = model.weights.vision;
    EXPECT_EQ(vision.projector_out.type, type);
    EXPECT_EQ(vision.patch_embedding.type, type);
    EXPECT_EQ(vision.position_embedding.type, DType::kF32);
    for (const float one : Dequantize(vision.layers[1].mlp_norm)) EXPECT_EQ(one, 1.0F);
    double squares = 0;
    for (const float value : Dequantize(vision.patch_embedding)) squares += double{value} * value;
    // Of deviation 1/sqrt(3 * 14 * 14).
    EXPECT_NEAR(squares, static_cast<double>(vision.patch_embedding.rows), 1.5);
  }
}

}  // namespace
}  // namespace fulmen
