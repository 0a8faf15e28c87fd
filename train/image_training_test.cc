// Training on pictures in the three stages of the report.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "parallel/testing/ranks.h"
#include "tests/testing/compare.h"
#include "tests/testing/golden.h"
#include "train/initialize.h"
#include "train/prepare.h"
#include "train/run_description.h"
#include "train/testing/tiny_model.h"
#include "train/testing/tiny_pictures.h"
#include "train/trainer.h"

namespace fulmen {
namespace {

namespace fs = std::filesystem;

using Values = std::map<std::string, std::vector<float>>;

class ImageTraining : public ::testing::Test {
 protected:
  void SetUp() override {
    testing::WriteTinyPictures(folder_ / "data", Fingerprint(), TilesOf(Vision()), 8);
  }

  static std::string Fingerprint() {
    return TokenizerFingerprint(
        *Tokenizer::Load(testing::SourcePath("tests/golden/tokenizer/small")));
  }
  static VisionSection Vision() {
    return {.width = 16,
            .heads = 2,
            .layers = 2,
            .intermediate_size = 24,
            .tile = 8,
            .patch = 4,
            .grids = {{1, 1}, {2, 1}}};
  }

  // One stage, in which `trains` learns the eight pictures by heart.
  TrainingConfig Config(const std::string& run, const std::string& trains) const {
    TrainingConfig config;
    config.model = testing::TinyModelSection();
    config.model.experts = 2;
    config.model.intermediate_size = 32;
    config.model.deepnorm = false;
    config.vision = Vision();
    config.schedule.warmup_steps = 2;
    config.optimizer.learning_rate = 1e-2;
    config.batch.tokens = 128;
    config.checkpoint.every = 4;
    config.output.folder = folder_ / run;
    config.output.type = "float32";
    config.run.threads = 1;
    config.stages.resize(1);
    config.stages[0] = {trains, 80, 0, 64, 0, 1, 0, {{folder_ / "data", 1}}, trains};
    return config;
  }

  // A model of text that answers each of eight words (20 + i) as the picture i is to be answered.
  void TeachText() {
    ASSERT_TRUE(fs::create_directory(folder_ / "words"));
    ShardWriter writer(folder_ / "words", 1000, 100, Fingerprint());
    for (int i = 0; i < 8; ++i) {
      const std::vector<int32_t> ids = {20 + i, 5, 10 + i};
      const std::vector<uint8_t> mask = {0, 0, 1};
      ASSERT_TRUE(writer.Add({ids, mask}));
    }
    ASSERT_TRUE(writer.Finish());
    TrainingConfig config = Config("text", "all");
    config.vision = {};
    config.stages[0].sources[0].path = folder_ / "words";
    const Status status = RunTraining(config);
    ASSERT_TRUE(status) << status.error().message;
    ASSERT_LT(losses_.back(), 0.1);
  }

  Status RunTraining(const TrainingConfig& config, RunStart start = RunStart::kNew,
                     int64_t stop_after = 0) {
    ThreadPool pool(1);
    const auto ranks = SingleProcess();
    return RunTraining(config, *ranks, pool, start, stop_after);
  }
  Status RunTraining(const TrainingConfig& config, Communicator& ranks, ThreadPool& pool,
                     RunStart start = RunStart::kNew, int64_t stop_after = 0) {
    std::atomic<int> stop = 0;
    TrainingOptions options;
    options.start = start;
    options.stop = &stop;
    options.progress = [&](const TrainingProgress& progress) {
      losses_.push_back(progress.metrics.cross_entropy);
      if (progress.metrics.step == stop_after - 1) stop = SIGINT;
    };
    options.warn = [&](const std::string& sentence) { warned_ += sentence + "\n"; };
    return Train(config, options, pool, ranks);
  }

