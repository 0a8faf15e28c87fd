// Every command that takes a model takes a GGUF file.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "base/file_io.h"
#include "base/json.h"
#include "formats/checkpoint.h"
#include "tests/e2e/tiny_model.h"
#include "tests/testing/bmp.h"
#include "tests/testing/command_table.h"
#include "tests/testing/golden.h"
#include "tests/testing/subprocess.h"

namespace fulmen::testing {
namespace {

class GgufCommands : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string golden = GoldenFolder("gguf/wide");
    if (golden.empty()) GTEST_SKIP() << "no golden gguf/wide";
    model_ = golden + "/wide-q4_k_m.gguf";
    ASSERT_TRUE(WriteFileAtomically(folder_ / "ids.json", R"({"p": [292, 340, 26, 381]})"));
    ASSERT_TRUE(WriteFileAtomically(folder_ / "text.txt", "Once upon a time.\n\nThe end.\n"));
  }

  // Standard output of a command, which has to succeed.
  static std::string OutputOf(const std::vector<std::string>& arguments) {
    const ProgramResult result = RunFulmen(arguments);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return result.out;
  }
  static Json JsonOf(const std::vector<std::string>& arguments) {
    Result<Json> json = ParseJson(OutputOf(arguments), "output");
    EXPECT_TRUE(json) << json.error().message;
    return json.value_or(Json());
  }

  std::string model_;
  TemporaryFolder folder_;
};

