// The trainer as a user runs it: killed, interrupted, out of room.
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "base/file_io.h"
#include "tests/e2e/tiny_model.h"
#include "tests/testing/golden.h"
#include "tests/testing/subprocess.h"
#include "train/model_folder.h"
#include "train/prepare.h"
#include "train/shard_writer.h"

namespace fulmen::testing {
namespace {

namespace fs = std::filesystem;

class TrainCommand : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string data = folder_ / "data";
    ASSERT_TRUE(fs::create_directory(data));
    const auto tokenizer = Tokenizer::Load(SourcePath("tests/golden/tokenizer/small"));
    ShardWriter writer(data, 10'000, 500, TokenizerFingerprint(*tokenizer));
    std::mt19937 random(1);
    for (int i = 0; i < 200; ++i) {
      std::vector<int32_t> ids(2 + random() % 100);
      ids[0] = static_cast<int32_t>(random() % 300);
      for (size_t t = 1; t < ids.size(); ++t) ids[t] = ids[t - 1] + 1;
      ASSERT_TRUE(writer.Add({ids, {}}));
    }
    ASSERT_TRUE(writer.Finish());
    ASSERT_TRUE(WriteFileAtomically(
        folder_ / "run.toml", fmt::format(R"([model]
tokenizer = "{}"
{}
[schedule]
warmup_steps = 4
[batch]
tokens = 512
batches = 2
[checkpoint]
every = 3
[output]
folder = "{}"
type = "float32"
[run]
threads = 1
[[stages]]
name = "main"
steps = 60
max_length = 128
sources = [{{path = "{}"}}]
)",
                                          SourcePath("tests/golden/tokenizer/small"), kTinyGeometry,
                                          folder_ / "run", data)));
  }

  // The command line of a run, after `before`.
  std::vector<std::string> Command(std::vector<std::string> before, const std::string& out,
                                   const std::vector<std::string>& more = {}) const {
    for (const std::string& word : {FulmenBinary(), std::string("train"), folder_ / "run.toml",
                                    std::string("--out"), folder_ / out}) {
      before.push_back(word);
    }
    before.insert(before.end(), more.begin(), more.end());
    return before;
  }
  std::string Weights(const std::string& out) const {
    return ReadFileOrDie(folder_ / (out + "/model/model.safetensors"));
  }

  TemporaryFolder folder_;
};

TEST_F(TrainCommand, KilledAtAnyMomentAndResumedItEndsWithTheSameWeights) {
  const std::vector<std::string> steps = {"--stages.main.steps", "200", "--checkpoint.keep", "100"};
  const ProgramResult whole = RunProgram(Command({}, "whole", steps));
  ASSERT_EQ(whole.exit_code, 0) << whole.err;
  EXPECT_EQ(whole.out, "");
  // Once in the midst whatever the speed of the machine, then at any moment.
  const std::string script = fmt::format(
      R"("$@" & until [ -e '{}/step-0000006' ] || ! kill -0 $!; do sleep 0.01; done
kill -KILL $!; wait $!)",
      folder_ / "killed/checkpoints");
  const ProgramResult begun = RunProgram(Command({"sh", "-c", script, "sh"}, "killed", steps));
  ASSERT_EQ(begun.exit_code, 128 + SIGKILL) << begun.err;
  std::mt19937 random(7);
  int resumed = 0;
  // Grows from less than a start takes, so that a slow build gets through as well.
  double most_seconds = 0.2;
  for (int kills = 0; kills < 100; ++kills, most_seconds *= 1.2) {
    const double seconds = most_seconds * (0.3 + 0.7 * static_cast<double>(random() % 1000) / 1000);
    std::vector<std::string> more = steps;
    more.emplace_back("--resume-or-start");
    const ProgramResult run = RunProgram(
        Command({"timeout", "-s", "KILL", fmt::format("{:.3f}", seconds)}, "killed", more));
    ASSERT_EQ(run.err.find("fulmen:"), std::string::npos) << run.err;
    if (run.err.find("going on after step") != std::string::npos) ++resumed;
    if (run.exit_code == 0) break;
  }
  EXPECT_GT(resumed, 0) << "no kill was in the midst of the run";
  EXPECT_EQ(Weights("killed"), Weights("whole"));
}

