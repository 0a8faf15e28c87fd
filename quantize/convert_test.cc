#include "quantize/convert.h"

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <filesystem>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include "base/file_io.h"
#include "formats/testing/gguf_builder.h"
#include "quantize/encode.h"
#include "quantize/gguf_metadata.h"
#include "quantize/testing/mixes.h"
#include "tests/testing/compare.h"
#include "tests/testing/golden.h"

namespace fulmen {
namespace {

using testing::KeepGoing;
using testing::MixOf;

std::string TemporaryPath() { return ::testing::TempDir() + "converted.gguf"; }

// A model of random weights in memory.
struct RandomModel {
  std::vector<std::vector<float>> values;
  Model model;

  RandomModel() {
    Config& config = model.config;
    config.vocab_size = 40;
    config.hidden_size = 256;
    config.ffn_size = 96;
    config.heads = 4;
    config.kv_heads = 2;
    config.head_dim = 32;
    config.rotary_dim = 16;
    config.experts = 3;
    config.experts_per_token = 2;
    config.layers = {LayerKind::kLightning, LayerKind::kSoftmax};
    std::vector<WeightMatrix> matrices;
    for (const TensorInstance& tensor : ExpectedTensors(config)) {
      values.push_back(testing::RandomNormal(ElementCount(tensor.shape), values.size() + 1, 0.05F));
      matrices.push_back(AsWeight({.data = reinterpret_cast<const std::byte*>(values.back().data()),
                                   .dtype = DType::kF32,
                                   .shape = tensor.shape}));
    }
    model.weights = ArrangeWeights(config, matrices);
  }
};

GgufFile FileOf(const Model& model, const Mix& mix) {
  return {TemporaryPath(), ModelMetadata(model, mix, "random").value(),
          TextFileTensors(model.config, mix)};
}

std::string Converted(const Model& model, const Mix& mix, int threads,
                      const ImportanceMatrix& importance = {}) {
  const std::string path = TemporaryPath();
  ThreadPool pool(threads);
  EXPECT_TRUE(WriteGguf(model, std::array{FileOf(model, mix)}, importance, pool, KeepGoing));
  std::string file = ReadFile(path).value();
  std::filesystem::remove(path);
  return file;
}

// What the tensors' part of the file should be.
std::string ExpectedData(const Model& model, const Mix& mix,
                         const ImportanceMatrix& importance = {}) {
  std::string data;
  std::set<std::string> seen;
  ForEachTensor(model.config, [&](const TensorRow& row, int64_t layer, int64_t expert) {
    const std::string name = TensorName(row.gguf.name, layer, expert);
    if (seen.insert(name).second) data.append((32 - data.size() % 32) % 32, '\0');
    const WeightMatrix& weight = TensorAt<WeightMatrix>(model.weights, row, layer, expert);
    const DType type = TypeInMix(mix, model.config, row, layer);
    const std::vector<float> values = Dequantize(weight);
    std::string bytes(BytesOf(type, weight.rows * weight.cols), '\0');
    const int64_t matrices = row.per_expert() ? model.config.experts : 1;
    QuantizeRows(type, values.data(), weight.rows, weight.cols,
                 ImportanceOf(importance, name, std::max<int64_t>(0, expert), matrices),
                 reinterpret_cast<std::byte*>(bytes.data()));
    data += bytes;
  });
  data.append((32 - data.size() % 32) % 32, '\0');
  return data;
}

TEST(WriteGguf, HoldsEveryTensorInItsType) {
  const RandomModel random;
  for (const char* name : {"F32", "BF16", "Q8_0", "Q4_K_M", "Q2_K", "attn8-expert4"}) {
    SCOPED_TRACE(name);
    const std::string file = Converted(random.model, MixOf(name), 3);
    const std::string data = ExpectedData(random.model, MixOf(name));
    EXPECT_LE(BytesOfTensors(std::array{FileOf(random.model, MixOf(name))}), data.size());
    ASSERT_GT(file.size(), data.size());
    EXPECT_EQ((file.size() - data.size()) % 32, 0U);
    EXPECT_EQ(file.substr(0, 4), "GGUF");
    EXPECT_TRUE(file.ends_with(data));
    EXPECT_EQ(file, Converted(random.model, MixOf(name), 1));
  }
}

// Every expert has columns of its own, and one that no token reached counts all alike.
TEST(WriteGguf, WeighsColumnsByTheirImportance) {
  const RandomModel random;
  ImportanceMatrix importance;
  ImportanceEntry& down = importance.entries["blk.1.ffn_down_exps.weight"];
  down.counts = {5, 0, 9};
  for (const float value : testing::RandomNormal(3 * 96, 1)) down.sums.push_back(value * value);
  ASSERT_TRUE(CheckImportance(importance, random.model));
  const Mix& mix = MixOf("Q4_0");
  const std::string weighted = Converted(random.model, mix, 2, importance);
  EXPECT_TRUE(weighted.ends_with(ExpectedData(random.model, mix, importance)));
  EXPECT_NE(weighted, Converted(random.model, mix, 2));
}

TEST(WriteGguf, StacksExperts) {
  const RandomModel random;
  const auto tensors = TextFileTensors(random.model.config, MixOf("Q8_0"));
  const auto found = std::find_if(tensors.begin(), tensors.end(), [](const auto& tensor) {
    return tensor.declaration.name == "blk.1.ffn_down_exps.weight";
  });
  ASSERT_NE(found, tensors.end());
  EXPECT_EQ(found->declaration.shape, (Shape{3, 256, 96}));
  EXPECT_EQ(found->declaration.dtype, DType::kQ8_0);
}

TEST(WriteGguf, RefusesWhatIsNotFinite) {
  RandomModel random;
  ThreadPool pool(2);
  for (const float value :
       {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
    random.values.back()[77] = value;
    const std::array files = {FileOf(random.model, MixOf("Q4_0"))};
    const Status status = WriteGguf(random.model, files, {}, pool, KeepGoing);
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().message, "tensor \"output.weight\" holds a weight that is not finite");
    EXPECT_FALSE(std::filesystem::exists(TemporaryPath()));
  }
}

TEST(WriteGguf, LeavesNothingWhenStopped) {
  const RandomModel random;
  ThreadPool pool(2);
  int pieces = 0;
  const Status status = WriteGguf(random.model, std::array{FileOf(random.model, MixOf("Q4_0"))}, {},
                                  pool, [&](size_t) { return ++pieces < 4; });
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kCancelled);
  EXPECT_FALSE(std::filesystem::exists(TemporaryPath()));
}

const GgufMetadataValue* Find(const GgufMetadata& metadata, std::string_view key) {
  for (const auto& [name, value] : metadata) {
    if (name == key) return &value;
  }
  return nullptr;
}

TEST(ModelMetadata, SaysWhichLayersAreLightning) {
  RandomModel random;
  Config& config = random.model.config;
  const auto interval = [&] {
    const GgufMetadata metadata = ModelMetadata(random.model, MixOf("F16"), "x").value();
    const auto* value = Find(metadata, "minimax-01.full_attention_interval");
    EXPECT_NE(value == nullptr, Find(metadata, "minimax-01.attention.recurrent_layers") == nullptr);
    return value == nullptr ? 0 : std::get<uint32_t>(*value);
  };
  EXPECT_EQ(interval(), 2U);
  config.layers = {LayerKind::kSoftmax, LayerKind::kSoftmax};
  EXPECT_EQ(interval(), 1U);
  config.layers = {LayerKind::kLightning, LayerKind::kLightning};
  EXPECT_EQ(interval(), 3U);
  config.layers = {LayerKind::kSoftmax, LayerKind::kLightning};
  EXPECT_EQ(interval(), 0U);
  const GgufMetadata metadata = ModelMetadata(random.model, MixOf("F16"), "x").value();
  EXPECT_EQ(
      std::get<std::vector<int32_t>>(*Find(metadata, "minimax-01.attention.recurrent_layers")),
      (std::vector<int32_t>{0, 1}));
}

TEST(ModelMetadata, RefusesWhatHasNoKey) {
  RandomModel random;
  Config& config = random.model.config;
  config.softmax_residual.beta = 0.5F;
  auto refused = ModelMetadata(random.model, MixOf("F16"), "x");
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("one key for all residual weights"), std::string::npos);
  config.softmax_residual.beta = 1;
  config.post_norm = false;
  refused = ModelMetadata(random.model, MixOf("F16"), "x");
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("residuals before the norm"), std::string::npos);
}

