// Training on several ranks under mpirun: the same run on any number of them, and a lost one.
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <string>
#include <vector>

#include "base/file_io.h"
#include "base/json.h"
#include "tests/e2e/tiny_model.h"
#include "tests/testing/golden.h"
#include "tests/testing/subprocess.h"
#include "train/model_folder.h"
#include "train/run_lock.h"

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
    ASSERT_TRUE(WriteFileAtomically(
        folder_ / "run.toml",
        fmt::format(R"([model]
tokenizer = "{}"
{}
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
                    tokenizer, kTinyGeometry, folder_ / "run", folder_ / "data")));
  }

  std::vector<std::string> Command(const std::string& out) const {
    return {FulmenBinary(), "train", folder_ / "run.toml", "--out", folder_ / out};
  }
  std::string Weights(const std::string& out) const {
    return ReadFileOrDie(folder_ / (out + "/model/model.safetensors"));
  }
  // A number of every step.
  std::vector<double> LossCurve(const std::string& out, const std::string& name = "loss") const {
    std::vector<double> losses;
    const std::string metrics = ReadFileOrDie(folder_ / (out + "/metrics.jsonl"));
    for (size_t begin = 0; begin < metrics.size(); begin = metrics.find('\n', begin) + 1) {
      const Json line = *ParseJson(
          std::string_view(metrics).substr(begin, metrics.find('\n', begin) - begin), "metrics");
      if (line.contains(name)) losses.push_back(line[name].get<double>());
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

// What is dropped must not depend on who runs a batch. Dropping is a decision, so a rounding that
// flips one moves a loss; few steps keep it from happening.
TEST_F(TrainRanks, WithACapacityTheyDropTheSameTokens) {
  const std::vector<std::string> more = {"--loss.capacity", "0.8", "--stages.main.steps", "6"};
  const auto command = [&](const std::string& out) {
    std::vector<std::string> words = Command(out);
    words.insert(words.end(), more.begin(), more.end());
    return words;
  };
  ASSERT_EQ(RunProgram(command("alone")).exit_code, 0);
  const std::vector<double> expected = LossCurve("alone");
  const std::vector<double> dropped = LossCurve("alone", "dropped");
  EXPECT_GT(dropped[0], 0.02);
  for (const int ranks : {2, 4}) {
    const std::string out = fmt::format("on{}", ranks);
    const ProgramResult run = RunRanks(ranks, command(out));
    ASSERT_EQ(run.exit_code, 0) << run.err;
    const std::vector<double> also_dropped = LossCurve(out, "dropped");
    const std::vector<double> losses = LossCurve(out);
    for (size_t step = 0; step < expected.size(); ++step) {
      EXPECT_NEAR(losses[step], expected[step], 1e-5 * expected[step]) << ranks << ", " << step;
      EXPECT_NEAR(also_dropped[step], dropped[step], 1e-9) << ranks << ", " << step;
    }
  }
}

// Rank 1 alone gets the signal, once the run is under way.
TEST_F(TrainRanks, ASignalToOneOfThemStopsAllAfterTheSameStep) {
  std::vector<std::string> words = {
      "sh", "-c",
      fmt::format("if [ $OMPI_COMM_WORLD_RANK = 1 ]; then (until [ -s {}/metrics.jsonl ]; do sleep "
                  "0.02; done; kill -TERM $$) & fi; exec \"$0\" \"$@\"",
                  folder_ / "run")};
  const std::vector<std::string> train = Command("run");
  words.insert(words.end(), train.begin(), train.end());
  words.insert(words.end(), {"--stages.main.steps", "1000000", "--checkpoint.every", "0"});
  const ProgramResult run = RunRanks(2, words);
  EXPECT_EQ(run.exit_code, 128 + SIGTERM) << run.err;
  const std::string sentence = "--resume goes on from there";
  const size_t told = run.err.find(sentence);
  ASSERT_NE(told, std::string::npos) << run.err;
  EXPECT_EQ(run.err.find(sentence, told + 1), std::string::npos) << "once: " << run.err;
  EXPECT_EQ(ListCheckpoints(folder_ / "run/checkpoints").size(), 1U);
  EXPECT_TRUE(LoadCheckpoint(ListCheckpoints(folder_ / "run/checkpoints")[0]));
}

TEST_F(TrainRanks, ASecondTrainerIsToldWhoHoldsTheFolder) {
  std::string warning;
  const auto lock = RunLock::Acquire(folder_ / "run", warning);
  ASSERT_TRUE(lock);
  const ProgramResult run = RunRanks(2, Command("run"));
  EXPECT_EQ(run.exit_code, 1) << run.err;
  EXPECT_NE(run.err.find(fmt::format("is being trained in by process {} on ", getpid())),
            std::string::npos)
      << run.err;
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
    words.insert(words.end(), {"--resume-or-start", "--stages.main.steps", "60"});
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
