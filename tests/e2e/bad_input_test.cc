// Bad input gets one clear sentence on standard error and a non-zero exit, and nothing is left
// behind.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "base/file_io.h"
#include "base/json.h"
#include "tests/testing/golden.h"
#include "tests/testing/subprocess.h"

namespace fulmen::testing {
namespace {

namespace fs = std::filesystem;

class BadInput : public ::testing::Test {
 protected:
  void SetUp() override {
    CopyGoldenModel("text/hybrid-bf16", folder_.path());
    Write("ids.json", "[1, 2, 3]");
  }

  void Write(const std::string& name, const std::string& contents) {
    ASSERT_TRUE(WriteFileAtomically(folder_ / name, contents));
  }
  // Replaces `field` of config.json.
  void Configure(const std::string& field, const Json& value) {
    Json config = *ReadJsonFile(folder_ / "config.json");
    config[field] = value;
    Write("config.json", config.dump());
  }
  void ExpectRefusal(const std::vector<std::string>& arguments,
                     const std::vector<std::string>& words) {
    const ProgramResult result = RunFulmen(arguments);
    EXPECT_EQ(result.exit_code, 1) << result.err;
    EXPECT_EQ(result.signal, 0);
    EXPECT_EQ(result.out, "");
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
    EXPECT_TRUE(result.err.starts_with("fulmen: ")) << result.err;
    for (const std::string& word : words) {
      EXPECT_NE(result.err.find(word), std::string::npos)
          << "no \"" << word << "\" in: " << result.err;
    }
  }
  // All elements of a BF16 tensor become the one with these bits.
  void FillTensor(const std::string& name, uint16_t bits) {
    std::string file = ReadFileOrDie(folder_ / "model.safetensors");
    uint64_t header_size = 0;
    std::memcpy(&header_size, file.data(), sizeof header_size);
    const Json header = *ParseJson(std::string_view(file).substr(8, header_size), "header");
    const auto offsets = header[name]["data_offsets"].get<std::vector<size_t>>();
    for (size_t at = offsets[0]; at < offsets[1]; at += sizeof bits) {
      std::memcpy(file.data() + 8 + header_size + at, &bits, sizeof bits);
    }
    Write("model.safetensors", file);
  }
  std::vector<std::string> Logits() {
    return {"eval",     "logits",
            "-m",       folder_.path(),
            "--tokens", folder_ / "ids.json",
            "--out",    folder_ / "out.safetensors"};
  }

