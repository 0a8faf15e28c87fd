#include "model/weights.h"

#include <fmt/core.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>

#include "formats/safetensors.h"
#include "model/synth.h"
#include "tests/testing/golden.h"

namespace fulmen {
namespace {

namespace fs = std::filesystem;

Config TinyConfig() {
  Config config = PresetConfig("small").value();
  config.layers = {LayerKind::kLightning, LayerKind::kSoftmax};
  config.hidden_size = 8;
  config.heads = 2;
  config.kv_heads = 1;
  config.head_dim = 6;
  config.rotary_dim = 4;
  config.ffn_size = 10;
  config.experts = 3;
  config.vocab_size = 20;
  return config;
}

struct Stored {
  DType dtype;
  Shape shape;
  std::vector<std::byte> bytes;
};
using Tensors = std::map<std::string, Stored>;

// Tensors of a random model, to be changed and written again.
Tensors RandomTensors(const Config& config, DType dtype = DType::kF32) {
  const testing::TemporaryFolder folder;
  ThreadPool pool(1);
  SynthOptions options;
  options.dtype = dtype;
  EXPECT_TRUE(
      WriteRandomModel(config, options, folder.path() + "/m", pool, [](size_t) { return true; }));
  const Checkpoint checkpoint = Checkpoint::Open(folder / "m").value();
  Tensors tensors;
  for (const auto& [name, view] : checkpoint.tensors()) {
    tensors[name] = {view.dtype, view.shape, {view.data, view.data + view.bytes()}};
  }
  return tensors;
}

Result<Model> Load(const Json& config, const Tensors& tensors) {
  const testing::TemporaryFolder folder;
  EXPECT_TRUE(WriteFileAtomically(folder / "config.json", config.dump()));
  std::vector<SafetensorsWriter::Declaration> declarations;
  for (const auto& [name, stored] : tensors) {
    declarations.push_back({name, stored.dtype, stored.shape});
  }
  SafetensorsWriter writer =
      SafetensorsWriter::Create(folder / "model.safetensors", declarations).value();
  for (const auto& [name, stored] : tensors) EXPECT_TRUE(writer.Write(stored.bytes));
  EXPECT_TRUE(writer.Finish());
  return LoadModel(folder.path());  // the mapping outlives the name
}

Result<Model> Load(const Config& config, const Tensors& tensors) {
  return Load(ConfigToJson(config, "float32"), tensors);
}

std::string ProblemOf(const Config& config, const Tensors& tensors) {
  const Result<Model> model = Load(config, tensors);
  return model ? "" : model.error().message;
}

void ExpectSame(const WeightMatrix& a, const WeightMatrix& b) {
  ASSERT_EQ(Describe(a), Describe(b));
  EXPECT_EQ(std::memcmp(a.data, b.data, a.bytes()), 0);
}

TEST(LoadModel, BindsEveryTensor) {
  const Config config = TinyConfig();
  const Tensors tensors = RandomTensors(config);
  const Model model = Load(config, tensors).value();
  const Weights& weights = model.weights;
  EXPECT_EQ(Describe(weights.token_embedding), "F32 [20, 8]");
  EXPECT_EQ(Describe(weights.head), "F32 [20, 8]");
  EXPECT_EQ(Describe(weights.output_norm), "F32 [1, 8]");
  ASSERT_EQ(weights.layers.size(), 2U);
  EXPECT_EQ(Describe(weights.layers[0].qkv), "F32 [36, 8]");
  EXPECT_EQ(weights.decay[0].size(), 2U);
  EXPECT_TRUE(weights.layers[0].query.empty());
  EXPECT_EQ(Describe(weights.layers[1].key), "F32 [6, 8]");
  EXPECT_TRUE(weights.layers[1].qkv.empty());
  EXPECT_TRUE(weights.decay[1].empty());
  ASSERT_EQ(weights.layers[1].experts.size(), 3U);
  const Stored& down = tensors.at("model.layers.1.block_sparse_moe.experts.2.w2.weight");
  EXPECT_EQ(Describe(weights.layers[1].experts[2].down), "F32 [8, 10]");
  EXPECT_EQ(
      std::memcmp(weights.layers[1].experts[2].down.data, down.bytes.data(), down.bytes.size()), 0);
  EXPECT_EQ(weights.inverse_frequencies.size(), 2U);
}

// Moves the experts of `tensors` into the native scheme's stacks.
Tensors Stacked(const Config& config, Tensors tensors) {
  for (int64_t layer = 0; layer < config.layer_count(); ++layer) {
    const std::string original = fmt::format("model.layers.{}.block_sparse_moe.", layer);
    const std::string native = fmt::format("model.layers.{}.mlp.", layer);
    Stored gate_up{DType::kF32, {config.experts, 2 * config.ffn_size, config.hidden_size}, {}};
    Stored down{DType::kF32, {config.experts, config.hidden_size, config.ffn_size}, {}};
    for (int64_t expert = 0; expert < config.experts; ++expert) {
      const std::string prefix = original + fmt::format("experts.{}.", expert);
      for (const char* part : {"w1", "w3", "w2"}) {
        const auto node = tensors.extract(prefix + part + ".weight");
        auto& stack = std::string(part) == "w2" ? down.bytes : gate_up.bytes;
        stack.insert(stack.end(), node.mapped().bytes.begin(), node.mapped().bytes.end());
      }
    }
    tensors[native + "experts.gate_up_proj"] = std::move(gate_up);
    tensors[native + "experts.down_proj"] = std::move(down);
    auto router = tensors.extract(original + "gate.weight");
    router.key() = native + "gate.weight";
    tensors.insert(std::move(router));
  }
  return tensors;
}

TEST(LoadModel, NativeNamesGiveTheSameWeights) {
  const Config config = TinyConfig();
  const Tensors original = RandomTensors(config);
  const Tensors native = Stacked(config, original);
  const Model a = Load(config, original).value();
  const Model b = Load(config, native).value();
  for (size_t layer = 0; layer < 2; ++layer) {
    ExpectSame(a.weights.layers[layer].router, b.weights.layers[layer].router);
    for (size_t expert = 0; expert < 3; ++expert) {
      const ExpertWeights& left = a.weights.layers[layer].experts[expert];
      const ExpertWeights& right = b.weights.layers[layer].experts[expert];
      ExpectSame(left.gate, right.gate);
      ExpectSame(left.up, right.up);
      ExpectSame(left.down, right.down);
    }
  }
  Tensors both = original;
  both["model.layers.0.mlp.gate.weight"] = native.at("model.layers.0.mlp.gate.weight");
  EXPECT_NE(ProblemOf(config, both).find("calls for no tensor \"model.layers.0.mlp.gate.weight\""),
            std::string::npos);
}

TEST(LoadModel, RefusesWhatContradictsTheConfig) {
  const Config config = TinyConfig();
  const Tensors tensors = RandomTensors(config);
  const auto problem = [&](const std::function<void(Tensors&)>& change) {
    Tensors changed = tensors;
    change(changed);
    return ProblemOf(config, changed);
  };
  const auto expect = [](const std::string& text, const std::string& part) {
    EXPECT_NE(text.find(part), std::string::npos) << text;
  };
  const std::string query = "model.layers.1.self_attn.q_proj.weight";
  expect(problem([&](Tensors& t) { t.erase(query); }),
         "tensor \"" + query + "\" [12, 8] is missing");
  expect(problem([&](Tensors& t) { t.erase("model.layers.0.block_sparse_moe.gate.weight"); }),
         "(and so is \"model.layers.0.mlp.gate.weight\" [3, 8])");
  expect(problem([&](Tensors& t) {
           t.at(query).shape = {8, 12};
         }),
         "has shape [8, 12], the config calls for [12, 8]");
  expect(problem([&](Tensors& t) { t.at(query).dtype = DType::kI32; }),
         "\"" + query + "\" has type I32, weights may be F32, F16 or BF16");
  const Stored small{DType::kF32, {1}, std::vector<std::byte>(4)};
  expect(problem([&](Tensors& t) { t["model.layers.2.input_layernorm.weight"] = small; }),
         "the config calls for no tensor \"model.layers.2.input_layernorm.weight\"");
  expect(problem([&](Tensors& t) { t["vision_tower.patch.weight"] = small; }),
         "belongs to a model with images, but the config describes one of text");
  EXPECT_EQ(problem([&](Tensors& t) {
              t["model.layers.1.self_attn.rotary_emb.inv_freq"] = small;
              t["model.layers.0.self_attn.key_decay"] = small;
            }),
            "");
}

// `values` as a tensor of the type.
Stored Slopes(DType dtype, const std::vector<double>& values) {
  Stored stored{dtype, {static_cast<int64_t>(values.size()), 1, 1}, {}};
  const auto append = [&stored](auto bits) {
    const auto bytes = std::as_bytes(std::span(&bits, 1));
    stored.bytes.insert(stored.bytes.end(), bytes.begin(), bytes.end());
  };
  for (const double value : values) {
    const auto f = static_cast<float>(value);
    if (dtype == DType::kF32) append(f);
    if (dtype == DType::kF16) append(F16FromF32(f));
    if (dtype == DType::kBF16) append(BF16FromF32(f));
  }
  return stored;
}

TEST(LoadModel, ChecksStoredSlopes) {
  Config config = TinyConfig();
  config.heads = 3;
  config.layers.assign(4, LayerKind::kLightning);
  const Tensors tensors = RandomTensors(config);
  Config native = config;
  native.native = true;
  native.architecture = "MiniMaxForCausalLM";
  const auto problem = [&](const Config& changed, int layer, const Stored& slopes) {
    Tensors with = tensors;
    with[fmt::format("model.layers.{}.self_attn.slope_rate", layer)] = slopes;
    return ProblemOf(changed, with);
  };
  // As Transformers computes them: the epsilon also in the denominator.
  const auto rule = [](int layer) {
    std::vector<double> slopes;
    for (int h = 0; h < 3; ++h) {
      slopes.push_back(std::exp2(-8.0 * (h + 1) / 3) * (1 - layer / (3 + 1e-5) + 1e-5));
    }
    return slopes;
  };
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    for (int layer = 0; layer < 4; ++layer) {
      EXPECT_EQ(problem(native, layer, Slopes(dtype, rule(layer))), "") << DTypeName(dtype);
    }
  }
  const auto expect = [](const std::string& text, const std::string& part) {
    EXPECT_NE(text.find(part), std::string::npos) << text;
  };
  // Three heads in the original scheme: 1/16, 1/256, 1/4.
  expect(problem(config, 0, Slopes(DType::kF32, rule(0))),
         "tensor \"model.layers.0.self_attn.slope_rate\" gives head 0 the slope 0.157492, the "
         "rule of MiniMaxText01ForCausalLM 0.0625006");
  expect(problem(native, 1, Slopes(DType::kBF16, {1.0 / 16, 1.0 / 256, 1.0 / 4})),
         "model.layers.1.self_attn.slope_rate\" gives head 0 the slope 0.0625");
  std::vector<double> odd = rule(2);
  odd[2] *= 1.01;
  expect(problem(native, 2, Slopes(DType::kF32, odd)), "gives head 2 the slope");
  odd[2] = std::nan("");
  expect(problem(native, 2, Slopes(DType::kF32, odd)), "gives head 2 the slope nan");
  expect(problem(native, 0, Slopes(DType::kF32, {0.5, 0.25})),
         "should hold 3 slopes, found F32 [2, 1, 1]");
}

TEST(LoadModel, TypesMayBeMixed) {
  const Config config = TinyConfig();
  Tensors tensors = RandomTensors(config);
  const Tensors narrow = RandomTensors(config, DType::kBF16);
  const std::string name = "model.layers.0.self_attn.qkv_proj.weight";
  tensors[name] = narrow.at(name);
  const Model model = Load(config, tensors).value();
  EXPECT_EQ(model.weights.layers[0].qkv.type, DType::kBF16);
  EXPECT_EQ(model.weights.layers[0].output_gate.type, DType::kF32);
}

TEST(LoadModel, TiedHead) {
  Config config = TinyConfig();
  Tensors tensors = RandomTensors(config);
  config.tied_embeddings = true;  // a head stored nevertheless is ignored
  for (int round = 0; round < 2; ++round) {
    const Model model = Load(config, tensors).value();
    EXPECT_EQ(model.weights.head.data, model.weights.token_embedding.data);
    tensors.erase("lm_head.weight");
  }
  config.tied_embeddings = false;
  EXPECT_NE(ProblemOf(config, tensors).find("tensor \"lm_head.weight\" [20, 8] is missing"),
            std::string::npos);
}

TEST(LoadModel, FindsUnusedIds) {
  const Config config = TinyConfig();
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    Tensors tensors = RandomTensors(config, dtype);
    std::vector<std::byte>& table = tensors.at("model.embed_tokens.weight").bytes;
    const size_t row = 8 * DTypeSize(dtype);
    for (const size_t id : {0, 7, 19}) std::fill_n(table.begin() + id * row, row, std::byte{0});
    table[7 * row + row - 1] = std::byte{0x80};  // -0 is zero
    table[19 * row + row - 2] = std::byte{1};    // the last element is not
    const Model model = Load(config, tensors).value();
    EXPECT_EQ(model.unused_ids, (std::vector<int32_t>{0, 7})) << DTypeName(dtype);
  }
}