TEST_F(GgufCommands, Inspect) {
  const std::string text = OutputOf({"inspect", model_, "--tensors", "--verify"});
  for (const char* part :
       {"architecture    minimax-01\n", "layers          3: 2 lightning, 1 softmax\n",
        "Q4_K 1.7 MB, Q6_K ", "file            GGUF version 3, 1 part, 33 metadata entries\n",
        "name            Source, 4x1.7M\n", "tokenizer       gpt2, minimax-m2\n",
        "  Q6_K [4, 256, 256]: blk.2.ffn_down_exps.weight\n", "   F32 [256]: output_norm.weight\n",
        "every value of 33 tensors is finite\n"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
  }
  const Json json = JsonOf({"inspect", model_, "--tensors", "--json"});
  EXPECT_EQ(json["gguf"]["metadata"]["general.file_type"], 15);
  EXPECT_EQ(json["gguf"]["metadata"]["tokenizer.ggml.tokens"], Json({{"elements", 512}}));
  EXPECT_EQ(json["tensor_list"].size(), 33U);
  EXPECT_EQ(json["tensor_list"][0], Json::parse(R"({"name": "blk.0.attn_gate.weight",
      "type": "Q4_K", "shape": [256, 256], "bytes": 36864})"));
}

TEST_F(GgufCommands, Tokenize) {
  const std::string ids = OutputOf({"tokenize", "-m", model_, "Hello<end_of_sentence>"});
  EXPECT_TRUE(ids.ends_with(" 498\n")) << ids;
  EXPECT_EQ(RunFulmen({"detokenize", "-m", model_}, {.input = ids}).out, "Hello<end_of_sentence>");
  const std::string source = GoldenFolder("gguf/source");
  EXPECT_EQ(OutputOf({"tokenize", "-m", source, "Hello<end_of_sentence>"}), ids);
}

TEST_F(GgufCommands, RunAndEval) {
  const ProgramResult answer = RunFulmen(
      {"run", "-m", model_, "--kernels", "ref", "-p", "Hi", "-n", "3", "--temperature", "0"});
  EXPECT_EQ(answer.exit_code, 0) << answer.err;
  const ProgramResult chat =
      RunFulmen({"run", "--chat", "-m", model_, "--kernels", "ref", "-n", "3"}, {.input = "Hi\n"});
  EXPECT_EQ(chat.exit_code, 0) << chat.err;
  const std::string out = folder_ / "out.safetensors";
  OutputOf({"eval", "logits", "-m", model_, "--kernels", "ref", "--tokens", folder_ / "ids.json",
            "--out", out});
  EXPECT_EQ(Checkpoint::Open(out)->tensors().at("p.logits").shape, (Shape{4, 512}));
  const std::string ids = OutputOf({"eval", "generate", "-m", model_, "--kernels", "ref",
                                    "--tokens", folder_ / "ids.json", "-n", "3"});
  EXPECT_TRUE(ids.starts_with("p: ")) << ids;
  const Json perplexity = JsonOf({"eval", "perplexity", "-m", model_, "--kernels", "ref", "-f",
                                  folder_ / "text.txt", "--json"});
  EXPECT_GT(perplexity.at("perplexity"), 1);
  JsonOf({"bench", "-m", model_, "--kernels", "ref", "--threads", "1", "-p", "2", "-n", "1", "-r",
          "1", "--json"});
}

// Of a GGUF file made of a GGUF file, tokens and, where the types stay, logits are those of the
// first.
TEST_F(GgufCommands, Convert) {
  const std::string out = folder_ / "out.gguf";
  OutputOf({"convert", model_, out, "--type", "Q4_K_M"});
  const std::string text = "Hello there<end_of_sentence>";
  EXPECT_EQ(OutputOf({"tokenize", "-m", out, text}), OutputOf({"tokenize", "-m", model_, text}));
  const auto logits = [&](const std::string& model) {
    const std::string file = folder_ / "logits.safetensors";
    OutputOf({"eval", "logits", "-m", model, "--kernels", "ref", "--tokens", folder_ / "ids.json",
              "--out", file});
    return ReadFileOrDie(file);
  };
  EXPECT_EQ(logits(out), logits(model_));
}

// A GGUF file as a folder has the tokens and, in float32, the logits of the file.
TEST_F(GgufCommands, ConvertToFolder) {
  const std::string out = folder_ / "made";
  OutputOf({"convert", model_, out, "--type", "F32"});
  const std::string text = "Hello there, \U0001f98a 東京<end_of_sentence>";
  EXPECT_EQ(OutputOf({"tokenize", "-m", out, text}), OutputOf({"tokenize", "-m", model_, text}));
  const std::vector<std::string> measure = {"eval", "perplexity",         "--kernels", "ref",
                                            "-f",   folder_ / "text.txt", "--json",    "-m",
                                            out,    "--against",          model_};
  const Json measured = JsonOf(measure);
  EXPECT_EQ(measured["against"]["kl_largest"], 0);
  EXPECT_EQ(measured["perplexity"], measured["against"]["perplexity"]);
  const Json inspected = JsonOf({"inspect", out, "--json"});
  EXPECT_EQ(inspected["parameters"], JsonOf({"inspect", model_, "--json"})["parameters"]);
  const auto chat = [&](const std::string& model) {
    return OutputOf(
        {"run", "-m", model, "--kernels", "ref", "Hi", "-n", "8", "--temperature", "0"});
  };
  EXPECT_EQ(chat(out), chat(model_));
  const ProgramResult again = RunFulmen({"convert", model_, out});
  EXPECT_NE(again.err.find("the folder is not empty"), std::string::npos) << again.err;
  const ProgramResult quantized = RunFulmen({"convert", model_, folder_ / "q", "--type", "Q4_0"});
  EXPECT_NE(quantized.err.find("--type Q4_0 is for an OUT that ends in .gguf"), std::string::npos)
      << quantized.err;
}

// Measured at once or before, the importance is the same, and the file says where it is from.
TEST_F(GgufCommands, QuantizeByImportance) {
  const std::string source = GoldenFolder("gguf/source");
  const std::string text = folder_ / "text.txt";
  const std::string at_once = folder_ / "at-once.gguf";
  const std::string matrix = folder_ / "matrix.gguf";
  const std::string later = folder_ / "later.gguf";
  OutputOf({"quantize", source, at_once, "Q4_K_M", "--calibrate", text, "-q"});
  const Json measured = JsonOf({"imatrix", source, text, matrix, "--json"});
  EXPECT_EQ(measured["chunks"], 1);
  OutputOf({"quantize", source, later, "Q4_K_M", "--imatrix", matrix, "-q"});
  const Json compared = JsonOf({"eval", "perplexity", "-m", at_once, "--against", later, "-f", text,
                                "--kernels", "ref", "--json"});
  EXPECT_EQ(compared["against"]["kl_largest"], 0);
  const Json metadata = JsonOf({"inspect", later, "--json"})["gguf"]["metadata"];
  EXPECT_EQ(metadata["quantize.imatrix.file"], "matrix.gguf");
  EXPECT_EQ(metadata["quantize.imatrix.dataset"], "text.txt");
  EXPECT_EQ(metadata["quantize.imatrix.entries_count"], measured["tensors"]);
  EXPECT_EQ(metadata["quantize.imatrix.chunks_count"], 1);
  const auto refuse = [](const std::vector<std::string>& arguments, const std::string& sentence) {
    const ProgramResult result = RunFulmen(arguments);
    EXPECT_NE(result.exit_code, 0);
    EXPECT_NE(result.err.find(sentence), std::string::npos) << result.err;
  };
  refuse({"quantize", source, later, "F16", "--imatrix", matrix},
         "F16 rounds every weight by itself");
  refuse({"quantize", source, later, "Q4_0", "--imatrix", model_},
         "expected an importance matrix (general.type \"imatrix\"), found a GGUF file of type "
         "\"model\"");
  refuse({"quantize", source, folder_ / "none/out.gguf", "Q4_0", "--calibrate", text}, "none/");
  refuse({"quantize", SourcePath("models/fulmen-nano"), later, "Q4_0", "--imatrix", matrix},
         "of the model has");
}

TEST_F(GgufCommands, Quantize) {
  const std::string golden = GoldenFolder("gguf/wide");
  const std::string out = folder_ / "out.gguf";
  const Json made = JsonOf({"quantize", golden + "/wide-bf16.gguf", out, "q4_k_m", "--json"});
  EXPECT_EQ(made["type"], "Q4_K_M");
  EXPECT_EQ(made["types"]["Q6_K"]["tensors"], 3);
  const Json inspected = JsonOf({"inspect", out, "--json"});
  EXPECT_EQ(made["bytes"], inspected["weights_bytes"]);
  EXPECT_EQ(made["parameters"], inspected["parameters"]["total"]);
  for (const auto& [type, sum] : made["types"].items()) {
    EXPECT_EQ(sum["bytes"], inspected["bytes_per_dtype"][type]) << type;
  }
  const std::string ids = OutputOf({"tokenize", "-m", model_, "Hello there"});
  EXPECT_EQ(OutputOf({"tokenize", "-m", out, "Hello there"}), ids);
  const std::string summary = OutputOf({"quantize", golden + "/wide-bf16.gguf", out, "Q8_0"});
  EXPECT_NE(summary.find("Q8_0, "), std::string::npos) << summary;
  EXPECT_NE(summary.find("bits a weight"), std::string::npos) << summary;
}

TEST_F(GgufCommands, QuantizeRefuses) {
  const auto refuse = [](const std::vector<std::string>& arguments, const std::string& sentence) {
    const ProgramResult result = RunFulmen(arguments);
    EXPECT_NE(result.exit_code, 0);
    EXPECT_EQ(result.out, "");
    EXPECT_NE(result.err.find(sentence), std::string::npos) << result.err;
  };
  const std::string out = folder_ / "out.gguf";
  refuse({"quantize", model_, out, "Q2_K"},
         "is Q4_K already, and Q2_K made of that is worse than made of the original "
         "(--allow-requantize does it all the same)");
  EXPECT_FALSE(std::filesystem::exists(out));
  // Nothing more is lost in these.
  OutputOf({"quantize", model_, out, "F16", "-q"});
  OutputOf({"quantize", model_, out, "Q4_K_M", "-q"});
  const std::string before = ReadFileOrDie(out);
  refuse({"quantize", out, out, "Q4_K_M"}, "the file to write is one of the model's own");
  EXPECT_EQ(ReadFileOrDie(out), before);
  refuse({"quantize", model_, out, "Q4_KM"}, "found \"Q4_KM\"; did you mean Q4_K_M?");
  refuse({"quantize", model_, out, "fp12"}, "IQ4_NL, IQ4_XS, Q3_K_M or Q2_K, found \"fp12\"\n");
}

// A folder and a file of random weights run, with the same tokenizer.
TEST_F(GgufCommands, Synth) {
  const std::vector<std::string> geometry = {"--layers", "1",   "--hidden", "64",
                                             "--vocab",  "300", "--ffn",    "64"};
  std::string ids;
  for (const auto& [name, type] :
       {std::pair("/random", "f32"), std::pair("/random.gguf", "q4_k_m")}) {
    std::vector<std::string> words = {"synth", folder_.path() + name, "--type", type};
    words.insert(words.end(), geometry.begin(), geometry.end());
    OutputOf(words);
    const std::string model = folder_.path() + name;
    const std::string found = OutputOf({"tokenize", "-m", model, "Hi there<end_of_sentence>"});
    if (!ids.empty()) {
      EXPECT_EQ(found, ids);
    }
    ids = found;
    EXPECT_NE(OutputOf({"run", "-m", model, "-p", "Hi", "-n", "3", "--ignore-eos"}), "");
  }
}

// A model with images becomes two files, which are one model to every command, and a folder again.
TEST_F(GgufCommands, Images) {
  const std::string source = folder_ / "source";
  const std::string model = folder_ / "m.gguf";
  OutputOf(Split("synth " + TinyVision(source, "f32")));
  const std::string told = OutputOf({"convert", source, model, "--type", "F32"});
  const std::string mmproj = folder_ / "mmproj-m.gguf";
  EXPECT_TRUE(told.starts_with(model + " and " + mmproj + ": F32, ")) << told;

  const auto logits = [&](const std::string& from) {
    const std::string file = folder_ / "logits.safetensors";
    OutputOf({"eval", "logits", "-m", from, "--tokens", folder_ / "image-ids.json", "--out", file});
    return ReadFileOrDie(file);
  };
  ASSERT_TRUE(WriteFileAtomically(folder_ / "dot.bmp", BlackDot()));
  ASSERT_TRUE(WriteFileAtomically(
      folder_ / "image-ids.json",
      fmt::format(R"({{"p": {{"ids": [60, 299, 61], "images": ["{}"]}}}})", folder_ / "dot.bmp")));
  EXPECT_EQ(logits(model), logits(source));

  const std::string text = OutputOf({"inspect", model, "--tensors"});
  for (const char* part :
       {"vision file     ", " [64]: v.image_newline\n", ": token_embd.weight\n"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
  }
  const Json json = JsonOf({"inspect", model, "--json"});
  EXPECT_EQ(json["mmproj"]["metadata"]["clip.projector_type"], "minimax-vl-01");
  // The two experts' three tensors each are three stacks there.
  EXPECT_EQ(json["tensors"].get<int>() + 3, JsonOf({"inspect", source, "--json"})["tensors"]);

  OutputOf({"convert", model, folder_ / "back", "--type", "F32"});
  EXPECT_EQ(ReadFileOrDie(folder_ / "back/model.safetensors"),
            ReadFileOrDie(source + "/model.safetensors"));

  const auto refuse = [](const std::vector<std::string>& arguments, const std::string& sentence) {
    const ProgramResult result = RunFulmen(arguments);
    EXPECT_NE(result.exit_code, 0);
    EXPECT_NE(result.err.find(sentence), std::string::npos) << result.err;
  };
  refuse({"run", "-m", mmproj, "Hi"}, "this is the vision half of a model");
  refuse({"quantize", source, "-", "Q8_0"}, "a model with images becomes two files");
  refuse({"quantize", model, mmproj, "Q8_0"}, "the file to write is one of the model's own");
  refuse({"quantize", model_, model, "Q4_K_M"}, "would be taken for the vision half of ");
  refuse({"quantize", model_, folder_ / "q.gguf", "Q4_K_M", "--mmproj-type", "F16"},
         "--mmproj-type is for models that read images");
  refuse({"convert", model, folder_ / "other", "--mmproj-type", "F16"},
         "--mmproj-type is for an OUT that ends in .gguf");
}

TEST_F(GgufCommands, Train) {
  const std::string data = folder_ / "data";
  OutputOf({"train", "data", folder_ / "text.txt", "--out", data, "-m", model_});
  OutputOf({"train", "bench", "-m", model_, "--rows", "1", "--length", "4", "-r", "1"});
  // A model trained from it needs files of a tokenizer.
  const auto run = [&](const std::string& tokenizer) {
    const std::string config = fmt::format(
        "[model]\ninit = \"{}\"\n{}[schedule]\nwarmup_steps = 0\n[batch]\ntokens = 16\nbatches = "
        "1\n"
        "[output]\nfolder = \"{}\"\n[run]\nthreads = 1\n[[stages]]\nname = \"main\"\nsteps = 1\n"
        "max_length = 16\nsources = [{{path = \"{}\"}}]\n",
        model_, tokenizer, folder_ / "run", data);
    EXPECT_TRUE(WriteFileAtomically(folder_ / "run.toml", config));
    return RunFulmen({"train", folder_ / "run.toml", "--quiet"});
  };
  const ProgramResult refused = run("");
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_NE(refused.err.find("name one with the files of the same tokenizer in model.tokenizer"),
            std::string::npos)
      << refused.err;
  const ProgramResult trained =
      run(fmt::format("tokenizer = \"{}\"\n", GoldenFolder("gguf/source")));
  EXPECT_EQ(trained.exit_code, 0) << trained.err;
  EXPECT_NE(OutputOf({"inspect", folder_ / "run/model"}).find("MiniMaxText01ForCausalLM"),
            std::string::npos);
}

TEST_F(GgufCommands, NameWhatTheyCannotRead) {
  const std::string torn = ReadFileOrDie(model_).substr(0, 1'000'000);
  ASSERT_TRUE(WriteFileAtomically(folder_ / "torn.gguf", torn));
  for (const char* command : {"inspect", "run", "tokenize"}) {
    const ProgramResult result = RunFulmen({command, "-m", folder_ / "torn.gguf"}, {.input = "x"});
    EXPECT_EQ(result.exit_code, 1);
    EXPECT_NE(result.err.find("torn.gguf: tensor \"blk.1.attn_qkv.weight\" has 110592 bytes"),
              std::string::npos)
        << result.err;
  }
}

}  // namespace
}  // namespace fulmen::testing