TEST_F(TrainCommand, WhenTheDiskIsFullItSaysSoAndCheckpointsStay) {
  ASSERT_EQ(RunProgram(Command({}, "whole")).exit_code, 0);
  const ProgramResult begun =
      RunProgram(Command({}, "full", {"--stages.main.steps", "6", "--schedule.kind", "cosine"}));
  ASSERT_EQ(begun.exit_code, 0) << begun.err;
  fs::remove_all(folder_ / "full/model");
  // No file may pass 50 kB, as if the room ended there.
  const std::vector<std::string> limited = {"sh", "-c", "ulimit -f 100; exec \"$@\"", "sh"};
  const ProgramResult full = RunProgram(Command(limited, "full", {"--resume"}));
  EXPECT_EQ(full.exit_code, 1);
  EXPECT_NE(full.err.find("fulmen: cannot write " + folder_ / "full/checkpoints/step-0000009"),
            std::string::npos)
      << full.err;
  EXPECT_NE(full.err.find("File too large"), std::string::npos) << full.err;
  const std::vector<std::string> left = ListCheckpoints(folder_ / "full/checkpoints");
  ASSERT_EQ(left.size(), 2U);
  EXPECT_TRUE(LoadCheckpoint(left[0])) << left[0];
  EXPECT_FALSE(fs::exists(folder_ / "full/checkpoints/step-0000009.partial"));
  const ProgramResult resumed = RunProgram(Command({}, "full", {"--resume"}));
  EXPECT_EQ(resumed.exit_code, 0) << resumed.err;
}

TEST_F(TrainCommand, InterruptedItWritesACheckpointAndTellsHowToGoOn) {
  const ProgramResult run =
      RunProgram(Command({}, "run", {"--stages.main.steps=1000000", "--checkpoint.every", "0"}),
                 {.interrupt_after = {"main step 1/1000000"}});
  EXPECT_EQ(run.exit_code, 130) << run.err;
  EXPECT_NE(run.err.find("of 1000000; --resume goes on from there"), std::string::npos) << run.err;
  EXPECT_EQ(ListCheckpoints(folder_ / "run/checkpoints").size(), 1U);
  EXPECT_FALSE(fs::exists(folder_ / "run/lock"));
}

TEST_F(TrainCommand, EverySignalThatEndsProgramsIsARequestToStop) {
  for (const int signal : {SIGTERM, SIGHUP}) {
    const std::string out = fmt::format("run-{}", signal);
    const ProgramResult run =
        RunProgram(Command({}, out, {"--stages.main.steps=1000000", "--checkpoint.every", "0"}),
                   {.interrupt_after = {"main step 1/1000000"}, .interrupt_with = signal});
    EXPECT_EQ(run.exit_code, 128 + signal) << run.err;
    EXPECT_NE(run.err.find("--resume goes on from there"), std::string::npos) << run.err;
    EXPECT_EQ(ListCheckpoints(folder_ / (out + "/checkpoints")).size(), 1U);
  }
}

// The first step would take ten seconds or more.
TEST_F(TrainCommand, ASecondSignalEndsItAtOnce) {
  const std::string script = fmt::format(
      "(until [ -e {}/config.toml ]; do sleep 0.02; done; kill -TERM $$; sleep 0.2; kill -TERM $$) "
      "& exec \"$@\"",
      folder_ / "run");
  const ProgramResult run =
      RunProgram(Command({"sh", "-c", script, "sh"}, "run", {"--batch.batches", "4000"}));
  EXPECT_EQ(run.exit_code, 128 + SIGTERM) << run.err;
  EXPECT_FALSE(fs::exists(folder_ / "run/checkpoints"));
}

TEST_F(TrainCommand, UnderNohupATerminalThatClosesIsNothing) {
  const ProgramResult run =
      RunProgram(Command({"sh", "-c", "trap '' HUP; exec \"$@\"", "sh"}, "run"),
                 {.interrupt_after = {"main step 1/60"}, .interrupt_with = SIGHUP});
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_TRUE(fs::exists(folder_ / "run/model"));
}