TEST(LoadModel, SuppressesWhatTheGenerationConfigSays) {
  const testing::TemporaryFolder folder;
  testing::CopyGoldenModel("text/hybrid-bf16", folder.path());
  const std::vector<int32_t> before = LoadModel(folder.path())->unused_ids;
  ASSERT_TRUE(
      WriteFileAtomically(folder / "generation_config.json", R"({"suppress_tokens": [9, 3, 9]})"));
  std::vector<int32_t> expected = {3, 9};
  expected.insert(expected.end(), before.begin(), before.end());
  EXPECT_EQ(LoadModel(folder.path())->unused_ids, expected);
}

TEST(LoadModel, SaysWhatIsNoModel) {
  const testing::TemporaryFolder folder;
  EXPECT_NE(LoadModel(folder / "none").error().message.find("expected a model folder"),
            std::string::npos);
  EXPECT_NE(LoadModel(folder.path()).error().message.find("it has no config.json"),
            std::string::npos);
  ASSERT_TRUE(WriteFileAtomically(folder / "config.json", "{\"a\": "));
  EXPECT_NE(LoadModel(folder.path()).error().message.find("config.json: not valid JSON at byte"),
            std::string::npos);
  EXPECT_NE(LoadModel(folder / "config.json").error().message.find("found a file"),
            std::string::npos);
  ASSERT_TRUE(WriteFileAtomically(folder / "model.gguf", "GGUF\x03"));
  EXPECT_NE(LoadModel(folder / "model.gguf").error().message.find("(torn file?)"),
            std::string::npos);
  ASSERT_EQ(mkfifo((folder / "fifo").c_str(), 0600), 0);  // must not be waited for
  EXPECT_NE(LoadModel(folder / "fifo").error().message.find("found a FIFO"), std::string::npos);
  fs::create_symlink("loop", folder / "loop");  // cannot be looked at, by root either
  EXPECT_NE(LoadModel(folder / "loop").error().message.find("Too many levels of symbolic links"),
            std::string::npos);
  fs::remove(folder / "config.json");
  fs::create_symlink("config.json", folder / "config.json");
  EXPECT_EQ(LoadModel(folder.path()).error().message,
            (folder / "config.json") + ": Too many levels of symbolic links");
  fs::remove(folder / "config.json");
  fs::create_directory(folder / "config.json");
  EXPECT_EQ(LoadModel(folder.path()).error().message,
            (folder / "config.json") + ": expected a file, found a folder");
}

