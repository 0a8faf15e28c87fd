// Training on several ranks under mpirun: the same run on any number of them, and a lost one.
#include <gtest/gtest.h>

#include <csignal>
#include <string>
#include <vector>

#include "base/file_io.h"
#include "base/json.h"
#include "tests/testing/golden.h"
#include "tests/testing/subprocess.h"

namespace fulmen::testing {
namespace {

class TrainRanks : public ::testing::Test {
 protected:
  void SetUp() override {
#ifndef FULMEN_MPI
    GTEST_SKIP() << "built without MPI";
#endif
    const std::string tokenizer = SourcePath("tests/golden/tokenizer/small");
    std::string documents;
    for (int i = 0; i < 60; ++i) {
      const std::string text = fmt::format("{} and {} are {}, is what I was told. ", i, i, 2 * i);
      documents += Json{{"text", text + text}}.dump() + "\n";
    }
    ASSERT_TRUE(WriteFileAtomically(folder_ / "sums.jsonl", documents));
    const ProgramResult data = RunFulmen(
        {"train", "data", folder_ / "sums.jsonl", "-m", tokenizer, "--out", folder_ / "data"});
    ASSERT_EQ(data.exit_code, 0) << data.err;
    ASSERT_TRUE(WriteFileAtomically(folder_ / "run.toml",
                                    fmt::format(R"([model]
tokenizer = "{}"
hidden_size = 32
layers = 2
softmax_every = 2
heads = 2
kv_heads = 1
head_dim = 16
rotary_dim = 8
experts = 4
intermediate_size = 32
[schedule]
warmup_steps = 4
[batch]
tokens = 128
batches = 4
[checkpoint]
every = 2
[output]
folder = "{}"
type = "float32"
[run]
threads = 1
[[stages]]
name = "main"
steps = 12
max_length = 128
sources = [{{path = "{}"}}]
)",
                                                tokenizer, folder_ / "run", folder_ / "data")));
  }

  std::vector<std::string> Command(const std::string& out) const {
    return {FulmenBinary(), "train", folder_ / "run.toml", "--out", folder_ / out};
  }
  std::string Weights(const std::string& out) const {
    return ReadFileOrDie(folder_ / (out + "/model/model.safetensors"));
  }
  // Of every step.
  std::vector<double> LossCurve(const std::string& out) const {
    std::vector<double> losses;
    const std::string metrics = ReadFileOrDie(folder_ / (out + "/metrics.jsonl"));
    for (size_t begin = 0; begin < metrics.size(); begin = metrics.find('\n', begin) + 1) {
      const Json line = *ParseJson(
          std::string_view(metrics).substr(begin, metrics.find('\n', begin) - begin), "metrics");
      if (line.contains("loss")) losses.push_back(line["loss"].get<double>());
    }
    return losses;
  }

  TemporaryFolder folder_;
};

TEST_F(TrainRanks, AnyNumberOfThemGivesTheSameLosses) {
  ASSERT_EQ(RunProgram(Command("alone")).exit_code, 0);
  const std::vector<double> expected = LossCurve("alone");
  ASSERT_EQ(expected.size(), 12U);
  for (const int ranks : {2, 4}) {
    const std::string out = fmt::format("on{}", ranks);
    const ProgramResult run = RunRanks(ranks, Command(out));
    ASSERT_EQ(run.exit_code, 0) << run.err;
    const std::vector<double> losses = LossCurve(out);
    ASSERT_EQ(losses.size(), expected.size());
    for (size_t step = 0; step < losses.size(); ++step) {
      EXPECT_NEAR(losses[step], expected[step], 1e-5 * expected[step])
          << ranks << ", step " << step;
    }
  }
  ASSERT_EQ(RunRanks(2, Command("again")).exit_code, 0);
  EXPECT_EQ(Weights("again"), Weights("on2"));
}

TEST_F(TrainRanks, ALostRankIsNamedAndTheRunGoesOnFromItsCheckpoint) {
  const auto command = [&](const std::string& out, double seconds) {
    std::vector<std::string> words = {
        "sh", "-c",
        fmt::format("if [ $OMPI_COMM_WORLD_RANK = 1 ]; then exec timeout -s KILL {} \"$0\" \"$@\"; "
                    "else exec \"$0\" \"$@\"; fi",
                    seconds)};
    const std::vector<std::string> train = Command(out);
    words.insert(words.end(), train.begin(), train.end());
    words.insert(words.end(), {"--resume", "--stages.main.steps", "60"});
    return words;
  };
  ASSERT_EQ(RunRanks(2, command("whole", 60)).exit_code, 0);
  int losses = 0;
  for (double seconds = 0.5;; seconds *= 1.6) {
    const ProgramResult run = RunRanks(2, command("lost", seconds));
    if (run.exit_code == 0) break;
    ASSERT_LT(++losses, 15);
    EXPECT_EQ(run.exit_code, 128 + SIGKILL) << run.err;
    EXPECT_NE(run.err.find("rank 1"), std::string::npos) << run.err;
  }
  EXPECT_GT(losses, 0);
  EXPECT_EQ(Weights("lost"), Weights("whole"));
}

}  // namespace
}  // namespace fulmen::testing
