#include "model/synth.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <string>

#include "base/file_io.h"
#include "model/cost.h"
#include "model/weights.h"
#include "tests/testing/golden.h"

namespace fulmen {
namespace {

namespace fs = std::filesystem;

Config SynthConfig() {
  Config config = PresetConfig("small").value();
  config.layers = LayerPattern(3, 2);
  config.hidden_size = 16;
  config.heads = 2;
  config.kv_heads = 1;
  config.head_dim = 8;
  config.rotary_dim = 4;
  config.ffn_size = 24;
  config.experts = 4;
  config.vocab_size = 50;
  return config;
}

bool Continue(size_t) { return true; }

Status Write(const Config& config, const SynthOptions& options, const std::string& folder,
             int threads = 2) {
  ThreadPool pool(threads);
  return WriteRandomModel(config, options, folder, pool, Continue);
}

TEST(FillRandom, NearlyNormal) {
  constexpr int64_t kCount = 1 << 20;
  std::vector<float> values(kCount);
  FillRandom(DType::kF32, 5, 0, kCount, 2.0F, reinterpret_cast<std::byte*>(values.data()));
  double sum = 0;
  double squares = 0;
  double lagged = 0;
  int64_t within = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    sum += values[i];
    squares += double{values[i]} * values[i];
    if (i > 0) lagged += double{values[i]} * values[i - 1];
    within += std::fabs(values[i]) < 2.0F ? 1 : 0;
  }
  // Five standard errors: 2/sqrt(n) for the mean; of the variance, 4*sqrt(2/n); of the lagged
  // product, 4/sqrt(n). The share within one deviation of a sum of four uniforms is 0.6711.
  const double error = 1 / std::sqrt(static_cast<double>(kCount));
  EXPECT_NEAR(sum / kCount, 0, 5 * 2 * error);
  EXPECT_NEAR(squares / kCount, 4, 5 * 4 * std::sqrt(2.0) * error);
  EXPECT_NEAR(lagged / kCount, 0, 5 * 4 * error);
  EXPECT_NEAR(static_cast<double>(within) / kCount, 0.6711, 0.005);
}

TEST(FillRandom, AnySplitGivesTheSameBits) {
  constexpr int64_t kCount = 3 * kRandomBlock + 17;
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
    const size_t size = DTypeSize(dtype);
    std::vector<std::byte> whole(kCount * size);
    std::vector<std::byte> parts(kCount * size);
    FillRandom(dtype, 9, 0, kCount, 0.1F, whole.data());
    FillRandom(dtype, 9, 2 * kRandomBlock, kCount - 2 * kRandomBlock, 0.1F,
               parts.data() + 2 * kRandomBlock * size);
    FillRandom(dtype, 9, 0, 2 * kRandomBlock, 0.1F, parts.data());
    EXPECT_EQ(whole, parts);
  }
}

TEST(FillRandom, NarrowTypesRoundTheSameValues) {
  std::vector<float> wide(1000);
  std::vector<uint16_t> narrow(1000);
  FillRandom(DType::kF32, 1, 0, 1000, 1.0F, reinterpret_cast<std::byte*>(wide.data()));
  FillRandom(DType::kBF16, 1, 0, 1000, 1.0F, reinterpret_cast<std::byte*>(narrow.data()));
  for (size_t i = 0; i < 1000; ++i) EXPECT_EQ(narrow[i], BF16FromF32(wide[i]));
  FillRandom(DType::kF16, 1, 0, 1000, 1.0F, reinterpret_cast<std::byte*>(narrow.data()));
  for (size_t i = 0; i < 1000; ++i) EXPECT_EQ(narrow[i], F16FromF32(wide[i]));
}