// The first trainer holds still, stopped by its own shell, while the second one asks.
TEST_F(TrainCommand, ASecondTrainerIsToldWhoHoldsTheFolder) {
  const std::string script = R"("$@" --stages.main.steps 1000000 --checkpoint.every 0 2>first.err &
until [ -s run/metrics.jsonl ]; do sleep 0.02; done
"$@" --resume-or-start; echo "second $?"
echo "first is $!"
kill -KILL $!; wait $!
"$@" --resume-or-start && echo "third goes on")";
  const ProgramResult run =
      RunProgram(Command({"sh", "-c", script, "sh"}, "run"), {.folder = folder_.path()});
  EXPECT_NE(run.out.find("second 1\n"), std::string::npos) << run.out << run.err;
  const size_t first = run.out.find("first is ");
  ASSERT_NE(first, std::string::npos);
  const std::string pid = run.out.substr(first + 9, run.out.find('\n', first) - first - 9);
  EXPECT_NE(run.err.find(fmt::format("fulmen: {} is being trained in by process {} on ",
                                     folder_ / "run", pid)),
            std::string::npos)
      << run.err;
  EXPECT_NE(run.out.find("third goes on"), std::string::npos)
      << "a killed trainer holds nothing: " << run.err;
}

TEST_F(TrainCommand, ResumingNothingSaysSo) {
  const ProgramResult run = RunProgram(Command({}, "run", {"--resume"}));
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_NE(run.err.find("has no checkpoint to go on from; --resume-or-start begins anew then"),
            std::string::npos)
      << run.err;
  EXPECT_FALSE(fs::exists(folder_ / "run"));
}

TEST_F(TrainCommand, OptionsThatWouldDoNothingAreRefused) {
  const std::vector<std::vector<std::string>> pairs = {
      {"--print-config", "--resume"},     {"--print-config", "--resume-or-start"},
      {"--print-config", "--dry-run"},    {"--dry-run", "--resume"},
      {"--dry-run", "--resume-or-start"}, {"--resume", "--resume-or-start"}};
  for (const std::vector<std::string>& pair : pairs) {
    const ProgramResult run = RunProgram(Command({}, "run", pair));
    EXPECT_NE(run.exit_code, 0) << pair[0] << " " << pair[1];
    EXPECT_EQ(run.out, "");
    EXPECT_NE(run.err.find(pair[0]), std::string::npos) << run.err;
    EXPECT_NE(run.err.find(pair[1]), std::string::npos) << run.err;
    EXPECT_FALSE(fs::exists(folder_ / "run"));
  }
}

TEST_F(TrainCommand, TheModelRuns) {
  ASSERT_EQ(RunProgram(Command({}, "run")).exit_code, 0);
  for (const char* model : {"run/model", "run/checkpoints/step-0000060"}) {
    const ProgramResult answer =
        RunFulmen({"run", "-m", folder_ / model, "-p", "a", "-n", "3", "--ignore-eos", "--quiet"});
    EXPECT_EQ(answer.exit_code, 0) << answer.err;
  }
}

TEST_F(TrainCommand, QuietItSaysNothingOfHowItGoes) {
  const ProgramResult run = RunProgram(Command({}, "run", {"-q", "--stages.main.steps", "6"}));
  EXPECT_EQ(run.exit_code, 0);
  EXPECT_EQ(run.out + run.err, "");
}

TEST_F(TrainCommand, ADryRunOnlyTells) {
  const ProgramResult run = RunProgram(Command({}, "run", {"--dry-run"}));
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_NE(run.out.find("60 steps, up to 61.4 K tokens, on 1 rank"), std::string::npos) << run.out;
  EXPECT_FALSE(fs::exists(folder_ / "run"));
}

