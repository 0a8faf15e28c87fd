#include "train/trainer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <filesystem>
#include <random>

#include "base/file_io.h"
#include "base/json.h"
#include "tests/testing/golden.h"
#include "train/model_folder.h"
#include "train/prepare.h"
#include "train/run_description.h"
#include "train/shard_writer.h"
#include "train/testing/tiny_model.h"

namespace fulmen {
namespace {

namespace fs = std::filesystem;

// A run of 12 steps in two stages that takes a fraction of a second.
class TrainerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    WriteData(folder_ / "data", 1);
    WriteData(folder_ / "held-out", 2);
  }

  // Documents of random length that count up from a random number: something to learn quickly.
  static void WriteData(const std::string& path, unsigned seed) {
    ASSERT_TRUE(fs::create_directory(path));
    const auto tokenizer = Tokenizer::Load(testing::SourcePath("tests/golden/tokenizer/small"));
    ShardWriter writer(path, 1000, 100, TokenizerFingerprint(*tokenizer));
    std::mt19937 random(seed);
    for (int i = 0; i < 60; ++i) {
      std::vector<int32_t> ids(2 + random() % 30);
      ids[0] = static_cast<int32_t>(random() % 50);
      for (size_t t = 1; t < ids.size(); ++t) ids[t] = ids[t - 1] + 1;
      ASSERT_TRUE(writer.Add({ids, {}}));
    }
    ASSERT_TRUE(writer.Finish());
  }

  TrainingConfig Config(const std::string& run) const {
    TrainingConfig config;
    config.model = testing::TinyModelSection();
    config.schedule.warmup_steps = 2;
    config.optimizer.learning_rate = 1e-2;
    config.batch.tokens = 64;
    config.batch.batches = 2;
    config.stages.resize(2);
    config.stages[0] = {"short", 7, 0, 16, 0, 1, 0, {{folder_ / "data", 1}}};
    config.stages[1] = {"long", 5, 0, 32, 20000, 0.5, 96, {{folder_ / "data", 1}}};
    config.evaluation.data = folder_ / "held-out";
    config.evaluation.every = 4;
    config.evaluation.batches = 2;
    config.checkpoint.every = 4;
    config.output.folder = folder_ / run;
    config.output.type = "float32";
    config.output.report_every = 3;
    return config;
  }

  Status RunTraining(const TrainingConfig& config, bool resume = false, int64_t stop_after = 0) {
    return RunTraining(config, resume ? RunStart::kResume : RunStart::kNew, stop_after);
  }
  Status RunTraining(const TrainingConfig& config, RunStart start, int64_t stop_after = 0) {
    std::atomic<int> stop = 0;
    TrainingOptions options;
    options.start = start;
    options.stop = &stop;
    // Steps look at the flag before they end, so the one after `stop_after` is the last.
    options.progress = [&](const TrainingProgress& progress) {
      losses_.push_back(progress.metrics.cross_entropy);
      if (progress.metrics.step == stop_after - 1) stop = SIGINT;
    };
    options.say = [&](const std::string& sentence) { said_ += sentence + "\n"; };
    options.warn = options.say;
    ThreadPool pool(threads_);
    const auto ranks = SingleProcess();
    return Train(config, options, pool, *ranks);
  }

  static std::string Weights(const TrainingConfig& config) {
    return testing::ReadFileOrDie(config.output.folder + "/model/model.safetensors");
  }
  // Lines of metrics.jsonl but for what depends on the time.
  static std::vector<std::string> Log(const TrainingConfig& config) {
    const std::string text = testing::ReadFileOrDie(config.output.folder + "/metrics.jsonl");
    std::vector<std::string> lines;
    for (size_t begin = 0; begin < text.size(); begin = text.find('\n', begin) + 1) {
      Json line = *ParseJson(text.substr(begin, text.find('\n', begin) - begin), "metrics");
      for (const char* name : {"seconds", "tokens_per_second", "peak_share"}) line.erase(name);
      lines.push_back(line.dump());
    }
    return lines;
  }
  static std::vector<std::string> CheckpointNames(const TrainingConfig& config) {
    std::vector<std::string> names;
    for (const std::string& path : ListCheckpoints(config.output.folder + "/checkpoints")) {
      names.push_back(fs::path(path).filename().string());
    }
    return names;
  }

  testing::TemporaryFolder folder_;
  std::vector<double> losses_;
  std::string said_;
  int threads_ = 1;
};