TEST(Synth, LoadsWhateverTheShards) {
  const testing::TemporaryFolder folder;
  const Config config = SynthConfig();
  SynthOptions options;
  options.dtype = DType::kF32;
  ASSERT_TRUE(Write(config, options, folder / "one"));
  options.shard_bytes = 5000;
  ASSERT_TRUE(Write(config, options, folder / "many", 1));
  const Model one = LoadModel(folder / "one").value();
  const Model many = LoadModel(folder / "many").value();
  EXPECT_EQ(one.checkpoint->total_bytes(), RandomModelBytes(config, DType::kF32));
  EXPECT_GT(std::distance(fs::directory_iterator(folder / "many"), fs::directory_iterator()), 5);
  for (const auto& [name, view] : one.checkpoint->tensors()) {
    const TensorView& other = many.checkpoint->tensors().at(name);
    EXPECT_EQ(std::memcmp(view.data, other.data, view.bytes()), 0) << name;
  }
  EXPECT_EQ(LoadFloat(DType::kF32, one.weights.output_norm.data, 3), 1.0F);
  EXPECT_TRUE(one.unused_ids.empty());
  EXPECT_EQ(one.config.layers, config.layers);
}

TEST(Synth, SeedsDiffer) {
  const testing::TemporaryFolder folder;
  SynthOptions options;
  for (const uint64_t seed : {0, 1, 0}) {
    options.seed = seed;
    options.force = true;
    ASSERT_TRUE(Write(SynthConfig(), options, folder / std::to_string(seed)));
  }
  EXPECT_NE(testing::ReadFileOrDie(folder / "0/model.safetensors"),
            testing::ReadFileOrDie(folder / "1/model.safetensors"));
}

TEST(Synth, KeepsWhatIsThere) {
  const testing::TemporaryFolder folder;
  ASSERT_TRUE(WriteFileAtomically(folder / "mine.txt", "kept"));
  ASSERT_TRUE(WriteFileAtomically(folder / "model-00001-of-00002.safetensors", "former"));
  const Status refused = Write(SynthConfig(), {}, folder.path());
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("not empty"), std::string::npos);
  EXPECT_EQ(testing::ReadFileOrDie(folder / "model-00001-of-00002.safetensors"), "former");
  SynthOptions options;
  options.force = true;
  ASSERT_TRUE(Write(SynthConfig(), options, folder.path()));
  EXPECT_EQ(testing::ReadFileOrDie(folder / "mine.txt"), "kept");
  EXPECT_FALSE(fs::exists(folder / "model-00001-of-00002.safetensors"));
  EXPECT_TRUE(LoadModel(folder.path()));
  EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()), 3);
}

TEST(Synth, FailuresLeaveNothing) {
  const testing::TemporaryFolder folder;
  ThreadPool pool(1);
  const Status cancelled =
      WriteRandomModel(SynthConfig(), {}, folder / "m", pool, [](size_t) { return false; });
  ASSERT_FALSE(cancelled);
  EXPECT_EQ(cancelled.error().code, ErrorCode::kCancelled);
  EXPECT_FALSE(fs::exists(folder / "m"));

  Config bad = SynthConfig();
  bad.kv_heads = 3;
  const Status contradiction = Write(bad, {}, folder / "m");
  ASSERT_FALSE(contradiction);
  EXPECT_NE(contradiction.error().message.find("num_key_value_heads 3"), std::string::npos);

  Config huge = SynthConfig();
  huge.layers = LayerPattern(10'000, 8);
  huge.hidden_size = huge.ffn_size = 1 << 19;
  const Status full = Write(huge, {}, folder / "m");
  ASSERT_FALSE(full);
  EXPECT_NE(full.error().message.find("the disk has"), std::string::npos);

  ASSERT_TRUE(WriteFileAtomically(folder / "file", "x"));
  EXPECT_FALSE(Write(SynthConfig(), {}, folder / "file"));
  EXPECT_FALSE(Write(SynthConfig(), {}, folder / "file/inside"));
  EXPECT_FALSE(fs::exists(folder / "m"));
}

TEST(Synth, PresetsHaveTheirGeometry) {
  const Config small = PresetConfig("small").value();
  EXPECT_EQ(small.layer_count(), 16);
  EXPECT_EQ(ParameterCount(small), 748'338'176);
  const Config slice = PresetConfig("text-01-slice").value();
  EXPECT_EQ(slice.layers, (std::vector{LayerKind::kLightning, LayerKind::kSoftmax}));
  EXPECT_EQ(slice.attention_size(), 8192);
  EXPECT_FALSE(PresetConfig("large"));
}

}  // namespace
}  // namespace fulmen
