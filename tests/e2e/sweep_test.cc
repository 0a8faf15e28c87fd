// A sweep as a user runs it: to its end, interrupted and resumed, and told nonsense.
#include <gtest/gtest.h>

#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "base/file_io.h"
#include "base/json.h"
#include "tests/testing/golden.h"
#include "tests/testing/subprocess.h"
#include "train/prepare.h"
#include "train/shard_writer.h"

namespace fulmen::testing {
namespace {

namespace fs = std::filesystem;

class SweepCommand : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto tokenizer = Tokenizer::Load(SourcePath("tests/golden/tokenizer/small"));
    std::mt19937 random(1);
    for (const std::string data : {"data", "held-out"}) {
      ASSERT_TRUE(fs::create_directory(folder_ / data));
      ShardWriter writer(folder_ / data, 10'000, 500, TokenizerFingerprint(*tokenizer));
      for (int i = 0; i < 100; ++i) {
        std::vector<int32_t> ids(2 + random() % 60);
        ids[0] = static_cast<int32_t>(random() % 300);
        for (size_t t = 1; t < ids.size(); ++t) ids[t] = ids[t - 1] + 1;
        ASSERT_TRUE(writer.Add({ids, {}}));
      }
      ASSERT_TRUE(writer.Finish());
    }
    ASSERT_TRUE(WriteFileAtomically(folder_ / "sweep.toml",
                                    fmt::format(R"([model]
tokenizer = "{0}"
hidden_size = 32
layers = 2
softmax_every = 2
heads = 4
kv_heads = 2
head_dim = 8
rotary_dim = 4
experts = 1
experts_per_token = 1
intermediate_size = 64
[schedule]
kind = "constant"
warmup_steps = 2
[batch]
tokens = 256
[evaluation]
data = "{1}"
every = 2
batches = 1
[run]
threads = 1
[output]
folder = "unset"
[[stages]]
name = "main"
steps = 24
max_length = 64
sources = [{{path = "{2}"}}]
)",
                                                SourcePath("tests/golden/tokenizer/small"),
                                                folder_ / "held-out", folder_ / "data")));
  }

  ProgramResult Sweep(const std::string& out, const std::vector<std::string>& more,
                      const ProgramOptions& options = {}) const {
    std::vector<std::string> command = {"train", "sweep", folder_ / "sweep.toml", "--out",
                                        folder_ / out};
    command.insert(command.end(), more.begin(), more.end());
    return RunFulmen(command, options);
  }
  // Without the times, which differ.
  static Json Findings(const std::string& text) {
    Json json = *ParseJson(text, "sweep.json");
    for (Json& run : json["runs"]) run.erase("seconds");
    return json;
  }

  TemporaryFolder folder_;
};

TEST_F(SweepCommand, InterruptedAndResumedItFindsTheSame) {
  const std::vector<std::string> sizes = {"--sizes", "16x2,32x2,48x2", "--json"};
  const ProgramResult whole = Sweep("whole", sizes);
  ASSERT_EQ(whole.exit_code, 0) << whole.err;
  EXPECT_NE(whole.err.find("run 9/9 "), std::string::npos) << whole.err;
  const Json found = Findings(whole.out);
  ASSERT_EQ(found["runs"].size(), 9U);
  for (const Json& run : found["runs"]) {
    EXPECT_EQ(run["tokens"], found["runs"][0]["tokens"]) << "the same data for every run";
    EXPECT_EQ(run["curve"].size(), 11U) << "every second step after the warm-up";
  }
  EXPECT_EQ(found["kinds"].size(), 3U);
  EXPECT_EQ(Findings(ReadFileOrDie(folder_ / "whole/sweep.json")), found);
  EXPECT_NE(ReadFileOrDie(folder_ / "whole/sweep.html").find("</html>"), std::string::npos);

  const ProgramResult cut = Sweep("cut", sizes, {.interrupt_after = {"run 3/9"}});
  EXPECT_EQ(cut.exit_code, 130) << cut.err;
  EXPECT_EQ(cut.out, "");
  EXPECT_NE(cut.err.find("of 9, "), std::string::npos) << cut.err;
  EXPECT_NE(cut.err.find("--resume goes on from there"), std::string::npos) << cut.err;
  const ProgramResult again = Sweep("cut", sizes);
  EXPECT_NE(again.err.find("cut is not empty; --resume goes on"), std::string::npos) << again.err;
  const auto done = fs::last_write_time(folder_ / "cut/softmax-16x2/checkpoints/step-0000024");

  std::vector<std::string> resume = sizes;
  resume.emplace_back("--resume");
  const ProgramResult resumed = Sweep("cut", resume);
  ASSERT_EQ(resumed.exit_code, 0) << resumed.err;
  EXPECT_EQ(Findings(resumed.out), found);
  EXPECT_EQ(fs::last_write_time(folder_ / "cut/softmax-16x2/checkpoints/step-0000024"), done)
      << "a run that is done is not repeated";
}

TEST_F(SweepCommand, PrintsTablesAndTakesFieldsAsFlags) {
  const ProgramResult run = Sweep("out", {"--kinds", "softmax,hybrid", "--stages.main.steps=6",
                                          "--optimizer.learning_rate", "3e-3"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  for (const char* part : {"softmax-16x2", "hybrid-32x2", "hybrid-48x2", "1.82e+08 C^0.7118",
                           "Lowest held-out loss at equal compute"}) {
    EXPECT_NE(run.out.find(part), std::string::npos) << part << "\n" << run.out;
  }
  EXPECT_EQ(run.out.find("lightning-"), std::string::npos);
  EXPECT_NE(ReadFileOrDie(folder_ / "out/hybrid-32x2/config.toml").find("learning_rate = 0.003"),
            std::string::npos);
}

TEST_F(SweepCommand, SaysWhatIsWrongWithACommandLine) {
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases = {
      {{"--sizes", "20x2"}, "size 20x2 has no whole model.heads"},
      {{"--schedule.kind", "cosine"}, "schedule.kind should be constant"},
      {{"--evaluation.data", ""}, "evaluation.data is missing"},
      {{"--stages.main.lr", "1"}, "[stages] has no field \"lr\""},
  };
  for (const auto& [arguments, expected] : cases) {
    const ProgramResult run = Sweep("bad", arguments);
    EXPECT_EQ(run.exit_code, 1) << expected;
    EXPECT_EQ(run.out, "");
    EXPECT_NE(run.err.find(expected), std::string::npos) << run.err;
    EXPECT_FALSE(fs::exists(folder_ / "bad")) << expected;
  }
  const std::vector<std::pair<std::vector<std::string>, std::string>> usage = {
      {{"--sizes", "16x2,big"}, "--sizes should be HIDDENxLAYERS"},
      {{"--kinds", "softmax,linear"}, "--kinds should be some of softmax, lightning, hybrid"},
      {{"--optimizer.learning_rat", "1"}, "did you mean --optimizer.learning_rate?"},
      {{"other.toml"}, "takes one argument, found \"other.toml\" besides"},
  };
  for (const auto& [arguments, expected] : usage) {
    const ProgramResult run = Sweep("bad", arguments);
    EXPECT_EQ(run.exit_code, 2) << expected;
    EXPECT_NE(run.err.find(expected), std::string::npos) << run.err;
  }
  EXPECT_NE(RunFulmen({"train", "sweep"}).err.find("CONFIG is missing"), std::string::npos);
}

}  // namespace
}  // namespace fulmen::testing
