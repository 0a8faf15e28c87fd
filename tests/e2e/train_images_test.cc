// Pictures and questions about them, from files to a model that answers.
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "base/file_io.h"
#include "base/json.h"
#include "tests/e2e/tiny_model.h"
#include "tests/testing/bmp.h"
#include "tests/testing/golden.h"
#include "tests/testing/subprocess.h"

namespace fulmen::testing {
namespace {

class TrainImages : public ::testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::create_directory(folder_ / "chats");
    std::string lines;
    for (size_t i = 0; i < kColours.size(); ++i) {
      // A square of the colour on grey, at a place that differs.
      const std::string bytes = Bmp(16, 16, [&](int64_t x, int64_t y) {
        const bool square = (x + static_cast<int64_t>(i)) % 16 < 9 && y > 3;
        return square ? kColours[i].pixel : std::array<uint8_t, 3>{128, 128, 128};
      });
      ASSERT_TRUE(WriteFileAtomically(folder_ / fmt::format("chats/{}.bmp", i), bytes));
      lines += Chat(fmt::format("{}.bmp", i), kColours[i].name);
    }
    ASSERT_TRUE(WriteFileAtomically(folder_ / "chats/all.jsonl", lines));
    ASSERT_TRUE(WriteFileAtomically(
        folder_ / "run.toml",
        fmt::format(R"([model]
tokenizer = "{}"
deepnorm = false
{}
[vision]
width = 32
heads = 2
layers = 2
intermediate_size = 64
tile = 16
patch = 8
grids = [[1, 1]]
[optimizer]
learning_rate = 5e-3
[schedule]
warmup_steps = 5
[batch]
tokens = 512
[run]
threads = 1
[output]
folder = "{}"
[[stages]]
name = "projector"
trains = "projector"
steps = 10
max_length = 128
sources = [{{path = "{}"}}]
[[stages]]
name = "vision"
trains = "vision"
steps = 10
max_length = 128
sources = [{{path = "{}"}}]
[[stages]]
name = "all"
steps = 80
max_length = 128
sources = [{{path = "{}"}}]
)",
                    SourcePath("tests/golden/tokenizer/small"), kTinyGeometry, folder_ / "run",
                    folder_ / "data", folder_ / "data", folder_ / "data")));
  }

  static std::string Chat(const std::string& path, const std::string& answer) {
    const Json image = {{"type", "image"}, {"path", path}};
    const Json text = {{"type", "text"}, {"text", "Which colour?"}};
    const Json messages = {{{"role", "user"}, {"content", {image, text}}},
                           {{"role", "assistant"}, {"content", answer}}};
    return Json{{"messages", messages}}.dump() + "\n";
  }
  ProgramResult MakeData(const std::string& chats, const std::string& out) const {
    return RunFulmen({"train", "data", folder_ / chats, "--run", folder_ / "run.toml",
                      "--chat-format", "vl-01", "--out", folder_ / out});
  }

  struct Colour {
    std::string name;
    std::array<uint8_t, 3> pixel;
  };
  const std::vector<Colour> kColours = {{"red", {255, 0, 0}},      {"green", {0, 200, 0}},
                                        {"blue", {0, 0, 255}},     {"white", {255, 255, 255}},
                                        {"black", {0, 0, 0}},      {"yellow", {255, 255, 0}},
                                        {"pink", {255, 120, 190}}, {"brown", {110, 60, 20}}};
  TemporaryFolder folder_;
};

TEST_F(TrainImages, AModelLearnsEightPicturesAndAnswers) {
  const ProgramResult data = MakeData("chats/all.jsonl", "data");
  ASSERT_EQ(data.exit_code, 0) << data.err;
  EXPECT_NE(data.out.find("8 documents with 8 images"), std::string::npos) << data.out;
  const ProgramResult run = RunFulmen({"train", folder_ / "run.toml"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  for (size_t i = 0; i < kColours.size(); ++i) {
    const ProgramResult answer = RunFulmen({"run", "-m", folder_ / "run/model", "--image",
                                            folder_ / fmt::format("chats/{}.bmp", i),
                                            "--temperature", "0", "-n", "8", "Which colour?"});
    EXPECT_EQ(answer.exit_code, 0) << answer.err;
    EXPECT_EQ(answer.out, kColours[i].name + "\n");
  }
}

TEST_F(TrainImages, RefusesImagesThatAreNone) {
  const auto refusal = [&](const std::string& line) {
    EXPECT_TRUE(WriteFileAtomically(folder_ / "chats/bad.jsonl", line));
    const ProgramResult result = MakeData("chats/bad.jsonl", "bad");
    EXPECT_EQ(result.exit_code, 1);
    EXPECT_FALSE(std::filesystem::exists(folder_ / "bad"));
    return result.err;
  };
  const std::string where = folder_ / "chats/bad.jsonl:1: messages[0].content[0]: ";
  EXPECT_EQ(refusal(Chat("none.png", "red")),
            "fulmen: " + where + folder_ / "chats/none.png" + ": No such file or directory\n");
  ASSERT_TRUE(WriteFileAtomically(folder_ / "chats/torn.bmp", "BM, and that is all"));
  EXPECT_TRUE(refusal(Chat("torn.bmp", "red")).starts_with("fulmen: " + where));
  EXPECT_TRUE(refusal(Chat("", "red")).starts_with("fulmen: " + where + "an image is expected as"));
  // An assistant cannot show a picture by writing its marker.
  EXPECT_NE(refusal(Chat("0.bmp", "<image>")).find("found 1 for 2"), std::string::npos);
  const ProgramResult text = RunFulmen({"train", "data", folder_ / "chats/all.jsonl", "-m",
                                        SourcePath("tests/golden/text/hybrid-bf16"),
                                        "--chat-format", "vl-01", "--out", folder_ / "bad"});
  EXPECT_EQ(text.exit_code, 1);
  EXPECT_NE(text.err.find("a model that reads images is to say how they are cut"),
            std::string::npos)
      << text.err;
}

}  // namespace
}  // namespace fulmen::testing