// The memory that --dry-run tells is that of arrays; the program, its libraries and the pages of
// files are another 40 MB at most, and arrays of 2 MiB and more are rounded up to huge pages.
TEST_F(TrainCommand, ADryRunTellsTheMemoryThatIsTaken) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers have memory of their own";
#endif
  const std::vector<std::string> large = {"--model.hidden_size",
                                          "256",
                                          "--model.heads",
                                          "8",
                                          "--model.head_dim",
                                          "32",
                                          "--model.layers",
                                          "4",
                                          "--batch.tokens",
                                          "2048",
                                          "--model.rotary_dim",
                                          "16",
                                          "--batch.batches",
                                          "1",
                                          "--stages.main.steps",
                                          "2",
                                          "--schedule.warmup_steps",
                                          "0",
                                          "--model.intermediate_size",
                                          "512"};
  double with_recompute = 0;
  for (const char* recompute : {"true", "false"}) {
    const std::string out = fmt::format("recompute-{}", recompute);
    std::vector<std::string> more = large;
    more.push_back(fmt::format("--batch.recompute={}", recompute));
    more.emplace_back("--dry-run");
    const ProgramResult told = RunProgram(Command({}, out, more));
    ASSERT_EQ(told.exit_code, 0) << told.err;
    const std::string before = "memory of a rank: ";
    const size_t found = told.out.find(before);
    ASSERT_NE(found, std::string::npos) << told.out;
    const double estimate = std::stod(told.out.substr(found + before.size()));
    more.pop_back();
    const ProgramResult run = RunProgram(Command({}, out, more));
    ASSERT_EQ(run.exit_code, 0) << run.err;
    const auto measured = static_cast<double>(run.peak_bytes);
    EXPECT_GT(measured, 0.85 * estimate) << told.out;
    EXPECT_LT(measured, 1.15 * estimate + 40e6) << told.out;
    EXPECT_GT(estimate, 1.2 * with_recompute);
    with_recompute = estimate;
  }
}

TEST_F(TrainCommand, PrintsAConfigThatItReads) {
  const ProgramResult printed = RunFulmen({"train", "--print-config"});
  ASSERT_EQ(printed.exit_code, 0) << printed.err;
  ASSERT_TRUE(WriteFileAtomically(folder_ / "printed.toml", printed.out));
  const ProgramResult again = RunFulmen({"train", "--print-config", folder_ / "printed.toml"});
  EXPECT_EQ(again.out, printed.out) << again.err;
  const ProgramResult changed = RunFulmen({"train", "--stages.main.steps", "5", "--optimizer.clip",
                                           "2", "--print-config", folder_ / "printed.toml"});
  EXPECT_EQ(changed.exit_code, 1) << "a warm-up of 100 steps does not fit into 5";
  EXPECT_NE(changed.err.find("schedule.warmup_steps 100"), std::string::npos) << changed.err;
}

TEST_F(TrainCommand, SaysWhatIsWrongWithACommandLine) {
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases = {
      {{"train"}, "CONFIG is missing"},
      {{"train", "a.toml", "b.toml"}, "fulmen train takes one argument, found \"b.toml\" besides"},
      {{"train", "a.toml", "--optimiser.clip", "1"}, "did you mean --optimizer.clip?"},
      {{"train", "a.toml", "--batch.tokens", "0x400"}, "found \"0x400\""},
      {{"train", "a.toml", "--batch.tokens", "1"},
       "a whole number from 2 to 1073741824, found \"1\""},
      {{"train", "a.toml", "--schedule.kind", "step"}, "constant, linear, cosine or wsd"},
      {{"train", "a.toml", "--stages.main.steps"}, "followed by a value"},
  };
  for (const auto& [arguments, expected] : cases) {
    const ProgramResult run = RunFulmen(arguments);
    EXPECT_EQ(run.exit_code, 2) << run.err;
    EXPECT_EQ(run.out, "");
    EXPECT_NE(run.err.find(expected), std::string::npos) << run.err;
  }
  const ProgramResult stage = RunFulmen({"train", folder_ / "run.toml", "--stages.main.lr", "1"});
  EXPECT_EQ(stage.exit_code, 1);
  EXPECT_NE(stage.err.find("--stages.main.lr: [stages] has no field \"lr\""), std::string::npos)
      << stage.err;
}

}  // namespace
}  // namespace fulmen::testing
