// Pictures from the command line: the goldens, chats, sessions that are kept, and what is refused.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include "base/file_io.h"
#include "base/json.h"
#include "formats/checkpoint.h"
#include "tests/e2e/tiny_model.h"
#include "tests/testing/command_table.h"
#include "tests/testing/golden.h"
#include "tests/testing/subprocess.h"

namespace fulmen::testing {
namespace {

const std::string& Pictures() {
  static const std::string folder = SourcePath("tests/golden/vl/images/");
  return folder;
}

ProgramResult RunVision(Words words, const ProgramOptions& options = {}) {
  const Words all = {"run", "-m", VisionModel(), "-q",          "--temperature",
                     "0",   "-n", "6",           "--ignore-eos"};
  words.insert(words.begin(), all.begin(), all.end());
  return RunFulmen(words, options);
}

int64_t PromptTokens(const ProgramResult& result) {
  EXPECT_EQ(result.exit_code, 0) << result.err;
  return ParseJson(result.out, "run")->at("timings").at("prompt_tokens").get<int64_t>();
}

TEST(Images, EvalReproducesTheGoldens) {
  const std::string golden = GoldenFolder("vl");
  if (!std::filesystem::exists(golden + "/model.safetensors")) GTEST_SKIP() << "no vl model";
  const TemporaryFolder folder;
  const Json manifest = ReadJsonFile(golden + "/manifest.json").value();
  Json prompts;
  for (const Json& prompt : manifest.at("prompts")) {
    Json& entry = prompts[prompt.at("name").get<std::string>()];
    entry = {{"ids", prompt.at("ids_before")}, {"images", Json::array()}};
    for (const Json& name : prompt.at("images")) {
      const auto image = std::ranges::find(manifest.at("images"), name,
                                           [](const Json& each) { return each.at("name"); });
      entry["images"].push_back(golden + "/" + image->at("file").get<std::string>());
    }
  }
  ASSERT_TRUE(WriteFileAtomically(folder / "prompts.json", prompts.dump()));
  const ProgramResult made = RunFulmen({"eval", "logits", "-m", golden, "--tokens",
                                        folder / "prompts.json", "--out", folder / "out"});
  ASSERT_EQ(made.exit_code, 0) << made.err;
  const Checkpoint out = Checkpoint::Open(folder / "out").value();
  const Checkpoint expected = Checkpoint::Open(golden + "/expected_prompts.safetensors").value();
  const ProgramResult said = RunFulmen({"eval", "generate", "-m", golden, "--tokens",
                                        folder / "prompts.json", "-n", "16", "--json"});
  const Json answers = ParseJson(said.out, "answers").value();
  for (const auto& [name, prompt] : prompts.items()) {
    SCOPED_TRACE(name);
    const auto tensor = [&name = name](const Checkpoint& file, const std::string& what) {
      return file.tensors().at(name + what);
    };
    const auto ids = [](const TensorView& view) {
      const auto* data = reinterpret_cast<const int64_t*>(view.data);
      return std::vector<int64_t>(data, data + view.elements());
    };
    if (!prompt.at("images").empty()) {
      EXPECT_EQ(ids(tensor(out, ".ids")), ids(tensor(expected, ".ids")));
    }
    const TensorView actual = tensor(out, ".logits");
    ASSERT_EQ(actual.shape, tensor(expected, ".logits").shape);
    double worst = 0;
    for (int64_t i = 0; i < actual.elements(); ++i) {
      worst = std::max(
          worst, std::abs(double{reinterpret_cast<const float*>(actual.data)[i]} -
                          reinterpret_cast<const float*>(tensor(expected, ".logits").data)[i]));
    }
    EXPECT_LE(worst, 3e-3);
    EXPECT_EQ(answers.at(name).get<std::vector<int64_t>>(), ids(tensor(expected, ".greedy")));
  }
}

// The tokens of pictures are those of the prompt beside its text, whatever file they come from.
TEST(Images, StandBeforeThePrompt) {
  const int64_t text = PromptTokens(RunVision({"Hi", "--json"}));
  const int64_t one =
      PromptTokens(RunVision({"Hi", "--json", "--image", Pictures() + "photo.png"}));
  EXPECT_EQ(one - text, 576 + 16 * 25);
  const int64_t two = PromptTokens(RunVision(
      {"Hi", "--json", "--image", Pictures() + "photo.png", "--image", Pictures() + "jpeg.jpg"}));
  EXPECT_EQ(two - one, 576 + 16 * 25);
  const ProgramOptions piped = {.input = ReadFileOrDie(Pictures() + "photo.png")};
  EXPECT_EQ(PromptTokens(RunVision({"Hi", "--json", "--image", "-"}, piped)), one);
}

TEST(Images, InAChat) {
  const std::string image = "/image " + Pictures() + "photo.png\n";
  const auto chat = [](const std::string& input) {
    ProgramResult result = RunVision({"--chat", "--verbose"}, {.input = input});
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return result;
  };
  const ProgramResult seen = chat(image + "What is it?\nAnd now?\n");
  EXPECT_NE(seen.err.find("[prompt: 10"), std::string::npos) << seen.err;  // 1000 and some tokens
  EXPECT_NE(chat("What is it?\nAnd now?\n").out, seen.out);
  const ProgramResult wrong = chat("/image nowhere.png\nHi\n");
  EXPECT_NE(wrong.err.find("nowhere.png"), std::string::npos) << wrong.err;
}

TEST(Images, ASessionKeepsItsPictures) {
  const TemporaryFolder folder;
  const Words session = {"--json", "--session", "s", "--sessions", folder / "s.db"};
  const auto turn = [&](const std::string& message, const Words& more) {
    Words words = session;
    words.push_back(message);
    words.insert(words.end(), more.begin(), more.end());
    return RunVision(words);
  };
  std::filesystem::copy(Pictures() + "photo.png", folder / "photo.png");
  const int64_t first = PromptTokens(turn("What is it?", {"--image", folder / "photo.png"}));
  std::filesystem::remove(folder / "photo.png");
  const int64_t second = PromptTokens(turn("And now?", {}));
  EXPECT_GT(second, first);
  // As if it had never ended.
  const ProgramResult once = RunVision({"--chat", "--image", Pictures() + "photo.png"},
                                       {.input = "What is it?\nAnd now?\n"});
  const Json last = ParseJson(turn("Why?", {}).out, "run").value();
  const ProgramResult whole = RunVision({"--chat", "--image", Pictures() + "photo.png"},
                                        {.input = "What is it?\nAnd now?\nWhy?\n"});
  EXPECT_EQ(whole.out, once.out + last.at("text").get<std::string>() + "\n");
}

TEST(Images, WhatIsRefused) {
  const TemporaryFolder folder;
  const std::string png = ReadFileOrDie(Pictures() + "photo.png");
  ASSERT_TRUE(WriteFileAtomically(folder / "torn.png", png.substr(0, png.size() / 2)));
  ASSERT_TRUE(WriteFileAtomically(folder / "words.png", "words"));
  const auto refused = [](const ProgramResult& result) {
    EXPECT_EQ(result.exit_code, 1);
    EXPECT_EQ(std::ranges::count(result.err, '\n'), 1) << result.err;
    return result.err;
  };
  EXPECT_NE(refused(RunVision({"Hi", "--image", folder / "torn.png"})).find("fulmen: "),
            std::string::npos);
  EXPECT_NE(refused(RunVision({"Hi", "--image", folder / "words.png"})).find("expected a picture"),
            std::string::npos);
  EXPECT_NE(refused(RunVision({"Hi", "--image", folder / "none.png"})).find("none.png"),
            std::string::npos);
  EXPECT_EQ(refused(RunFulmen({"run", "-q", "Hi", "--image", Pictures() + "photo.png"})),
            "fulmen: --image: the model reads text alone, and no pictures\n");
}

}  // namespace
}  // namespace fulmen::testing