TEST(LoadModel, ReadsTheGenerationConfig) {
  const Config config = TinyConfig();
  const testing::TemporaryFolder folder;
  ThreadPool pool(1);
  ASSERT_TRUE(WriteRandomModel(config, {}, folder / "m", pool, [](size_t) { return true; }));
  EXPECT_TRUE(LoadModel(folder / "m")->generation.eos_ids.empty());
  const std::string path = folder / "m/generation_config.json";
  ASSERT_TRUE(WriteFileAtomically(path, R"({"eos_token_id": [3, 4], "temperature": 0.7})"));
  const Model model = LoadModel(folder / "m").value();
  EXPECT_EQ(model.generation.eos_ids, (std::vector<int32_t>{3, 4}));
  EXPECT_EQ(model.generation.temperature, 0.7);
  ASSERT_TRUE(WriteFileAtomically(path, R"({"eos_token_id": 20})"));
  EXPECT_EQ(LoadModel(folder / "m").error().message,
            path + ": eos_token_id should be a token below vocab_size 20, found 20");
  ASSERT_TRUE(WriteFileAtomically(path, "{"));
  EXPECT_EQ(LoadModel(folder / "m").error().message, path + ": not valid JSON at byte 2");
}

TEST(LoadModel, TornFilesAreRefused) {
  const Config config = TinyConfig();
  const testing::TemporaryFolder folder;
  ThreadPool pool(1);
  ASSERT_TRUE(WriteRandomModel(config, {}, folder / "m", pool, [](size_t) { return true; }));
  const std::string file = folder / "m/model.safetensors";
  const auto whole = static_cast<size_t>(fs::file_size(file));
  for (size_t size = whole; size-- > 0;) {
    fs::resize_file(file, size);
    const Result<Model> model = LoadModel(folder / "m");
    ASSERT_FALSE(model) << size;
    EXPECT_EQ(model.error().message.find(file + ": "), 0U) << model.error().message;
  }
}

TEST(LoadModel, LoadsEveryGolden) {
  int loaded = 0;
  for (const char* name : {"text/hybrid", "text/hybrid-bf16", "text/hybrid-f16",
                           "text/hybrid-native", "text/hybrid-native-factor", "text/irregular",
                           "text/linear", "text/m1", "text/native", "text/softmax", "story"}) {
    const std::string folder = testing::GoldenFolder(name);
    if (folder.empty()) continue;  // not in the compact set
    const Result<Model> model = LoadModel(folder);
    EXPECT_TRUE(model) << model.error().message;
    ++loaded;
  }
  EXPECT_GE(loaded, 2);
  const std::string source = testing::GoldenFolder("gguf/source");
  if (source.empty()) return;
  EXPECT_EQ(LoadModel(source).value().unused_ids, (std::vector<int32_t>{510, 511}));
}

}  // namespace
}  // namespace fulmen
