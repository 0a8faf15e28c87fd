#include "model/summary.h"

#include <gtest/gtest.h>

#include <atomic>
#include <limits>
#include <string>

#include "base/file_io.h"
#include "base/quant_blocks.h"
#include "formats/safetensors.h"
#include "formats/testing/gguf_builder.h"
#include "model/synth.h"
#include "tests/testing/golden.h"

namespace fulmen {
namespace {

TEST(Summary, PublishedModelFromItsIndexAlone) {
  const std::string folder = testing::GoldenFolder("published/MiniMax-M1");
  if (folder.empty()) GTEST_SKIP() << "published/MiniMax-M1 is not here";
  const ModelSummary summary = SummarizeModel(ModelFiles::Open(folder).value()).value();
  EXPECT_FALSE(summary.weights_present);
  EXPECT_EQ(summary.tensors, 8243);
  EXPECT_EQ(summary.lightning_layers, 70);
  EXPECT_EQ(summary.softmax_layers, 10);
  EXPECT_EQ(summary.parameters, 456'089'655'296);
  EXPECT_EQ(summary.active_parameters, 45'944'920'064);
  EXPECT_EQ(summary.active_parameters_with_embeddings, 48'403'306'496);
  EXPECT_EQ(summary.weights_bytes, 912'210'767'872);
  EXPECT_EQ(summary.bytes_per_type.at("32-bit"), int64_t{4} * 80 * 32 * 6144);
  EXPECT_EQ(summary.bytes_per_type.at("16-bit") + summary.bytes_per_type.at("32-bit"),
            summary.weights_bytes);
  EXPECT_EQ(summary.kv_bytes_per_token, 81'920);
  EXPECT_EQ(summary.kv_bytes_per_token_bf16, 40'960);
  EXPECT_EQ(summary.state_bytes, 440'401'920);
}

TEST(Summary, ModelWithItsWeights) {
  const testing::TemporaryFolder folder;
  ThreadPool pool(2);
  Config config = PresetConfig("small").value();
  config.layers = LayerPattern(2, 0);
  config.hidden_size = config.ffn_size = 32;
  config.vocab_size = 100;
  ASSERT_TRUE(WriteRandomModel(config, {}, folder / "m", pool, [](size_t) { return true; }));
  const ModelSummary summary = SummarizeModel(ModelFiles::Open(folder / "m").value()).value();
  EXPECT_TRUE(summary.weights_present);
  EXPECT_EQ(summary.bytes_per_type.size(), 1U);
  EXPECT_EQ(summary.bytes_per_type.at("BF16"), 2 * summary.parameters);
  EXPECT_EQ(summary.kv_bytes_per_token, 0);
  EXPECT_EQ(summary.context_that_fits, config.max_position);
}

TEST(FindNonFinite, CountsByName) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  const testing::TemporaryFolder folder;
  const std::vector<float> good = {0, -0.0F, std::numeric_limits<float>::max(), 1e-45F};
  const std::vector<float> bad = {kInfinity, -kInfinity, kNan, 1};
  const std::vector<uint16_t> half = {0x7bff, 0x7c00, 0x7c01, 0xfc00};  // maximum, inf, NaN, -inf
  const std::vector<uint16_t> brain = {0x7f7f, 0x7f80, 0xff81, 0xffff};
  const std::vector<int64_t> ids = {-1, -1};  // no floats
  SafetensorsWriter writer =
      SafetensorsWriter::Create(folder / "model.safetensors", {{"a", DType::kF32, {4}},
                                                               {"b", DType::kF32, {2, 2}},
                                                               {"c", DType::kF16, {4}},
                                                               {"d", DType::kBF16, {4}},
                                                               {"e", DType::kI64, {2}}})
          .value();
  EXPECT_TRUE(writer.Write(std::as_bytes(std::span(good))));
  EXPECT_TRUE(writer.Write(std::as_bytes(std::span(bad))));
  EXPECT_TRUE(writer.Write(std::as_bytes(std::span(half))));
  EXPECT_TRUE(writer.Write(std::as_bytes(std::span(brain))));
  EXPECT_TRUE(writer.Write(std::as_bytes(std::span(ids))));
  ASSERT_TRUE(writer.Finish());
  const Checkpoint checkpoint = Checkpoint::Open(folder.path()).value();
  ThreadPool pool(2);
  std::atomic<size_t> read{0};
  const std::vector<NonFiniteTensor> found =
      FindNonFinite(checkpoint, pool, [&](size_t bytes) { read += bytes; });
  EXPECT_EQ(read, 16U + 16 + 8 + 8);
  ASSERT_EQ(found.size(), 3U);
  EXPECT_EQ(found[0].name, "b");
  EXPECT_EQ(found[0].nans, 1);
  EXPECT_EQ(found[0].infinities, 2);
  EXPECT_EQ(found[1].name, "c");
  EXPECT_EQ(found[1].nans, 1);
  EXPECT_EQ(found[1].infinities, 2);
  EXPECT_EQ(found[2].name, "d");
  EXPECT_EQ(found[2].nans, 2);
  EXPECT_EQ(found[2].infinities, 1);
}

// A tensor longer than one piece is reported once, with the sum of its pieces.
TEST(FindNonFinite, AddsUpPieces) {
  const testing::TemporaryFolder folder;
  std::vector<uint16_t> values((1 << 20) + 5, 0);
  values.front() = values.back() = 0x7f80;
  SafetensorsWriter writer =
      SafetensorsWriter::Create(folder / "model.safetensors",
                                {{"long", DType::kBF16, {static_cast<int64_t>(values.size())}}})
          .value();
  EXPECT_TRUE(writer.Write(std::as_bytes(std::span(values))));
  ASSERT_TRUE(writer.Finish());
  ThreadPool pool(1);
  const std::vector<NonFiniteTensor> found =
      FindNonFinite(Checkpoint::Open(folder.path()).value(), pool, [](size_t) {});
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].infinities, 2);
}

// Eight groups share a block's step, so one step that is infinite or NaN spoils 256 values.
TEST(FindNonFinite, LooksIntoBlocks) {
  const testing::TemporaryFolder folder;
  std::vector<BlockQ4_K> blocks(40);
  blocks[3].d = 0x7c00;
  blocks[3].scales[0] = 1;  // infinity times zero is NaN in the seven others
  std::fill_n(blocks[3].q, 32, uint8_t{0x11});
  blocks[39].dmin = 0x7e00;
  std::string data(reinterpret_cast<const char*>(blocks.data()), blocks.size() * sizeof(BlockQ4_K));
  ASSERT_TRUE(WriteFileAtomically(
      folder / "m.gguf", testing::GgufBuilder().Tensor("w", {2560, 4}, 12, 0).Data(data).File()));
  const Checkpoint checkpoint = ModelFiles::Open(folder / "m.gguf").value().OpenTensors().value();
  ThreadPool pool(1);
  size_t read = 0;
  const std::vector<NonFiniteTensor> found =
      FindNonFinite(checkpoint, pool, [&](size_t bytes) { read += bytes; });
  EXPECT_EQ(read, data.size());
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].infinities, 32);
  EXPECT_EQ(found[0].nans, 256 - 32 + 256);
}

TEST(SummarizeModel, CountsTheTypesOfGguf) {
  const std::string folder = testing::GoldenFolder("gguf/wide");
  if (folder.empty()) GTEST_SKIP() << "no golden gguf/wide";
  const ModelSummary summary =
      SummarizeModel(ModelFiles::Open(folder + "/wide-q4_k_m.gguf").value()).value();
  EXPECT_TRUE(summary.weights_present);
  EXPECT_EQ(summary.tensors, 33);
  EXPECT_EQ(summary.softmax_layers, 1);
  EXPECT_EQ(summary.bytes_per_type.size(), 3U);
  // output.weight, and attn_v and ffn_down_exps of one layer.
  EXPECT_EQ(summary.bytes_per_type.at("Q6_K"), (512 + 128 + 4 * 256) * 210);
}

}  // namespace
}  // namespace fulmen