  TemporaryFolder folder_;
};

TEST_F(BadInput, WrongFolder) {
  ExpectRefusal({"run", "-m", folder_ / "nowhere", "-p", "x"}, {"nowhere"});
  fs::create_directory(folder_ / "empty");
  ExpectRefusal({"run", "-m", folder_ / "empty", "-p", "x"}, {"empty", "config.json"});
  ExpectRefusal({"inspect", folder_ / "empty"}, {"empty", "config.json"});
}

TEST_F(BadInput, GeometriesThatNoMachineHolds) {
  const auto refuse = [&](const std::string& option, const std::string& value,
                          const std::string& most) {
    const std::string out = folder_ / "synth";
    ExpectRefusal({"synth", out, "--type", "f32", option, value}, {value, most});
    EXPECT_FALSE(fs::exists(out)) << option;
  };
  refuse("--layers", "2000000000", "16384");
  refuse("--hidden", "2000000000", "524288");
  refuse("--heads", "2000000000", "16384");
  refuse("--head-dim", "2000000000", "1048576");
  refuse("--ffn", "2000000000", "524288");
  refuse("--experts", "2000000000", "16384");
  refuse("--vocab", "2000000000", "16777216");
}

TEST_F(BadInput, PathsThatAreNoModel) {
  ASSERT_EQ(mkfifo((folder_ / "fifo").c_str(), 0600), 0);
  Write("model.gguf", "GGUF\x03");
  for (const char* command : {"run", "inspect", "tokenize"}) {
    const auto refuse = [&](const std::string& name, const std::string& words) {
      std::vector<std::string> arguments = {command, "-m", folder_ / name, "x"};
      if (std::string(command) == "inspect") arguments = {command, folder_ / name};
      if (std::string(command) == "run") arguments.insert(arguments.end() - 1, "-p");
      ExpectRefusal(arguments, {name, words});
    };
    refuse("fifo", "found a FIFO");  // nobody writes into it
    refuse("model.gguf", "the file has 1 left (torn file?)");
    refuse("config.json", "found a file");
  }
}

TEST_F(BadInput, GitLfsPointers) {
  const std::string pointer =
      "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2145\nsize 12345\n";
  for (const char* file :
       {"tokenizer.json", "model.safetensors", "config.json"}) {  // read last to first
    Write(file, pointer);
    ExpectRefusal({"run", "-m", folder_.path(), "--raw", "-p", "x"},
                  {file, "a Git LFS pointer (git lfs pull fetches the file it stands for)"});
  }
}

// A terminal must not be moved by what a file calls its tensors.
TEST_F(BadInput, ControlCharactersAreEscaped) {
  Write("model.safetensors.index.json", R"({"weight_map": {"a\u001b[2J": "model.safetensors"}})");
  ExpectRefusal(Logits(), {"tensor \"a\\x1b[2J\" is not in model.safetensors"});
  fs::remove(folder_ / "model.safetensors.index.json");
  Configure("hidden_act", "\x1b]0;title\x07");
  ExpectRefusal(Logits(), {"hidden_act should be \"silu\", found \"\\u001b]0;title\\u0007\""});
  Configure("hidden_act", "silu");
  Write("ids.json", "{\"a\\u001b[2J\": [1.5]}");
  ExpectRefusal(Logits(), {"a\\x1b[2J: entry 0 is 1.5, expected a token id from 0 to 511"});
  std::vector<std::string> arguments = Logits();
  arguments[5] = folder_ / "no\n\x1b[31m\xff.json";
  ExpectRefusal(arguments, {"no\\n\\x1b[31m\\xff.json: No such file"});
  const ProgramResult usage = RunFulmen({"run", "--a\x1b[2J"});
  EXPECT_EQ(usage.exit_code, 2);
  EXPECT_NE(usage.err.find("--a\\x1b[2J"), std::string::npos) << usage.err;
}

TEST_F(BadInput, ChatTemplatesOfAnotherKindAreNamedWithTheFlag) {
  Write("chat_template.jinja", "{% for m in messages %}\x1b<|im_start|>");
  ExpectRefusal({"run", "-m", folder_.path(), "-p", "x"},
                {"begins \"{% for m in messages %}\\x1b<|im_start|>\"", "--chat-format", "--raw"});
}

TEST_F(BadInput, GenerationConfig) {
  Write("generation_config.json", "{\"temperature\": \"hot\"}");
  ExpectRefusal({"run", "-m", folder_.path(), "--raw", "-p", "x"},
                {"generation_config.json: temperature should be a number"});
}

// Every weight finite, and no text: norms make zeros of what is too large.
TEST_F(BadInput, WeightsTooLargeOverflow) {
  const std::string golden = ReadFileOrDie(folder_ / "model.safetensors");
  uint64_t header_size = 0;
  std::memcpy(&header_size, golden.data(), sizeof header_size);
  const auto fill = [&](uint16_t bits) {
    std::string file = golden;
    for (size_t i = 8 + header_size; i + 1 < file.size(); i += 2) {
      std::memcpy(file.data() + i, &bits, sizeof bits);
    }
    Write("model.safetensors", file);
  };
  for (const uint16_t bits : {0x7f7f, 0x7f00}) {  // 3.4e38 and 1.7e38 in BF16
    fill(bits);
    ExpectRefusal({"run", "-m", folder_.path(), "--raw", "-q", "-p", "x"}, {"overflowed"});
  }
  fill(0x7fc0);
  ExpectRefusal({"run", "-m", folder_.path(), "--raw", "-q", "-p", "x"},
                {"layer 0", "NaN", "inspect --verify"});
}

TEST_F(BadInput, TornWeights) {
  const uintmax_t whole = fs::file_size(folder_ / "model.safetensors");
  for (const uintmax_t size :
       {uintmax_t{0}, uintmax_t{7}, uintmax_t{8}, uintmax_t{100}, whole / 2, whole - 1}) {
    SCOPED_TRACE(size);
    fs::resize_file(folder_ / "model.safetensors", size);
    ExpectRefusal(Logits(), {"model.safetensors"});
    EXPECT_FALSE(fs::exists(folder_ / "out.safetensors"));
  }
}

TEST_F(BadInput, HeaderThatLies) {
  std::string file = ReadFileOrDie(folder_ / "model.safetensors");
  const size_t shape = file.find("\"shape\":[512,64]");
  ASSERT_NE(shape, std::string::npos);
  file.replace(shape, 16, "\"shape\":[512,65]");
  Write("model.safetensors", file);
  ExpectRefusal(Logits(), {"model.safetensors", "[512, 65]"});
}

TEST_F(BadInput, UnknownArchitecture) {
  Configure("architectures", Json::array({"LlamaForCausalLM"}));
  ExpectRefusal(Logits(), {"LlamaForCausalLM", "MiniMaxText01ForCausalLM"});
}

TEST_F(BadInput, UnsupportedFeaturesAreNamed) {
  Configure("shared_intermediate_size", 128);
  ExpectRefusal(Logits(), {"shared_intermediate_size", "128"});
  Configure("shared_intermediate_size", 0);
  Configure("sliding_window", 4096);
  ExpectRefusal(Logits(), {"sliding_window", "4096"});
  Configure("sliding_window", nullptr);
  Configure("rope_scaling", Json{{"type", "yarn"}, {"factor", 4}});
  ExpectRefusal(Logits(), {"yarn"});
}

TEST_F(BadInput, ConfigThatContradictsTheTensors) {
  Configure("hidden_size", 32);
  ExpectRefusal(Logits(), {"[512, 64]", "[512, 32]"});
}

TEST_F(BadInput, IdsOutsideTheVocabulary) {
  Write("ids.json", "[1, 512]");
  ExpectRefusal(Logits(), {"ids.json", "512", "511"});
  Write("ids.json", "[1, -1]");
  ExpectRefusal(Logits(), {"-1"});
  Write("ids.json", "[]");
  ExpectRefusal(Logits(), {"ids.json"});
  Write("ids.json", "[1, 2");
  ExpectRefusal(Logits(), {"ids.json", "JSON"});
}

TEST_F(BadInput, PromptOverTheContextLimit) {
  Configure("max_position_embeddings", 8);
  Write("ids.json", "[1, 2, 3, 4, 5, 6, 7, 8, 9]");
  ExpectRefusal(Logits(), {"9", "8"});
  ExpectRefusal({"run", "-m", folder_.path(), "--raw", "-p", "a b c d e f g h i j k l m n o p"},
                {"8"});
  ExpectRefusal({"bench", "-m", folder_.path(), "-p", "16", "-n", "1"}, {"16", "8"});
}

TEST_F(BadInput, TrainingStepsBeyondAnyMemory) {
  ExpectRefusal(
      {"train", "bench", "-m", folder_.path(), "--rows", "1048576", "--length", "16777216"},
      {"a step of 17592186044416 tokens", "GB"});
}

TEST_F(BadInput, OutputThatCannotBeWritten) {
  std::vector<std::string> arguments = Logits();
  arguments.back() = folder_ / "no/such/folder/out.safetensors";
  ExpectRefusal(arguments, {"no/such/folder/out.safetensors"});
  arguments.back() = "/proc/out.safetensors";  // read-only even for root
  ExpectRefusal(arguments, {"/proc/out.safetensors"});
}

TEST_F(BadInput, NonFiniteWeightsAreTracedToTheirLayer) {
  // NaN in layer 3's router norm: layer 3 is the first whose output is not finite.
  FillTensor("model.layers.3.post_attention_layernorm.weight", 0x7fc0);
  ExpectRefusal(Logits(), {"layer 3"});
  EXPECT_FALSE(fs::exists(folder_ / "out.safetensors"));
  ExpectRefusal({"run", "-m", folder_.path(), "--raw", "--quiet", "-p", "x"}, {"layer 3"});
  ExpectRefusal({"eval", "generate", "-m", folder_.path(), "--tokens", folder_ / "ids.json"},
                {"layer 3"});
  const ProgramResult verify = RunFulmen({"inspect", folder_.path(), "--verify"});
  EXPECT_EQ(verify.exit_code, 1);
  EXPECT_NE((verify.out + verify.err).find("model.layers.3.post_attention_layernorm.weight"),
            std::string::npos);
}

TEST_F(BadInput, PerplexityBeyondADouble) {
  FillTensor("model.norm.weight", 0x4980);  // 2^20, and logits as large
  Write("text.txt", "one two three");
  ExpectRefusal({"eval", "perplexity", "-m", folder_.path(), "-f", folder_ / "text.txt", "--json"},
                {"the perplexity is e^", "more than a double can hold"});
}

TEST_F(BadInput, TokenizerLargerThanTheModel) {
  fs::copy_file(SourcePath("models/fulmen-nano/tokenizer.json"), folder_ / "tokenizer.json",
                fs::copy_options::overwrite_existing);
  ExpectRefusal(
      {"run", "-m", folder_.path(), "--raw", "-p", "Alice was beginning to get very tired"},
      {"512"});
}

TEST_F(BadInput, TornTokenizer) {
  fs::resize_file(folder_ / "tokenizer.json", 1000);
  ExpectRefusal({"run", "-m", folder_.path(), "-p", "x"}, {"tokenizer.json", "JSON"});
  ExpectRefusal({"tokenize", "-m", folder_.path(), "x"}, {"tokenizer.json", "JSON"});
}

}  // namespace
}  // namespace fulmen::testing