TEST(PlanGguf, SaysWhatLlamaCppWrites) {
  const std::string source = testing::GoldenFolder("gguf/source");
  if (source.empty()) GTEST_SKIP() << "no golden GGUF files";
  const ModelFiles files = ModelFiles::Open(source).value();
  const Model model = LoadModel(files).value();
  const auto planned = PlanGguf(files, model, {MixOf("Q4_K_M")}, TemporaryPath()).value();
  ASSERT_EQ(planned.size(), 1U);
  const GgufMetadata& metadata = planned.front().metadata;
  const auto number = [&](const char* key) { return std::get<uint32_t>(*Find(metadata, key)); };
  EXPECT_EQ(std::get<std::string>(*Find(metadata, "general.name")), "source");
  EXPECT_EQ(std::get<std::string>(*Find(metadata, "general.size_label")), "4x1.7M");
  EXPECT_EQ(number("general.file_type"), 15U);
  EXPECT_EQ(number("minimax-01.full_attention_interval"), 3U);
  EXPECT_EQ(number("minimax-01.rope.dimension_count"), 32U);
  EXPECT_EQ(number("tokenizer.ggml.bos_token_id"), 497U);
  EXPECT_EQ(number("tokenizer.ggml.eos_token_id"), 498U);
  EXPECT_EQ(std::get<std::vector<int32_t>>(*Find(metadata, "tokenizer.ggml.suppress_tokens")),
            (std::vector<int32_t>{510, 511}));
  const auto& tokens = std::get<std::vector<std::string>>(*Find(metadata, "tokenizer.ggml.tokens"));
  const auto& kinds = std::get<std::vector<int32_t>>(*Find(metadata, "tokenizer.ggml.token_type"));
  ASSERT_EQ(tokens.size(), 512U);
  ASSERT_EQ(kinds.size(), 512U);
  EXPECT_EQ(tokens[0], "!");
  EXPECT_EQ(tokens[498], "<end_of_sentence>");
  EXPECT_EQ(kinds[0], 1);
  EXPECT_EQ(kinds[498], 3);
  const auto& merges = std::get<std::vector<std::string>>(*Find(metadata, "tokenizer.ggml.merges"));
  EXPECT_EQ(merges.size(), 240U);
  EXPECT_EQ(merges[0], "Ġ Ġ");
}

