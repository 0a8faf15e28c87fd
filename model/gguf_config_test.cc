#include "model/gguf_config.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "model/testing/tiny_gguf.h"
#include "model/weights.h"
#include "tests/testing/golden.h"

namespace fulmen {
namespace {

using testing::kGgmlI16;
using testing::kGgmlQ80;
using testing::TinyGguf;
using Edit = std::function<void(TinyGguf&)>;

Result<Model> Load(const Edit& edit) {
  const testing::TemporaryFolder folder;
  TinyGguf file;
  edit(file);
  file.Write(folder / "m.gguf");
  return LoadModel(folder / "m.gguf");  // the mapping outlives the name
}

// Without the file's name; "" when the model is accepted.
std::string ProblemWith(const Edit& edit) {
  const Result<Model> model = Load(edit);
  if (model) return "";
  const std::string& message = model.error().message;
  const size_t at = message.find("m.gguf: ");
  EXPECT_NE(at, std::string::npos) << message;
  return message.substr(at + 8);
}

std::string ProblemWithout(const std::string& key) {
  return ProblemWith([&](TinyGguf& file) {
    file.metadata.erase(key);
    file.tensors.erase(key);
  });
}

std::string ProblemWithNumber(const std::string& key, uint32_t value) {
  return ProblemWith([&](TinyGguf& file) { file.Number("minimax-01." + key, value); });
}

TEST(GgufConfig, ReadsTheGeometry) {
  const Model model = Load([](TinyGguf& file) {
                        file.Number("tokenizer.ggml.eos_token_id", 7U);
                        file.Number("tokenizer.ggml.eot_token_id", 9U);
                        file.Number("tokenizer.ggml.eom_token_id", 7U);
                      }).value();
  const Config& config = model.config;
  EXPECT_EQ(config.architecture, "minimax-01");
  EXPECT_FALSE(config.native);
  EXPECT_EQ(config.vocab_size, 20);
  EXPECT_EQ(config.hidden_size, 32);
  EXPECT_EQ(config.ffn_size, 96);
  EXPECT_EQ(config.heads, 4);
  EXPECT_EQ(config.kv_heads, 2);
  EXPECT_EQ(config.head_dim, 16);
  EXPECT_EQ(config.rotary_dim, 8);
  EXPECT_EQ(config.rope_base, 10000);
  EXPECT_EQ(config.experts, 3);
  EXPECT_EQ(config.experts_per_token, 2);
  EXPECT_EQ(config.max_position, 64);
  EXPECT_EQ(config.rms_norm_epsilon, 1e-6F);
  EXPECT_TRUE(config.post_norm);
  EXPECT_FALSE(config.tied_embeddings);
  EXPECT_EQ(config.layers, (std::vector{LayerKind::kLightning, LayerKind::kSoftmax}));
  for (const ResidualScale& scale :
       {config.lightning_residual, config.softmax_residual, config.mlp_residual}) {
    EXPECT_EQ(scale.alpha, 3.5F);
    EXPECT_EQ(scale.beta, 1.0F);
  }
  EXPECT_EQ(config.eos_ids, (std::vector<int32_t>{7, 9}));
  EXPECT_TRUE(model.unused_ids.empty());
}

TEST(GgufConfig, Defaults) {
  const Config config =
      Load([](TinyGguf& file) {
        for (const char* key :
             {"minimax-01.rope.dimension_count", "minimax-01.residual_scale",
              "minimax-01.attention.layer_norm_rms_epsilon", "minimax-01.attention.value_length"}) {
          file.metadata.erase(key);
        }
        file.tensors.erase("output.weight");
      })
          .value()
          .config;
  EXPECT_EQ(config.rotary_dim, 16);
  EXPECT_EQ(config.rms_norm_epsilon, 1e-5F);
  EXPECT_EQ(config.mlp_residual.alpha, 1.0F);
  EXPECT_TRUE(config.tied_embeddings);
  EXPECT_TRUE(config.eos_ids.empty());
}

TEST(GgufConfig, NamesAnotherArchitecture) {
  EXPECT_EQ(ProblemWith([](TinyGguf& file) { file.Text("general.architecture", "llama"); }),
            "general.architecture is \"llama\", models of minimax-01 are supported");
  EXPECT_EQ(ProblemWithout("general.architecture"),
            "general.architecture is \"\", models of minimax-01 are supported");
}

TEST(GgufConfig, RefusesWhatParseConfigRefuses) {
  EXPECT_EQ(ProblemWithNumber("embedding_length", 0),
            "minimax-01.embedding_length should be a whole number from 1 to 524288, found 0");
  EXPECT_EQ(ProblemWithNumber("block_count", UINT32_MAX),
            "minimax-01.block_count should be a whole number from 1 to 16384, found 4294967295");
  EXPECT_EQ(ProblemWithout("minimax-01.context_length"),
            "minimax-01.context_length is missing, expected a whole number from 1 to 2147483647");
  EXPECT_EQ(ProblemWithout("minimax-01.rope.freq_base"), "minimax-01.rope.freq_base is missing");
  EXPECT_EQ(ProblemWithNumber("attention.head_count_kv", 3),
            "minimax-01.attention.head_count 4 should be a multiple of "
            "minimax-01.attention.head_count_kv 3");
  EXPECT_EQ(ProblemWithNumber("expert_used_count", 4),
            "minimax-01.expert_used_count 4 should be at most minimax-01.expert_count 3");
  EXPECT_EQ(ProblemWithNumber("rope.dimension_count", 7),
            "minimax-01.rope.dimension_count should be even and from 2 to the head dimension 16, "
            "found 7");
  EXPECT_EQ(ProblemWith([](TinyGguf& file) { file.Number("minimax-01.residual_scale", 1e9F); }),
            "minimax-01.residual_scale should be a number from -1e+06 to 1e+06, found "
            "1000000000.0");
  EXPECT_EQ(ProblemWith([](TinyGguf& file) {
              file.Numbers("minimax-01.attention.head_count", {4, 4});
            }),
            "minimax-01.attention.head_count should be a whole number from 1 to 16384, found \"an "
            "array of 2 values\"");
  EXPECT_EQ(ProblemWith([](TinyGguf& file) { file.Number("tokenizer.ggml.eos_token_id", 20U); }),
            "tokenizer.ggml.eos_token_id should be a token below vocab_size 20, found 20");
}

TEST(GgufConfig, RefusesFeaturesOfOtherModels) {
  EXPECT_EQ(ProblemWithNumber("attention.value_length", 8),
            "minimax-01.attention.value_length should be the same as "
            "minimax-01.attention.key_length, 16, found 8");
  EXPECT_EQ(ProblemWithNumber("expert_shared_count", 1),
            "minimax-01.expert_shared_count is not supported, found 1");
  EXPECT_EQ(ProblemWithNumber("expert_shared_count", 0), "");
  EXPECT_EQ(ProblemWithNumber("expert_gating_func", 2),
            "minimax-01.expert_gating_func should be 1 (softmax), found 2");
  EXPECT_EQ(ProblemWith([](TinyGguf& file) { file.Text("minimax-01.rope.scaling.type", "yarn"); }),
            "minimax-01.rope.scaling.type should be \"none\", found \"yarn\"");
}

TEST(GgufConfig, TensorsHaveToBeThere) {
  EXPECT_EQ(ProblemWithout("token_embd.weight"), "tensor \"token_embd.weight\" is missing");
  EXPECT_EQ(ProblemWithout("blk.1.attn_q.weight"),
            "tensor \"blk.1.attn_qkv.weight\" is missing (and so is \"blk.1.attn_q.weight\")");
  EXPECT_EQ(ProblemWithout("blk.0.ffn_up_exps.weight"),
            "tensor \"blk.0.ffn_up_exps.weight\" [3, 96, 32] is missing");
  EXPECT_EQ(ProblemWith([](TinyGguf& file) {
              file.tensors["blk.0.attn_q.weight"] = {{32, 64}};
            }),
            "the config calls for no tensor \"blk.0.attn_q.weight\" (it describes 2 layers of 3 "
            "experts)");
  EXPECT_EQ(ProblemWith([](TinyGguf& file) {
              file.tensors["blk.1.ffn_up_exps.weight"] = {{32, 96, 2}};
            }),
            "tensor \"blk.1.ffn_up_exps.weight\" has shape [2, 96, 32], the config calls for [3, "
            "96, 32]");
}

// Layer 0 is lightning, layer 1 softmax.
TEST(GgufConfig, MetadataMayNotContradictTheLayers) {
  const std::string interval = "minimax-01.full_attention_interval";
  EXPECT_EQ(ProblemWithNumber("full_attention_interval", 2), "");
  EXPECT_EQ(
      ProblemWithNumber("full_attention_interval", 8),
      interval + " is 8, by which layer 1 is lightning, but its tensors are those of softmax");
  EXPECT_EQ(
      ProblemWithNumber("full_attention_interval", 1),
      interval + " is 1, by which layer 0 is softmax, but its tensors are those of lightning");
  EXPECT_EQ(ProblemWithNumber("full_attention_interval", 0),
            interval + " should be a whole number of at least 1, found 0");
  const std::string flags = "minimax-01.attention.recurrent_layers";
  const auto problem_with_flags = [&](const std::vector<int32_t>& values) {
    return ProblemWith([&](TinyGguf& file) {
      file.Numbers(flags, values);
      file.Number(interval, 8U);  // the flags go first
    });
  };
  EXPECT_EQ(problem_with_flags({1, 0}), "");
  EXPECT_EQ(problem_with_flags({1, 1}),
            flags + " has 1 for layer 1, but its tensors are those of softmax");
  EXPECT_EQ(problem_with_flags({0, 0}),
            flags + " has 0 for layer 0, but its tensors are those of lightning");
  EXPECT_EQ(problem_with_flags({1, 0, 1}), flags + " should have 2 elements, found 3");
  EXPECT_EQ(problem_with_flags({1, 2}), flags + " should hold 0 and 1, found 2");
  EXPECT_EQ(ProblemWithNumber("attention.recurrent_layers", 1),
            flags + " has 1 for layer 1, but its tensors are those of softmax");
}

TEST(GgufConfig, MatricesMayBeQuantized) {
  const auto quantize = [](const std::string& name, const std::vector<uint64_t>& dims) {
    return [=](TinyGguf& file) { file.tensors[name] = {dims, kGgmlQ80, dims[0] / 32 * 34}; };
  };
  const Model model = Load(quantize("blk.0.ffn_down_exps.weight", {96, 32, 3})).value();
  EXPECT_EQ(Describe(model.weights.layers[0].experts[2].down), "Q8_0 [32, 96]");
  const Model silent = Load(quantize("token_embd.weight", {32, 20})).value();
  EXPECT_EQ(silent.unused_ids.size(), 20U);
  EXPECT_EQ(ProblemWith(quantize("blk.0.ffn_gate_inp.weight", {32, 3})),
            "tensor \"blk.0.ffn_gate_inp.weight\" has type Q8_0, norms, biases, positions and "
            "routers may be F32, F16 "
            "or BF16");
  EXPECT_EQ(ProblemWith(quantize("output_norm.weight", {32})),
            "tensor \"output_norm.weight\" has type Q8_0, norms, biases, positions and routers may "
            "be F32, F16 or "
            "BF16");
  EXPECT_EQ(ProblemWith([](TinyGguf& file) {
              file.tensors["blk.1.attn_q.weight"] = {{32, 64}, kGgmlI16, 64};
            }),
            "tensor \"blk.1.attn_q.weight\" has type I16, weights may be F32, F16 or BF16");
  // What the authors' checkpoints store beside the weights cannot be checked here.
  EXPECT_NE(ProblemWith(quantize("model.layers.0.self_attn.slope_rate", {32})), "");
}

TEST(GgufConfig, SuppressedTokensJoinTheZeroRows) {
  const auto suppress = [](const std::vector<int32_t>& ids) {
    return [=](TinyGguf& file) { file.Numbers("tokenizer.ggml.suppress_tokens", ids); };
  };
  EXPECT_EQ(Load(suppress({19, 3, 19})).value().unused_ids, (std::vector<int32_t>{3, 19}));
  EXPECT_EQ(ProblemWith(suppress({3, 20})),
            "tokenizer.ggml.suppress_tokens should hold tokens below 20, found 20");
  EXPECT_EQ(ProblemWith(suppress({-1})),
            "tokenizer.ggml.suppress_tokens should hold tokens below 20, found -1");
}

TEST(GgufConfig, IsThatOfTheGoldenItWasConvertedFrom) {
  const std::string folder = testing::GoldenFolder("gguf");
  if (testing::SharedRoot().empty()) GTEST_SKIP() << "the full set is not here";
  const Config source = ReadConfig(ModelFiles::Open(folder + "/source").value()).value();
  Config config = ReadConfig(ModelFiles::Open(folder + "/wide/wide-q4_k_m.gguf").value()).value();
  EXPECT_EQ(config.eos_ids, std::vector<int32_t>{498});
  config.eos_ids.clear();  // which the source leaves to its tokenizer
  EXPECT_EQ(ConfigToJson(config, "float32"), ConfigToJson(source, "float32"));
}

}  // namespace
}  // namespace fulmen