TEST_F(TrainerTest, LearnsAndLeavesEverything) {
  const TrainingConfig config = Config("run");
  const Status status = RunTraining(config);
  ASSERT_TRUE(status) << status.error().message;
  ASSERT_EQ(losses_.size(), 12U);
  EXPECT_NEAR(losses_.front(), std::log(512), 0.2) << "a new model knows nothing";
  EXPECT_LT(losses_.back(), losses_.front() - 0.5);
  EXPECT_EQ(CheckpointNames(config),
            (std::vector<std::string>{"step-0000012", "step-0000008", "step-0000004"}));
  for (const std::string& folder :
       {std::string("/model"), std::string("/checkpoints/step-0000012")}) {
    const auto model = LoadModel(config.output.folder + folder);
    ASSERT_TRUE(model) << model.error().message;
    EXPECT_EQ(model->config.rope_base, 20000) << "of the last stage";
    EXPECT_TRUE(fs::exists(config.output.folder + folder + "/tokenizer.json"));
  }
  EXPECT_EQ(LoadModel(config.output.folder + "/checkpoints/step-0000004")->config.rope_base, 10000);
  const auto log = MetricsLog::Open(config.output.folder + "/metrics.jsonl", 100);
  EXPECT_EQ(log->history().steps.size(), 12U);
  EXPECT_EQ(log->history().held_out.size(), 3U);
  EXPECT_EQ(log->history().loads.size(), 4U);
  for (const std::vector<double>& shares : log->history().loads[0].shares) {
    EXPECT_NEAR(shares[0] + shares[1] + shares[2] + shares[3], 1, 1e-12);
  }
  EXPECT_TRUE(
      ParseTrainingConfig(testing::ReadFileOrDie(config.output.folder + "/config.toml"), ""));
  EXPECT_NE(testing::ReadFileOrDie(config.output.folder + "/report.html").find("12 of 12"),
            std::string::npos);
}

TEST_F(TrainerTest, Bf16LearnsAsFloat32Does) {
  TrainingConfig config = Config("float32");
  ASSERT_TRUE(RunTraining(config));
  const std::vector<double> expected = losses_;
  losses_.clear();
  config = Config("bfloat16");
  config.run.precision = "bfloat16";
  ASSERT_TRUE(RunTraining(config));
  ASSERT_EQ(losses_.size(), expected.size());
  EXPECT_NE(losses_, expected);
  for (size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(losses_[i], expected[i], 0.02) << i;
}

TEST_F(TrainerTest, ResumedRunsEndWithTheSameBits) {
  const TrainingConfig whole = Config("whole");
  ASSERT_TRUE(RunTraining(whole));
  const std::vector<double> losses = losses_;
  // Step 7 ends the first stage.
  for (const int64_t stop_after : {2, 7, 8, 11}) {
    SCOPED_TRACE(stop_after);
    losses_.clear();
    const TrainingConfig config = Config("stopped-" + std::to_string(stop_after));
    const Status stopped = RunTraining(config, false, stop_after);
    ASSERT_FALSE(stopped);
    EXPECT_EQ(stopped.error().code, ErrorCode::kCancelled);
    EXPECT_EQ(stopped.error().message,
              fmt::format("stopped after step {} of 12; --resume goes on from there", stop_after));
    threads_ = 3 - threads_;
    const Status resumed = RunTraining(config, true);
    ASSERT_TRUE(resumed) << resumed.error().message;
    EXPECT_EQ(losses_, losses);
    EXPECT_EQ(Weights(config), Weights(whole));
    EXPECT_EQ(Log(config), Log(whole));
  }
}

// A run killed at once is a folder with some checkpoints and a log that is ahead of them.
TEST_F(TrainerTest, GoesOnFromTheNewestWholeCheckpoint) {
  const TrainingConfig config = Config("run");
  ASSERT_TRUE(RunTraining(config));
  const std::string weights = Weights(config);
  const std::string checkpoints = config.output.folder + "/checkpoints/";
  const std::string log = testing::ReadFileOrDie(config.output.folder + "/metrics.jsonl");
  fs::remove_all(config.output.folder + "/model");
  fs::remove_all(checkpoints + "step-0000012");
  fs::create_directory(checkpoints + "step-0000012.partial");
  fs::resize_file(checkpoints + "step-0000008/optimizer.safetensors", 1000);
  losses_.clear();
  const Status resumed = RunTraining(config, true);
  ASSERT_TRUE(resumed) << resumed.error().message;
  EXPECT_EQ(losses_.size(), 8U);
  EXPECT_NE(said_.find("passing over a broken checkpoint: " + checkpoints + "step-0000008"),
            std::string::npos)
      << said_;
  EXPECT_EQ(Weights(config), weights);
  EXPECT_EQ(MetricsLog::Open(config.output.folder + "/metrics.jsonl", 100)->history().steps.size(),
            12U);
  EXPECT_FALSE(fs::exists(checkpoints + "step-0000012.partial"));
}

// A torn checkpoint with a higher number than any the resumed run writes for a while.
TEST_F(TrainerTest, NeverRemovesTheNewestGoodCheckpoint) {
  TrainingConfig config = Config("run");
  config.checkpoint.every = 2;
  config.checkpoint.keep = 1;
  ASSERT_FALSE(RunTraining(config, false, 3));
  const std::string checkpoints = config.output.folder + "/checkpoints";
  ASSERT_EQ(CheckpointNames(config), (std::vector<std::string>{"step-0000003"}));
  fs::copy(checkpoints + "/step-0000003", checkpoints + "/step-0000011");
  fs::resize_file(checkpoints + "/step-0000011/optimizer.safetensors", 1000);
  const Status stopped = RunTraining(config, true, 6);
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().code, ErrorCode::kCancelled) << stopped.error().message;
  EXPECT_EQ(CheckpointNames(config), (std::vector<std::string>{"step-0000006"}));
  EXPECT_TRUE(LoadCheckpoint(checkpoints + "/step-0000006"));
  EXPECT_TRUE(fs::exists(checkpoints + "/step-0000011.broken")) << "whoever wants may look at it";
  ASSERT_TRUE(RunTraining(config, true));
  EXPECT_EQ(CheckpointNames(config), (std::vector<std::string>{"step-0000012"}));
}