// A GGUF file made of another says all the other does.
TEST(PlanGguf, KeepsWhatAGgufFileSays) {
  const std::string path = testing::GoldenFolder("gguf/wide") + "/wide-q8_0.gguf";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "no golden GGUF files";
  const ModelFiles files = ModelFiles::Open(path).value();
  const Model model = LoadModel(files).value();
  const auto planned = PlanGguf(files, model, {MixOf("Q4_0")}, TemporaryPath()).value();
  ThreadPool pool(2);
  ASSERT_TRUE(WriteGguf(model, planned, {}, pool, KeepGoing));
  const ModelFiles written = ModelFiles::Open(TemporaryPath()).value();
  for (const auto& [key, value] : files.gguf()->header().metadata) {
    SCOPED_TRACE(key);
    const GgufValue* kept = written.gguf()->header().Find(key);
    ASSERT_NE(kept, nullptr);
    EXPECT_EQ(kept->ToJson(), key == "general.file_type" ? Json(2) : value.ToJson());
  }
  EXPECT_EQ(written.gguf()->header().metadata.size(), files.gguf()->header().metadata.size());
  std::filesystem::remove(TemporaryPath());
}

TEST(MetadataFromGguf, LeavesOutHowTheTensorsWereStored) {
  const std::string file = testing::GgufBuilder()
                               .Text("general.name", "x")
                               .Number("general.alignment", uint32_t{64})
                               .Number("split.count", uint32_t{2})
                               .Number("quantize.imatrix.chunks_count", uint32_t{2})
                               .Number("general.file_type", uint32_t{7})
                               .Text("somebody.else", "y")
                               .File();
  const GgufHeader header =
      ParseGguf(std::as_bytes(std::span(file.data(), file.size())), "file").value();
  std::vector<std::string> keys;
  for (const auto& [key, value] : MetadataFromGguf(header, MixOf("Q8_0"))) keys.push_back(key);
  EXPECT_EQ(keys, (std::vector<std::string>{"general.name", "somebody.else",
                                            "general.quantization_version", "general.file_type"}));
}

}  // namespace
}  // namespace fulmen
