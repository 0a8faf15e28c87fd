#include "quantize/calibrate.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <numeric>
#include <vector>

#include "base/thread_pool.h"
#include "base/workspace.h"
#include "quantize/encode.h"
#include "tests/testing/golden.h"

namespace fulmen {
namespace {

class CalibrateTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (int32_t i = 0; i < 100; ++i) ids_.push_back(i * 7 % 500);
  }
  ImportanceMatrix Measure(int64_t chunk) {
    return Calibrate(model_, compute_, ids_, chunk, [&](int64_t tokens) { read_ += tokens; })
        .value();
  }

  Model model_ = LoadModel(testing::GoldenFolder("text/hybrid-bf16")).value();
  ThreadPool pool_{2};
  Workspace scratch_;
  KernelContext context_{pool_, scratch_};
  Compute compute_{*SelectKernels("cpu").value(), context_};
  std::vector<int32_t> ids_;
  int64_t read_ = 0;
};

TEST_F(CalibrateTest, CoversTheModel) {
  const ImportanceMatrix found = Measure(40);
  EXPECT_EQ(read_, 100);
  EXPECT_EQ(found.chunks, 3);
  EXPECT_EQ(found.chunk_size, 40);
  EXPECT_TRUE(CheckImportance(found, model_));
  EXPECT_TRUE(FindGaps(found, model_).tensors.empty());
  const Config& config = model_.config;
  const ImportanceEntry& up = found.entries.at("blk.0.ffn_up_exps.weight");
  EXPECT_EQ(std::ssize(up.counts), config.experts);
  EXPECT_EQ(up.cols(), config.hidden_size);
  EXPECT_EQ(std::accumulate(up.counts.begin(), up.counts.end(), 0.0),
            100.0 * static_cast<double>(config.experts_per_token));
  EXPECT_EQ(found.entries.at("output.weight").counts, (std::vector<float>{100}));
  EXPECT_EQ(found.entries.count("token_embd.weight"), 0U);
  EXPECT_EQ(found.entries.count("blk.0.ffn_gate_inp.weight"), 0U);
}

// Chunks begin with an empty state, so they see less of what came before.
TEST_F(CalibrateTest, BeginsEachChunkAnew) {
  const ImportanceMatrix whole = Measure(100);
  const ImportanceMatrix cut = Measure(50);
  const auto sums = [](const ImportanceMatrix& importance, const char* tensor) {
    return importance.entries.at(tensor).sums;
  };
  EXPECT_EQ(sums(whole, "blk.0.attn_qkv.weight"), sums(cut, "blk.0.attn_qkv.weight"));
  EXPECT_NE(sums(whole, "blk.0.attn_output.weight"), sums(cut, "blk.0.attn_output.weight"));
}

TEST_F(CalibrateTest, StopsWhenAsked) {
  std::atomic<bool> cancel = false;
  const auto found = Calibrate(
      model_, compute_, ids_, 10, [&](int64_t) { cancel = true; }, &cancel);
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, ErrorCode::kCancelled);
  EXPECT_EQ(Calibrate(model_, compute_, {}, 10, [](int64_t) {}).error().message,
            "calibration needs at least 1 token, found none");
}

TEST_F(CalibrateTest, TellsOfGaps) {
  ImportanceMatrix importance = Measure(100);
  ImportanceEntry& down = importance.entries.at("blk.1.ffn_down_exps.weight");
  const auto counts = down.counts;
  const int64_t unreached = std::ranges::count(counts, 0.0F);
  const ImportanceGaps before = FindGaps(importance, model_);
  down.counts.assign(counts.size(), 0);
  importance.entries.erase("output.weight");
  const ImportanceGaps gaps = FindGaps(importance, model_);
  EXPECT_EQ(gaps.tensors, (std::vector<std::string>{"output.weight"}));
  EXPECT_EQ(gaps.experts - before.experts, std::ssize(counts) - unreached);
}

TEST_F(CalibrateTest, ImportanceMustFitTheModel) {
  ImportanceMatrix importance;
  importance.file = "i.gguf";
  importance.entries["elsewhere.weight"] = {.sums = {1}, .counts = {1}};
  EXPECT_EQ(CheckImportance(importance, model_).error().message,
            "i.gguf: none of the 1 tensors of the importance matrix is one of the model");
  importance.entries["output.weight"] = {.sums = {1, 2, 3}, .counts = {1}};
  EXPECT_EQ(CheckImportance(importance, model_).error().message,
            "i.gguf: tensor \"output.weight\" of the model has 64 columns in all, the importance "
            "matrix 3");
  importance.entries["output.weight"] = {.sums = std::vector<float>(64), .counts = {1, 2}};
  EXPECT_EQ(CheckImportance(importance, model_).error().message,
            "i.gguf: tensor \"output.weight\" of the model has 1 matrices, the importance matrix "
            "counts the tokens of 2");
  importance.entries["output.weight"] = {.sums = std::vector<float>(64), .counts = {1}};
  EXPECT_TRUE(CheckImportance(importance, model_));
}

}  // namespace
}  // namespace fulmen
