#include "train/model_folder.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <thread>

#include "base/file_io.h"
#include "base/temporaries.h"
#include "formats/checkpoint.h"
#include "model/weights.h"
#include "tests/testing/golden.h"
#include "train/initialize.h"

namespace fulmen {
namespace {

namespace fs = std::filesystem;

class ModelFolderTest : public ::testing::Test {
 protected:
  static Config Tiny() {
    ModelSection model;
    model.hidden_size = 16;
    model.layers = 2;
    model.softmax_every = 2;
    model.heads = model.kv_heads = 2;
    model.head_dim = 8;
    model.rotary_dim = 4;
    model.intermediate_size = 8;
    model.tie_embeddings = true;
    return *ModelConfig(model, 40, {3});
  }

  void SetUp() override {
    ThreadPool pool(1);
    InitializeWeights(config_, 1, pool, weights_);
    InitializeWeights(config_, 2, pool, optimizer_.first_moments());
    InitializeWeights(config_, 3, pool, optimizer_.second_moments());
  }

  const Config config_ = Tiny();
  Parameters weights_{config_};
  Optimizer optimizer_{config_};
  testing::TemporaryFolder folder_;
  const TokenizerFiles tokenizer_ =
      *ReadTokenizerFiles(testing::SourcePath("tests/golden/tokenizer/small"));
};

TEST_F(ModelFolderTest, ACheckpointReadsBackBitForBit) {
  const Json state = {{"step", 7}, {"stream", {{"a", 1.5}}}};
  const std::string path = folder_ / "step-0000007";
  ASSERT_TRUE(WriteCheckpoint(config_, weights_, optimizer_, state, tokenizer_, path));
  auto loaded = LoadCheckpoint(path);
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_TRUE(std::ranges::equal(loaded->weights.all(), weights_.all()));
  EXPECT_TRUE(std::ranges::equal(loaded->optimizer.first_moments().all(),
                                 optimizer_.first_moments().all()));
  EXPECT_TRUE(std::ranges::equal(loaded->optimizer.second_moments().all(),
                                 optimizer_.second_moments().all()));
  EXPECT_EQ(loaded->state, state);
  EXPECT_EQ(ConfigToJson(loaded->config, "float32"), ConfigToJson(config_, "float32"));
  EXPECT_EQ(testing::ReadFileOrDie(path + "/tokenizer.json"), tokenizer_.at("tokenizer.json"));
}

TEST_F(ModelFolderTest, TheChatTemplateIsTheOneAskedForOrNone) {
  TokenizerFiles files = {{"chat_template.jinja", "{{ messages }}"},
                          {"tokenizer_config.json", R"({"chat_template": "x", "a": 1})"}};
  ASSERT_TRUE(SetChatTemplate(ChatFormat::kM1, files));
  EXPECT_FALSE(files.contains("chat_template.jinja"));
  Json config = *ParseJson(files.at("tokenizer_config.json"), "");
  EXPECT_EQ(*DetectChatFormat(config["chat_template"].get<std::string>()), ChatFormat::kM1);
  EXPECT_EQ(config["a"], 1);
  ASSERT_TRUE(SetChatTemplate(std::nullopt, files));
  EXPECT_EQ(*ParseJson(files.at("tokenizer_config.json"), ""), (Json{{"a", 1}}));
  TokenizerFiles none;
  ASSERT_TRUE(SetChatTemplate(std::nullopt, none));
  EXPECT_TRUE(none.empty());
}

TEST_F(ModelFolderTest, AModelMayBeRoundedAndReplacesAFormerOne) {
  const std::string path = folder_ / "model";
  ASSERT_TRUE(WriteModelFolder(config_, weights_, DType::kF32, tokenizer_, path));
  ASSERT_TRUE(WriteModelFolder(config_, weights_, DType::kBF16, tokenizer_, path));
  const auto model = LoadModel(path);
  ASSERT_TRUE(model) << model.error().message;
  const Parameters rounded(model->config, model->weights);
  for (size_t i = 0; i < weights_.size(); ++i) {
    for (size_t e = 0; e < weights_.values(i).size(); ++e) {
      ASSERT_EQ(rounded.values(i)[e], F32FromBF16(BF16FromF32(weights_.values(i)[e])));
    }
  }
  EXPECT_FALSE(fs::exists(path + ".partial"));
}

TEST_F(ModelFolderTest, WhatCannotBeWrittenLeavesTheFormerOne) {
  const std::string path = folder_ / "model";
  ASSERT_TRUE(WriteModelFolder(config_, weights_, DType::kF32, tokenizer_, path));
  const std::string before = testing::ReadFileOrDie(path + "/model.safetensors");
  const TokenizerFiles nowhere = {{"not/there.json", "{}"}};
  EXPECT_FALSE(WriteModelFolder(config_, weights_, DType::kBF16, nowhere, path));
  EXPECT_EQ(testing::ReadFileOrDie(path + "/model.safetensors"), before);
  EXPECT_FALSE(fs::exists(path + ".partial"));
}

TEST_F(ModelFolderTest, ASignalLeavesNothingOfWhatIsBeingWritten) {
  const std::string path = folder_ / "model";
  ASSERT_EQ(mkfifo((folder_ / "fifo").c_str(), 0600), 0);
  const pid_t writer = fork();
  if (writer == 0) {
    RemoveTemporariesOnSignals();
    // Nobody reads the FIFO, so writing has not ended when the signal comes.
    (void)WriteModelFolder(config_, weights_, DType::kF32, {{"../fifo", "x"}}, path);
    _exit(1);
  }
  while (!fs::exists(path + ".partial/config.json") && waitpid(writer, nullptr, WNOHANG) == 0) {
    std::this_thread::yield();
  }
  kill(writer, SIGTERM);
  int status = 0;
  ASSERT_EQ(waitpid(writer, &status, 0), writer);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM) << status;
  EXPECT_FALSE(fs::exists(path + ".partial"));
}

TEST_F(ModelFolderTest, ListsCheckpointsNewestFirst) {
  for (const char* name : {"step-0000009", "step-0000010", "step-12345678", "step-0000011.partial",
                           "step-", "step-1a", "other"}) {
    ASSERT_TRUE(fs::create_directory(folder_ / name));
  }
  EXPECT_EQ(CheckpointName(10), "step-0000010");
  EXPECT_EQ(ListCheckpoints(folder_.path()),
            (std::vector<std::string>{folder_ / "step-12345678", folder_ / "step-0000010",
                                      folder_ / "step-0000009"}));
  RemoveOldCheckpoints(folder_.path(), 2);
  EXPECT_EQ(ListCheckpoints(folder_.path()).size(), 2U);
  EXPECT_TRUE(fs::exists(folder_ / "step-0000011.partial"));
  EXPECT_TRUE(ListCheckpoints(folder_ / "none").empty());
}

}  // namespace
}  // namespace fulmen
