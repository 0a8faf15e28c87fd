#include "train/stage_data.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "tests/testing/golden.h"
#include "train/shard_writer.h"

namespace fulmen {
namespace {

class StageDataTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : {"a", "b", "held-out"}) {
      ASSERT_TRUE(std::filesystem::create_directory(folder_ / name));
      ShardWriter writer(folder_ / name, 1000, 1000, "tokenizer");
      for (int32_t id = 0; id < 200; ++id) {
        const std::vector<int32_t> ids = {id, id};
        ASSERT_TRUE(writer.Add({ids, {}}));
      }
      ASSERT_TRUE(writer.Finish());
    }
    config_.evaluation.data = folder_ / "held-out";
    config_.batch.tokens = 32;
  }

  void AddStage(const std::string& name, const std::vector<std::string>& sources,
                int64_t max_length = 16, int64_t batch_tokens = 0) {
    StageConfig& stage = config_.stages.emplace_back();
    stage.name = name;
    stage.steps = 1;
    stage.max_length = max_length;
    stage.batch_tokens = batch_tokens;
    for (const std::string& source : sources) stage.sources.push_back({folder_ / source, 1});
  }

  StageData Open() const {
    auto data = StageData::Open(config_, "tokenizer");
    EXPECT_TRUE(data) << data.error().message;
    return *std::move(data);
  }

  // The first documents of one source, in the order they come.
  static std::vector<int32_t> Order(BatchStream stream, size_t sources, size_t source) {
    std::vector<int32_t> order;
    while (order.size() < 100) {
      const PackedBatch batch = stream.Next();
      // All documents have two tokens, so the sources take turns.
      for (size_t i = 2 * source; i < batch.tokens.size(); i += 2 * sources) {
        order.push_back(batch.tokens[i]);
      }
    }
    order.resize(100);
    return order;
  }

  testing::TemporaryFolder folder_;
  TrainingConfig config_;
};

// Of 200 documents, half a place of 100 is the same by chance.
int SamePlaces(const std::vector<int32_t>& a, const std::vector<int32_t>& b) {
  int same = 0;
  for (size_t i = 0; i < a.size(); ++i) same += a[i] == b[i] ? 1 : 0;
  return same;
}

TEST_F(StageDataTest, OrdersOfSeedsStagesAndSourcesAreIndependent) {
  AddStage("one", {"a", "b"});
  AddStage("two", {"b"});
  AddStage("three", {"a"});
  std::vector<std::vector<int32_t>> orders;
  for (const int64_t seed : {0, 1, 2}) {
    config_.run.seed = seed;
    const StageData data = Open();
    orders.push_back(Order(*data.Stream(0), 2, 0));
    orders.push_back(Order(*data.Stream(0), 2, 1));
    orders.push_back(Order(*data.Stream(1), 1, 0));
    orders.push_back(Order(*data.Stream(2), 1, 0));
  }
  for (size_t i = 0; i < orders.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      EXPECT_LE(SamePlaces(orders[i], orders[j]), 7) << i << " and " << j;
    }
  }
}

TEST_F(StageDataTest, HeldOutDocumentsAreTheSameForEveryStageAndSeed) {
  AddStage("one", {"a"}, 16);
  AddStage("two", {"a", "b"}, 24, 64);
  AddStage("three", {"b"}, 8);
  const PackedBatch expected = Open().HeldOut()->Next();
  EXPECT_EQ(expected.tokens.size(), 64u) << "of the largest stage";
  config_.run.seed = 7;
  std::swap(config_.stages[0], config_.stages[1]);
  EXPECT_EQ(Open().HeldOut()->Next().tokens, expected.tokens);
}

}  // namespace
}  // namespace fulmen