  static Values Tensors(const Parameters& parameters) {
    Values values;
    for (size_t i = 0; i < parameters.size(); ++i) {
      const std::span<const float> tensor = parameters.values(i);
      values[parameters.tensor(i).name].assign(tensor.begin(), tensor.end());
    }
    return values;
  }
  static Values Weights(const TrainingConfig& config) {
    const auto model = LoadModel(config.output.folder + "/model");
    EXPECT_TRUE(model) << model.error().message;
    return Tensors(Parameters(model->config, model->weights));
  }
  // Before the first step.
  static Values FirstWeights(const TrainingConfig& config) {
    const auto tokenizer = Tokenizer::Load(TokenizerFolder(config.model));
    ThreadPool pool(1);
    return Tensors(BeginRun(config, *GeometryOf(config, *tokenizer), pool)->weights);
  }
  static bool IsTower(const std::string& name) { return name.starts_with("vision_tower"); }
  static bool IsProjector(const std::string& name) {
    return name.starts_with("multi_modal_projector") || name == "image_newline";
  }

  testing::TemporaryFolder folder_;
  std::vector<double> losses_;
  std::string warned_;
};

TEST_F(ImageTraining, EachStageOverfitsEightPicturesAndLeavesTheRestAlone) {
  TeachText();
  for (const std::string trains : {"all", "vision", "projector"}) {
    TrainingConfig config = Config(trains, trains);
    config.model = ModelSection();
    config.model.init = folder_ / "text/model";
    losses_.clear();
    const Status status = RunTraining(config);
    ASSERT_TRUE(status) << status.error().message;
    // If seven of the eight answers were sure, the last would still be more likely than not.
    EXPECT_GT(losses_.front(), 1) << trains;
    EXPECT_LT(losses_.back(), 0.08) << trains;
    const Values before = FirstWeights(config);
    const Values after = Weights(config);
    ASSERT_EQ(before.size(), after.size());
    int moved = 0;
    for (const auto& [name, values] : before) {
      const bool trained =
          trains == "all" || IsProjector(name) || (trains == "vision" && IsTower(name));
      if (trained) {
        moved += after.at(name) == values ? 0 : 1;
      } else {
        EXPECT_TRUE(testing::SameBits(after.at(name), values)) << trains << ": " << name;
      }
    }
    EXPECT_GE(moved, 5) << trains;
    const auto checkpoint = LoadCheckpoint(config.output.folder + "/checkpoints/step-0000080");
    ASSERT_TRUE(checkpoint) << checkpoint.error().message;
    for (const auto& [name, values] : Tensors(checkpoint->optimizer.second_moments())) {
      if (trains == "all" || IsProjector(name) || (trains == "vision" && IsTower(name))) continue;
      EXPECT_TRUE(std::ranges::all_of(values, [](float x) { return x == 0; })) << name;
    }
  }
}

TEST_F(ImageTraining, ResumedInAnyStageItEndsWithTheSameBits) {
  const auto staged = [&](const std::string& run) {
    TrainingConfig config = Config(run, "projector");
    config.stages = {config.stages[0], config.stages[0], config.stages[0]};
    config.stages[1].name = config.stages[1].trains = "vision";
    config.stages[2].name = config.stages[2].trains = "all";
    for (StageConfig& stage : config.stages) stage.steps = 5;
    return config;
  };
  const TrainingConfig whole = staged("whole");
  ASSERT_TRUE(RunTraining(whole));
  for (const int64_t after : {3, 7, 12}) {
    const TrainingConfig config = staged(fmt::format("stopped-{}", after));
    EXPECT_FALSE(RunTraining(config, RunStart::kNew, after));
    const Status resumed = RunTraining(config, RunStart::kResume);
    ASSERT_TRUE(resumed) << resumed.error().message;
    EXPECT_EQ(Weights(config), Weights(whole)) << after;
  }
}

TEST_F(ImageTraining, RanksAgree) {
  TrainingConfig alone = Config("alone", "vision");
  alone.stages[0].steps = 6;
  alone.batch.batches = 2;
  alone.batch.tokens = 64;
  ASSERT_TRUE(RunTraining(alone));
  const std::vector<double> expected = losses_;
  TrainingConfig shared = alone;
  shared.output.folder = folder_ / "shared";
  losses_.clear();
  testing::RunThreadRanks(2, [&](Communicator& ranks) {
    ThreadPool pool(1);
    const Status status = RunTraining(shared, ranks, pool);
    EXPECT_TRUE(status) << status.error().message;
  });
  ASSERT_EQ(losses_.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(losses_[i], expected[i], 1e-4) << i;
}

TEST_F(ImageTraining, AModelOfTextGetsAVisionHalfOrGoesOnWithIts) {
  TrainingConfig text = Config("text", "all");
  text.vision = {};
  text.stages[0].steps = 3;
  EXPECT_EQ(RunTraining(text).error().message,
            folder_ / "data: data without images are expected for a model of text, found 8");
  text.stages[0].sources[0].path = folder_ / "text-data";
  ASSERT_TRUE(fs::create_directory(folder_ / "text-data"));
  ShardWriter writer(folder_ / "text-data", 100, 100, Fingerprint());
  ASSERT_TRUE(writer.Add({std::vector<int32_t>{1, 2, 3, 4}, {}}));
  ASSERT_TRUE(writer.Finish());
  ASSERT_TRUE(RunTraining(text, RunStart::kResumeOrNew));

  TrainingConfig added = Config("added", "projector");
  added.model = ModelSection();
  added.model.init = folder_ / "text/model";
  added.stages[0].steps = 3;
  const Status status = RunTraining(added);
  ASSERT_TRUE(status) << status.error().message;
  // The tensors of text are named after the model they are part of.
  const Values before = Weights(text);
  const Values after = Weights(added);
  for (const auto& [name, values] : before) {
    EXPECT_TRUE(testing::SameBits(after.at("language_model." + name), values)) << name;
  }
  EXPECT_TRUE(fs::exists(folder_ / "added/model/preprocessor_config.json"));

  TrainingConfig again = Config("again", "vision");
  again.model = ModelSection();
  again.model.init = folder_ / "added/model";
  again.stages[0].steps = 3;
  EXPECT_EQ(RunTraining(again).error().message,
            "[vision] is for a model of text, the model to go on from reads images already");
  again.vision = {};
  const Status gone_on = RunTraining(again, RunStart::kResumeOrNew);
  EXPECT_TRUE(gone_on) << gone_on.error().message;
}

TEST_F(ImageTraining, RefusesWhatDoesNotFitTheModel) {
  TrainingConfig config = Config("run", "all");
  const auto error = [&] { return RunTraining(config, RunStart::kResumeOrNew).error().message; };
  const std::string cut =
      folder_ / "data: the images were cut into tiles of 8 with patches of 4, the model reads ";
  config.vision.patch = 2;
  EXPECT_EQ(error(), cut + "tiles of 8 with patches of 2");
  config.vision.patch = 4;
  config.vision.grids = {{1, 1}, {1, 2}};
  EXPECT_EQ(error(), cut + "tiles of 8 with patches of 4 in other grids");
  config = Config("run", "all");
  config.stages[0].max_length = 11;
  EXPECT_EQ(error(),
            "dataset 0 has nothing to learn: 8 documents with images are longer than "
            "max_length 11, and images are not cut");
  config = Config("run", "projector");
  config.vision = {};
  EXPECT_EQ(error(),
            "stage projector trains the projector of a model that reads images, this one "
            "reads text alone");
}

TEST_F(ImageTraining, DescribesTheRun) {
  const auto description = DescribeRun(Config("run", "vision"), 1);
  ASSERT_TRUE(description) << description.error().message;
  EXPECT_NE(description->find("; trains: vision\n"), std::string::npos) << *description;
}

}  // namespace
}  // namespace fulmen