TEST_F(TrainerTest, ARunWhoseCheckpointsAreAllBrokenIsLeftAlone) {
  TrainingConfig config = Config("run");
  ASSERT_FALSE(RunTraining(config, false, 3));
  fs::resize_file(config.output.folder + "/checkpoints/step-0000003/model.safetensors", 100);
  for (const RunStart start : {RunStart::kResume, RunStart::kResumeOrNew}) {
    const Status status = RunTraining(config, start);
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().message,
              config.output.folder + "/checkpoints: every checkpoint is broken");
    EXPECT_EQ(CheckpointNames(config), (std::vector<std::string>{"step-0000003"}));
    EXPECT_EQ(Log(config).size(), 4U) << "three steps and the load of the experts";
  }
}

TEST_F(TrainerTest, ResumingNothingIsAnErrorUnlessARunMayBegin) {
  const TrainingConfig config = Config("run");
  const Status nothing = RunTraining(config, RunStart::kResume);
  ASSERT_FALSE(nothing);
  EXPECT_EQ(nothing.error().message,
            config.output.folder +
                " has no checkpoint to go on from; --resume-or-start begins anew then");
  EXPECT_FALSE(fs::exists(config.output.folder));
  ASSERT_FALSE(RunTraining(config, RunStart::kResumeOrNew, 5)) << "stopped";
  ASSERT_TRUE(RunTraining(config, RunStart::kResumeOrNew));
  EXPECT_EQ(losses_.size(), 12U) << "the second went on";
}

TEST_F(TrainerTest, ASecondTrainerInTheFolderIsToldWhoIsThere) {
  const TrainingConfig config = Config("run");
  ASSERT_FALSE(RunTraining(config, false, 3));
  const std::vector<std::string> log = Log(config);
  std::string warning;
  const auto lock = RunLock::Acquire(config.output.folder, warning);
  ASSERT_TRUE(lock);
  for (const RunStart start : {RunStart::kNew, RunStart::kResume, RunStart::kResumeOrNew}) {
    const Status second = RunTraining(config, start);
    ASSERT_FALSE(second);
    EXPECT_TRUE(second.error().message.starts_with(config.output.folder +
                                                   " is being trained in by process "))
        << second.error().message;
  }
  EXPECT_EQ(Log(config), log);
}

// What is scored must not depend on the stage: neither on its sources nor on its lengths.
TEST_F(TrainerTest, WithoutLearningTheHeldOutLossStaysTheSame) {
  WriteData(folder_ / "more", 3);
  TrainingConfig config = Config("run");
  config.optimizer.learning_rate = 0;
  config.stages[1].rope_theta = 0;
  config.stages[1].sources.push_back({folder_ / "more", 1});
  config.evaluation.every = 1;
  ASSERT_TRUE(RunTraining(config));
  const auto history = ReadHistory(config.output.folder + "/metrics.jsonl");
  ASSERT_TRUE(history);
  ASSERT_EQ(history->held_out.size(), 12U);
  for (const HeldOutLoss& held_out : history->held_out) {
    EXPECT_EQ(held_out.cross_entropy, history->held_out[0].cross_entropy) << held_out.step;
  }
}

TEST_F(TrainerTest, KeepsTheNewestCheckpointsOnly) {
  TrainingConfig config = Config("run");
  config.checkpoint.every = 2;
  config.checkpoint.keep = 2;
  ASSERT_TRUE(RunTraining(config));
  EXPECT_EQ(CheckpointNames(config), (std::vector<std::string>{"step-0000012", "step-0000010"}));
}

TEST_F(TrainerTest, AFolderWithARunIsNotTouchedWithoutResume) {
  const TrainingConfig config = Config("run");
  ASSERT_TRUE(RunTraining(config));
  const Status again = RunTraining(config);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().message, config.output.folder +
                                       " is not empty; --resume goes on with the run in it, "
                                       "--output.folder names another");
}

TEST_F(TrainerTest, AnotherGeometryIsRefusedOnResume) {
  TrainingConfig config = Config("run");
  ASSERT_FALSE(RunTraining(config, false, 3));
  config.model.experts_per_token = 1;
  const Status resumed = RunTraining(config, true);
  ASSERT_FALSE(resumed);
  EXPECT_TRUE(resumed.error().message.starts_with(
      "model.experts_per_token was 2 in the run to be resumed and is 1 now"))
      << resumed.error().message;
}

TEST_F(TrainerTest, ALossThatExplodesStopsTheRunAndWritesNoCheckpoint) {
  TrainingConfig config = Config("run");
  config.optimizer.learning_rate = 1e30;
  config.schedule.kind = "constant";
  config.checkpoint.every = 1;
  const Status status = RunTraining(config);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kNonFinite);
  EXPECT_TRUE(status.error().message.starts_with("step ")) << status.error().message;
  const size_t steps = losses_.size();
  EXPECT_LT(steps, 12U);
  ASSERT_EQ(CheckpointNames(config).size(), std::min<size_t>(steps, 3));
  EXPECT_TRUE(LoadCheckpoint(ListCheckpoints(config.output.folder + "/checkpoints")[0]));
}

TEST_F(TrainerTest, GoesOnFromAnotherModel) {
  ASSERT_TRUE(RunTraining(Config("first")));
  TrainingConfig config = Config("second");
  config.model = {};
  config.model.init = Config("first").output.folder + "/model";
  losses_.clear();
  const Status status = RunTraining(config);
  ASSERT_TRUE(status) << status.error().message;
  EXPECT_LT(losses_.front(), std::log(512) - 0.5);
}

TEST_F(TrainerTest, RefusesWhatCannotBeTrained) {
  const auto refusal = [&](const auto& change) {
    TrainingConfig config = Config("refused");
    change(config);
    const Status status = RunTraining(config);
    EXPECT_FALSE(fs::exists(config.output.folder)) << "nothing was begun";
    return status ? "accepted" : status.error().message;
  };
  EXPECT_EQ(refusal([](auto& c) { c.optimizer.no_decay = {"nrom"}; }),
            "optimizer.no_decay: no tensor's name contains \"nrom\"");
  EXPECT_NE(refusal([](auto& c) {
              c.model.tokenizer = testing::SourcePath("models/fulmen-nano");
            }).find("data: the dataset was made with another tokenizer than the run's"),
            std::string::npos);
  EXPECT_NE(refusal([&](auto& c) { c.stages[1].sources[0].path = folder_ / "none"; }).find("none"),
            std::string::npos);
  EXPECT_NE(refusal([](auto& c) { c.batch.tokens = 1'000'000'000; }).find("bytes of memory"),
            std::string::npos);
  EXPECT_NE(refusal([](auto& c) { c.model.tokenizer = "/none"; }).find("/none"), std::string::npos);
}

TEST_F(TrainerTest, DescribesTheRun) {
  const auto text = DescribeRun(Config("run"), 2);
  ASSERT_TRUE(text) << text.error().message;
  EXPECT_NE(text->find("stage short: steps 1 to 7, up to 896 tokens in pieces of 16, from "),
            std::string::npos)
      << *text;
  EXPECT_NE(text->find("stage long: steps 8 to 12, up to 960 tokens"), std::string::npos) << *text;
  EXPECT_NE(text->find("12 steps, up to 1.9 K tokens, on 2 ranks"), std::string::npos) << *text;
  const auto uneven = DescribeRun(Config("run"), 4);
  ASSERT_FALSE(uneven);
  EXPECT_TRUE(uneven.error().message.starts_with("4 ranks cannot share 2 batches evenly"));
}

}  // namespace
}  // namespace fulmen
